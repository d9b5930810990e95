//! Simulated watchers: several watches on a stream, from now, the past, the future and the compact
//! revision, with all options; readers that stall; watches that go on at another member.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use etched::runtime::channel::mpsc;
use etched::runtime::{Either, Runtime, select, timeout};
use etched::server::GrpcChannel;
use etched_proto::etcdserverpb as pb;
use etched_proto::etcdserverpb::watch_client::WatchClient;
use etched_proto::etcdserverpb::watch_request::RequestUnion;
use futures_util::stream::poll_fn;
use tonic::{Status, Streaming};

use crate::check::Violation;
use crate::client::{Shared, lock};
use crate::cluster::CLIENT_PORT;
use crate::cluster::Cluster;
use crate::world::streams::Stream as Draws;
use crate::world::{NodeId, SimRuntime};

const DIAL_PATIENCE: Duration = Duration::from_millis(500);
/// What a slow reader lets the member send ahead.
const SMALL_WINDOW_BYTES: u32 = 2 * 1024;
const WINDOW_BYTES: u32 = 1024 * 1024;
/// How often a reader looks up from its stream.
const LOOK: Duration = Duration::from_millis(400);
/// Explicit watch ids begin here.
const OWN_IDS: i64 = 100;

/// One watch as its client means it, over all streams and members.
struct Wish {
    create: pb::WatchCreateRequest,
    /// First revision that was not received yet, 0 if nothing was received so far.
    next: i64,
}

impl Wish {
    fn draw(draws: &mut Draws, number: usize) -> Self {
        let ranges = [("a", "c"), ("\0", "\0"), ("a", ""), ("", "\0"), ("b", "z")];
        let (key, range_end) = *draws.pick(&ranges).unwrap_or(&ranges[0]);
        let filters = match draws.below(8) {
            0 => vec![0],
            1 => vec![1],
            _ => Vec::new(),
        };
        let create = pb::WatchCreateRequest {
            key: key.as_bytes().to_vec().into(),
            range_end: range_end.as_bytes().to_vec().into(),
            prev_kv: draws.coin(),
            filters,
            fragment: draws.coin(),
            progress_notify: draws.coin(),
            watch_id: if draws.below(4) == 0 { OWN_IDS + number as i64 } else { 0 },
            start_revision: 0,
        };
        Wish { create, next: 0 }
    }

    /// The request that begins it, or goes on with it.
    fn create(&self, shared: &Shared, draws: &mut Draws) -> pb::WatchCreateRequest {
        let (revision, compact_revision) = {
            let checks = lock(&shared.checks);
            (checks.revision(), checks.history().model().compact_revision())
        };
        let start_revision = match draws.below(6) {
            _ if self.next > 0 => self.next,
            0 => 1 + draws.below(20) as i64,
            1 => revision + 1 + draws.below(40) as i64,
            2 => revision + 1 + draws.below(400) as i64,
            3 => compact_revision.max(1),
            _ => 0,
        };
        pb::WatchCreateRequest { start_revision, ..self.create.clone() }
    }

    /// What a response tells of how far it has come.
    fn note(&mut self, response: &pb::WatchResponse) {
        let header = response.header.as_ref().map_or(0, |header| header.revision);
        let last = response.events.last().and_then(|event| event.kv.as_ref()).map(|kv| kv.mod_revision);
        self.next = match last {
            // More of this revision is to come.
            Some(last) if response.fragment => last,
            Some(last) => last + 1,
            None if response.canceled => response.compact_revision,
            None if response.created => self.next,
            None => self.next.max(header + 1),
        };
    }
}

/// How a client treats one stream.
struct Habits {
    asks_for_progress: bool,
    stalls: bool,
    cancels: bool,
    errs: bool,
    /// Asks for progress and cancels in one breath, while events come.
    hasty: bool,
}

/// A client that watches until its time is over; some of its streams are `hasty`, if it is.
pub async fn run_watcher(shared: Shared, node: NodeId, number: u64, hasty: bool) {
    let mut draws = Draws::new(shared.world.seed(), "watcher", node.0, 0, 0);
    let mut wishes: Vec<Wish> = (0..1 + draws.below(4) as usize).map(|n| Wish::draw(&mut draws, n)).collect();
    let mut member = number as usize;
    let mut session = 0;
    while !shared.is_over() {
        SimRuntime::sleep(Duration::from_millis(1 + draws.below(50))).await;
        let habits = Habits {
            asks_for_progress: draws.below(3) == 0,
            stalls: draws.below(3) == 0,
            cancels: draws.below(5) == 0,
            errs: draws.below(4) == 0,
            hasty,
        };
        let window = if habits.stalls || habits.hasty { SMALL_WINDOW_BYTES } else { WINDOW_BYTES };
        let at = shared.members[member % shared.members.len()];
        member += 1;
        let Some(channel) = dial(&shared, node, at, window).await else { continue };
        session += 1;
        let stream = number << 32 | session;
        let life = Duration::from_millis(500 + draws.below(8000));
        let followed = follow(&shared, node, channel, stream, &mut wishes, &habits, &mut draws);
        timeout::<SimRuntime, _>(life, followed).await;
        lock(&shared.checks).on_watch_end(stream);
        for (number, wish) in wishes.iter_mut().enumerate() {
            if draws.below(4) == 0 {
                *wish = Wish::draw(&mut draws, number);
            }
        }
    }
}

