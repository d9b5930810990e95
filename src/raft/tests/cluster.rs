//! Engines over real sockets and files.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;

use super::{Directory, block_on};
use crate::checkpoint::Checkpoint;
use crate::codec::envelope;
use crate::codec::peer::{Purpose, Reply, Request};
use crate::os::{OsNet, OsRuntime};
use crate::raft::{AppliedEntry, ApplySink, Engine, EngineConfig, Removal};
use crate::runtime::{Instant, Net, Runtime};
use crate::state::View;
use crate::types::{Command, Envelope, Member, PutRequest, RequestId};
use crate::wal::{Wal, WalOptions};

/// Remembers what it was told.
#[derive(Default)]
struct Told {
    applied: Mutex<BTreeSet<u64>>,
    view: Mutex<Option<View>>,
    went_back: Mutex<bool>,
}

impl Told {
    fn show(&self, view: View) {
        let mut shown = self.view.lock().unwrap();
        *self.went_back.lock().unwrap() |= shown.as_ref().is_some_and(|old| old.revision() > view.revision());
        *shown = Some(view);
    }

    fn digest(&self) -> Option<u128> {
        self.view.lock().unwrap().as_ref().map(View::digest)
    }
}

impl ApplySink for Told {
    fn applied(&self, batch: Vec<AppliedEntry>, view: View) {
        self.applied.lock().unwrap().extend(batch.iter().map(|entry| entry.request_id.sequence));
        self.show(view);
    }
    fn installed(&self, view: View) {
        self.show(view);
    }
}

struct Cluster {
    members: Vec<Member>,
    directories: Vec<Directory>,
    cluster_ids: Vec<u64>,
}

struct Running {
    engine: Engine<OsRuntime>,
    told: Arc<Told>,
    wal: Wal<OsRuntime>,
}

fn free_port() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").to_string()
}

impl Cluster {
    fn new(name: &str, size: u64) -> Self {
        let member =
            |id| Member { id, peer_urls: vec![format!("http://{}", free_port())], ..Member::default() };
        Cluster {
            members: (1..=size).map(member).collect(),
            directories: (1..=size).map(|id| Directory::new(&format!("{name}-{id}"))).collect(),
            cluster_ids: vec![7; size as usize],
        }
    }

    async fn start(&self, at: usize) -> Running {
        let disk = self.directories[at].disk();
        let options = WalOptions { segment_bytes: 16 * 1024, max_wals: 1, recent_bytes: 4096 };
        let (wal, recovered) = Wal::open(disk.clone(), options).await.expect("a log");
        let (checkpoint, loaded) = Checkpoint::open(disk).await.expect("a checkpoint");
        let address = self.members[at].peer_urls[0].trim_start_matches("http://");
        let listener = OsNet.listen(address).await.expect("a listener");
        let config = EngineConfig {
            member_id: self.members[at].id,
            cluster_id: self.cluster_ids[at],
            incarnation: recovered.incarnation,
            members: self.members.clone(),
            bootstrap: recovered.last.is_none(),
            heartbeat_ms: 30,
            election_ms: 300,
            snapshot_count: 50,
            catchup_entries: 5,
            removal: Removal { step: 1000, pause: Duration::from_millis(10) },
        };
        let told = Arc::new(Told::default());
        loaded.iter().for_each(|loaded| told.show(loaded.state.view()));
        let opened =
            Engine::open(config, OsNet, vec![listener], wal.clone(), checkpoint, loaded, told.clone());
        Running { engine: opened.await.expect("the engine opens"), told, wal }
    }

    async fn start_all(&self) -> Vec<Running> {
        let mut running = Vec::new();
        for at in 0..self.members.len() {
            running.push(self.start(at).await);
        }
        running
    }
}

fn soon() -> Instant {
    OsRuntime::now() + Duration::from_secs(5)
}

fn proposal(sequence: u64) -> bytes::Bytes {
    let put = PutRequest {
        key: format!("key {}", sequence % 7).into_bytes().into(),
        value: vec![b'v'; 200].into(),
        ..PutRequest::default()
    };
    let request_id = RequestId { member: 1, incarnation: 1, sequence };
    envelope::encode(&Envelope { request_id, caller: None, client: None, command: Command::Put(put) })
}

async fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let until = soon() + Duration::from_secs(5);
    while !holds() {
        assert!(OsRuntime::now() < until, "{what} takes too long");
        OsRuntime::sleep(Duration::from_millis(5)).await;
    }
}

/// The leader's id, waited for: under load a lease may lapse for a moment.
async fn leader(running: &[Running]) -> u64 {
    let mut found = None;
    wait_until("a leader", || {
        found = running[0].engine.status().leader;
        found.is_some()
    })
    .await;
    found.unwrap_or_default()
}

#[test]
fn a_single_member_shows_itself_as_leader_however_long_it_idles() {
    block_on(async {
        let cluster = Cluster::new("alone", 1);
        let running = cluster.start(0).await;
        running.engine.propose(proposal(1), soon()).await.expect("a proposal");
        OsRuntime::sleep(Duration::from_millis(700)).await;
        assert_eq!(running.engine.status().leader, Some(1));
        let status = running.engine.status();
        assert_eq!(status.committed_index, status.applied_index);
        running.engine.stop().await;
    });
}

