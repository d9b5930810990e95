//! Links between members: framed requests and replies over the world's byte streams.
//!
//! Each purpose has its own connection (votes and heartbeats, appends, snapshots, forwarded
//! requests), so that none starves another. A connection begins with a handshake that names the
//! cluster, both members, protocol and level; a mismatch is answered with its reason, logged on
//! both sides, and no vote is ever exchanged across it.

mod accept;
mod frames;
mod link;

pub(super) use accept::{Handler, SnapshotHandler, serve};
pub(super) use link::{Link, LinkError, within};

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::codec::peer::{self, Hello, Purpose, Welcome};
use crate::runtime::{Runtime, lock};
use crate::types::limits;

/// Who this member is towards others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Local {
    pub cluster_id: u64,
    pub member_id: u64,
    pub incarnation: u64,
    /// How long a dial or a handshake may take, in milliseconds.
    pub patience_ms: u64,
}

impl Local {
    fn hello(&self, to: u64, purpose: Purpose) -> Hello {
        Hello {
            protocol: peer::PROTOCOL,
            cluster_id: self.cluster_id,
            from: self.member_id,
            to,
            incarnation: self.incarnation,
            level: (limits::MIN_LEVEL, limits::MAX_LEVEL),
            purpose,
        }
    }

    /// Whether a member that says hello may talk to us, or why not.
    fn welcome(&self, hello: &Hello, level: u32) -> Welcome {
        let refusal = if hello.cluster_id != self.cluster_id {
            format!(
                "cluster id mismatch: member {:x} is of cluster {:x}, this one of {:x}; check --initial-cluster \
                 and --initial-cluster-token",
                hello.from, hello.cluster_id, self.cluster_id
            )
        } else if hello.to != self.member_id {
            format!("member {:x} was looked for, but this address is member {:x}", hello.to, self.member_id)
        } else if hello.protocol.0 > peer::PROTOCOL.1 || hello.protocol.1 < peer::PROTOCOL.0 {
            let (theirs, ours) = (hello.protocol, peer::PROTOCOL);
            format!("peer protocols {}..{} and {}..{} do not overlap", theirs.0, theirs.1, ours.0, ours.1)
        } else if hello.level.1 < level || hello.level.0 > level {
            format!("the cluster is at level {level}, the member understands {:?}", hello.level)
        } else {
            let level = (limits::MIN_LEVEL, limits::MAX_LEVEL);
            return Welcome::Accepted { incarnation: self.incarnation, level };
        };
        Welcome::Refused(refusal)
    }
}

/// The links of one member, made when first used.
pub(super) struct Peers<R: Runtime> {
    local: Local,
    net: R::Net,
    addresses: Mutex<BTreeMap<u64, String>>,
    links: Mutex<BTreeMap<(u64, Purpose), Arc<Link>>>,
}

impl<R: Runtime> Peers<R> {
    /// Links that start from `local` to `addresses` (`host:port`) by member id.
    pub fn new(local: Local, net: R::Net, addresses: BTreeMap<u64, String>) -> Arc<Self> {
        let (addresses, links) = (Mutex::new(addresses), Mutex::new(BTreeMap::new()));
        Arc::new(Peers { local, net, addresses, links })
    }

    /// The link to `member` for `purpose`. Errors when no address is known.
    pub fn link(&self, member: u64, purpose: Purpose) -> Result<Arc<Link>, LinkError> {
        let mut links = lock(&self.links);
        if let Some(link) = links.get(&(member, purpose)) {
            return Ok(link.clone());
        }
        let addresses = lock(&self.addresses);
        let Some(address) = addresses.get(&member) else {
            return Err(LinkError::Unreachable(format!("no address is known of member {member:x}")));
        };
        let hello = self.local.hello(member, purpose);
        let link = Link::open::<R>(self.net.clone(), address.clone(), hello, self.local.patience_ms);
        links.insert((member, purpose), Arc::new(link));
        Ok(links[&(member, purpose)].clone())
    }

    /// Ends all links.
    pub fn close(&self) {
        lock(&self.links).clear();
    }
}