async fn dial(shared: &Shared, node: NodeId, member: NodeId, window: u32) -> Option<GrpcChannel> {
    let (net, address) = (shared.world.net_of(node), member.address(CLIENT_PORT));
    let dial = GrpcChannel::with_window::<SimRuntime>(&net, &address, window);
    timeout::<SimRuntime, _>(DIAL_PATIENCE, dial).await?.ok()
}

/// A response in the trace.
#[derive(Debug, Hash)]
struct Heard {
    stream: u64,
    watch_id: i64,
    header: i64,
    /// First and last revision of its events.
    events: Option<(i64, i64)>,
    created: bool,
    canceled: bool,
    compact_revision: i64,
}

impl Heard {
    fn new(stream: u64, response: &pb::WatchResponse) -> Self {
        let mut revisions = response.events.iter().filter_map(|event| Some(event.kv.as_ref()?.mod_revision));
        let first = revisions.next();
        Heard {
            stream,
            watch_id: response.watch_id,
            header: response.header.as_ref().map_or(0, |header| header.revision),
            events: first.map(|first| (first, revisions.last().unwrap_or(first))),
            created: response.created,
            canceled: response.canceled,
            compact_revision: response.compact_revision,
        }
    }
}

/// One watch stream, seen by the checks.
struct Open<'a> {
    shared: &'a Shared,
    node: NodeId,
    stream: u64,
    requests: mpsc::Sender<pb::WatchRequest>,
    responses: Streaming<pb::WatchResponse>,
}

impl<'a> Open<'a> {
    /// Opens a stream that begins with `creates`.
    async fn new(
        shared: &'a Shared,
        node: NodeId,
        channel: GrpcChannel,
        stream: u64,
        creates: Vec<pb::WatchCreateRequest>,
    ) -> Result<Self, Status> {
        let (requests, mut receiver) = mpsc::channel(16);
        for create in creates {
            lock(&shared.checks).on_watch_create(stream, create.clone());
            let request = pb::WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
            requests.try_send(request).map_err(|_| Status::internal("few creates fit"))?;
        }
        let outgoing = poll_fn(move |cx| receiver.poll_recv(cx));
        let responses = WatchClient::new(channel).watch(outgoing).await?.into_inner();
        Ok(Open { shared, node, stream, requests, responses })
    }

    /// Asks if there is room for it.
    fn ask(&self, request: RequestUnion) -> bool {
        self.requests.try_send(pb::WatchRequest { request_union: Some(request) }).is_ok()
    }

    fn cancel(&self, watch_id: i64) -> bool {
        lock(&self.shared.checks).on_watch_cancel(self.stream, watch_id);
        self.ask(RequestUnion::CancelRequest(pb::WatchCancelRequest { watch_id }))
    }

    fn ask_for_progress(&self) -> bool {
        self.ask(RequestUnion::ProgressRequest(pb::WatchProgressRequest {}))
    }

    /// The next response, judged; `Ok(None)` if there was none for a moment, an error at the end.
    async fn next(&mut self) -> Result<Option<pb::WatchResponse>, ()> {
        match select(self.responses.message(), SimRuntime::sleep(LOOK)).await {
            Either::First(Ok(Some(response))) => {
                self.shared.world.note(self.node, &Heard::new(self.stream, &response));
                let checked = lock(&self.shared.checks).on_watch_response(self.stream, &response);
                self.shared.judge(checked);
                lock(&self.shared.counts).events += response.events.len() as u64;
                Ok(Some(response))
            }
            Either::First(_) => Err(()),
            Either::Second(()) => Ok(None),
        }
    }
}