#[test]
fn every_member_takes_proposals_and_reads_and_the_leader_may_stop() {
    block_on(async {
        let cluster = Cluster::new("three", 3);
        let running = cluster.start_all().await;
        for (sequence, member) in (1..).zip(&running) {
            let position = member.engine.propose(proposal(sequence), soon()).await.expect("a proposal");
            for reader in &running {
                let index = reader.engine.read_index(soon()).await.expect("a read index").expect("entries");
                assert!(index >= position.index, "a read that begins after a write sees it");
                reader.engine.wait_applied(index, soon()).await.expect("applied");
                assert!(reader.told.applied.lock().unwrap().contains(&sequence));
            }
        }
        let leader = leader(&running).await;
        let (stopped, others): (Vec<_>, Vec<_>) =
            running.into_iter().zip(1..).partition(|(_, id)| *id == leader);
        stopped[0].0.engine.stop().await;
        for (sequence, (other, _)) in (10..).zip(&others) {
            other.engine.propose(proposal(sequence), soon()).await.expect("a proposal to the next leader");
        }
        wait_until("both are equal", || others[0].0.told.digest() == others[1].0.told.digest()).await;
    });
}

#[test]
fn a_follower_that_was_away_gets_a_snapshot() {
    block_on(async {
        let cluster = Cluster::new("lagging", 3);
        let mut running = cluster.start_all().await;
        running[0].engine.propose(proposal(1), soon()).await.expect("a proposal");
        let leader = leader(&running).await;
        let at = usize::try_from(leader % 3).expect("small");
        running[at].engine.stop().await;
        let last_seen = running[at].wal.last().expect("entries").index;
        let writer = usize::try_from(leader - 1).expect("small");
        for sequence in 2..200 {
            running[writer].engine.propose(proposal(sequence), soon()).await.expect("a proposal");
        }
        let log = running[writer].wal.clone();
        wait_until("the purge", || log.purged().is_some_and(|purged| purged.index > last_seen)).await;
        running[at] = cluster.start(at).await;
        let writer = running[writer].told.clone();
        wait_until("catching up", || running[at].told.digest() == writer.digest()).await;
        assert!(!running[at].told.applied.lock().unwrap().contains(&50), "a snapshot brought it");
        // What it installed is durable: it opens again on its own.
        running[at].engine.stop().await;
        running[at] = cluster.start(at).await;
        wait_until("catching up again", || running[at].told.digest() == writer.digest()).await;
        assert!(running.iter().all(|one| !*one.told.went_back.lock().unwrap()));
    });
}

#[test]
fn only_the_checkpoint_counts_as_a_snapshot_after_a_restart() {
    block_on(async {
        let cluster = Cluster::new("restart", 1);
        let running = cluster.start(0).await;
        for sequence in 1..80 {
            running.engine.propose(proposal(sequence), soon()).await.expect("a proposal");
        }
        let shared = running.engine.inner.shared.clone();
        wait_until("a checkpoint", || shared.durable.borrow().is_some()).await;
        let (digest, durable) = (running.told.digest(), *shared.durable.borrow());
        assert!(durable.expect("a checkpoint").index < 79, "some entries are only in the log");
        running.wal.flush().await.expect("a sync");
        // It goes without a stop.
        drop((running, shared));
        OsRuntime::sleep(Duration::from_millis(50)).await;
        let running = cluster.start(0).await;
        wait_until("recovery", || running.told.digest() == digest).await;
        wait_until("a leader", || running.engine.status().leader.is_some()).await;
        let known = running.engine.inner.data.borrow_watched().snapshot;
        assert_eq!(known.map(|at| at.index), durable.map(|at| at.index));
        running.engine.stop().await;
    });
}

#[test]
fn members_of_another_cluster_never_exchange_a_vote() {
    block_on(async {
        let mut cluster = Cluster::new("strangers", 2);
        cluster.cluster_ids[1] = 8;
        let running = cluster.start_all().await;
        OsRuntime::sleep(Duration::from_millis(1500)).await;
        for member in &running {
            let status = member.engine.status();
            assert_eq!((status.leader, status.term), (None, 1), "each stays at its first vote for itself");
        }
    });
}

#[test]
fn a_forwarded_proposal_that_does_not_decode_is_refused() {
    block_on(async {
        let cluster = Cluster::new("garbage", 2);
        let running = cluster.start_all().await;
        running[0].engine.propose(proposal(1), soon()).await.expect("a proposal");
        let leader = leader(&running).await;
        let follower = &running[usize::try_from(leader % 2).expect("small")].engine.inner;
        let link = follower.peers.link(leader, Purpose::Forward).expect("a link");
        let request = Request::Forward(vec![bytes::Bytes::from_static(b"garbage")]);
        let reply = link.call::<OsRuntime>(request, Duration::from_secs(5)).await.expect("a reply");
        assert!(matches!(reply, Reply::Failed(why) if why.contains("does not decode")));
        running[0].engine.propose(proposal(2), soon()).await.expect("the cluster goes on");
    });
}