/// Follows one stream until it breaks.
async fn follow(
    shared: &Shared,
    node: NodeId,
    channel: GrpcChannel,
    stream: u64,
    wishes: &mut [Wish],
    habits: &Habits,
    draws: &mut Draws,
) {
    let mut creates: Vec<pb::WatchCreateRequest> =
        wishes.iter().map(|wish| wish.create(shared, draws)).collect();
    let mut waiting: VecDeque<Option<usize>> = (0..wishes.len()).map(Some).collect();
    if habits.errs {
        let (key, range_end) = (b"b".as_slice().into(), b"a".as_slice().into());
        creates.push(pb::WatchCreateRequest { key, range_end, ..Default::default() });
        waiting.push_back(None);
    }
    let Ok(mut open) = Open::new(shared, node, channel, stream, creates).await else { return };
    // Wishes by watch id.
    let mut ids: BTreeMap<i64, usize> = BTreeMap::new();
    while !shared.is_over() {
        let Ok(response) = open.next().await else { return };
        let Some(response) = response else {
            if habits.asks_for_progress {
                open.ask_for_progress();
            }
            let gone = ids.keys().nth(draws.below(4) as usize).copied();
            if let Some(id) = gone.filter(|_| habits.cancels && draws.below(4) == 0)
                && open.cancel(id)
            {
                ids.remove(&id);
            }
            continue;
        };
        if response.created
            && let Some(Some(wish)) = waiting.pop_front()
            && !response.canceled
        {
            ids.insert(response.watch_id, wish);
        }
        let is_for_all = response.watch_id == -1 && !response.created;
        for (id, wish) in &ids {
            if *id == response.watch_id || is_for_all {
                wishes[*wish].note(&response);
            }
        }
        if response.canceled {
            ids.remove(&response.watch_id);
        }
        if habits.hasty && draws.below(10) == 0 {
            // Events pile up meanwhile.
            SimRuntime::sleep(Duration::from_millis(20 + draws.below(600))).await;
            open.ask_for_progress();
            let gone = ids.keys().nth(draws.below(4) as usize).copied();
            if let Some(id) = gone.filter(|id| open.cancel(*id)) {
                ids.remove(&id);
            }
        }
        if habits.stalls && draws.below(12) == 0 {
            SimRuntime::sleep(Duration::from_millis(500 + draws.below(4500))).await;
        }
    }
}

/// After the heal: how long a watch may take until it has caught up and hears of progress.
const PROGRESS_WITHIN: Duration = Duration::from_secs(15);
/// How long one try may take.
const TRY: Duration = Duration::from_secs(4);
/// Stream numbers of the prober begin here.
const PROBES: u64 = 999 << 32;

/// After the heal, at each member: a watch of everything that is left catches up, and hears of
/// progress on request (W19) and by itself (W18).
pub async fn probe_watches(shared: &Shared, cluster: &Cluster, node: NodeId) {
    let mut stream = PROBES;
    for member in &shared.members {
        let deadline = shared.world.now_ns() + PROGRESS_WITHIN.as_nanos() as u64;
        // A damaged member that refused to start is not asked.
        while cluster.able().contains(member) {
            // One that lags may not know yet that users are not checked any more.
            let had_users = lock(&shared.checks).permissions().counts()[0] > 0;
            let checks_users = || cluster.node(*member).is_none_or(|open| open.view().auth().is_enabled());
            if had_users && checks_users() {
                SimRuntime::sleep(Duration::from_millis(50)).await;
                continue;
            }
            stream += 1;
            let tried = timeout::<SimRuntime, _>(TRY, hears_of_progress(shared, node, *member, stream)).await;
            lock(&shared.checks).on_watch_end(stream);
            if tried == Some(true) || lock(&shared.broken).is_some() {
                break;
            }
            if shared.world.now_ns() > deadline {
                let what = format!("a watch at member {member} did not hear of progress after the heal");
                shared.judge(Err(Violation::new("watch-progress", what)));
                return;
            }
            SimRuntime::sleep(Duration::from_millis(200)).await;
        }
    }
}

async fn hears_of_progress(shared: &Shared, node: NodeId, member: NodeId, stream: u64) -> bool {
    let Some(channel) = dial(shared, node, member, WINDOW_BYTES).await else { return false };
    let (revision, compact_revision) = {
        let checks = lock(&shared.checks);
        (checks.revision(), checks.history().model().compact_revision())
    };
    let create = pb::WatchCreateRequest {
        key: b"\0".as_slice().into(),
        range_end: b"\0".as_slice().into(),
        start_revision: compact_revision.max(1),
        progress_notify: true,
        ..Default::default()
    };
    let Ok(mut open) = Open::new(shared, node, channel, stream, vec![create]).await else { return false };
    let (mut on_request, mut by_itself) = (false, false);
    while !(on_request && by_itself) {
        let Ok(response) = open.next().await else { return false };
        let Some(response) = response else {
            open.ask_for_progress();
            continue;
        };
        if response.canceled {
            return false;
        }
        let header = response.header.as_ref().map_or(0, |header| header.revision);
        if response.events.is_empty() && !response.created && header >= revision {
            *if response.watch_id == -1 { &mut on_request } else { &mut by_itself } = true;
        }
    }
    true
}
