//! Who this member is: computed once from the initial cluster, then read from the directory.

use std::fmt;
use std::io;

use super::NodeConfig;
use crate::codec::identity::{self, Identity};
use crate::members::id;
use crate::runtime::{Disk, File, OpenMode};
use crate::types::Member;

const FILE: &str = "identity";
const TEMPORARY: &str = "identity.tmp";

/// Why a node could not be opened, in one line that says what to do.
#[derive(Debug)]
pub enum OpenError {
    /// The configuration contradicts itself or the directory.
    Config(String),
    /// The directory could not be read or written.
    Disk(String),
    /// The directory is damaged below what was durable.
    Damaged(String),
    /// A peer address could not be bound.
    Listen(String),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (OpenError::Config(text)
        | OpenError::Disk(text)
        | OpenError::Damaged(text)
        | OpenError::Listen(text)) = self;
        f.write_str(text)
    }
}

impl std::error::Error for OpenError {}

/// The initial cluster as members, sorted by id, and its cluster id (CL9).
pub(super) fn initial_members(config: &NodeConfig) -> (Vec<Member>, u64) {
    let token = &config.initial_cluster_token;
    let member = |initial: &super::InitialMember| Member {
        id: id::member_id(&initial.peer_urls, token),
        name: initial.name.clone(),
        peer_urls: initial.peer_urls.clone(),
        client_urls: Vec::new(),
        is_learner: false,
    };
    let mut members: Vec<Member> = config.initial_cluster.iter().map(member).collect();
    members.sort_by_key(|member| member.id);
    let ids: Vec<u64> = members.iter().map(|member| member.id).collect();
    let cluster_id = id::cluster_id(&ids);
    (members, cluster_id)
}

/// What a directory belongs to, and whether it is new.
pub(super) struct Known {
    pub identity: Identity,
    pub members: Vec<Member>,
    pub is_new: bool,
}

/// Takes the lock, reads the identity or makes it durable for a new directory.
pub(super) async fn establish<D: Disk>(disk: &D, config: &NodeConfig) -> Result<Known, OpenError> {
    let place = disk.display();
    disk.lock("LOCK").await.map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => OpenError::Disk(format!(
            "data directory {place} is in use by another process; stop it or give another --data-dir"
        )),
        _ => OpenError::Disk(format!("cannot lock data directory {place}: {error}")),
    })?;
    let (members, cluster_id) = initial_members(config);
    let own = config.initial_cluster.iter().position(|initial| initial.name == config.name);
    let Some(own) = own else {
        return Err(OpenError::Config(format!(
            "member {:?} is not in --initial-cluster; add {0}=<peer URL> or correct --name",
            config.name
        )));
    };
    let token = &config.initial_cluster_token;
    let member_id = id::member_id(&config.initial_cluster[own].peer_urls, token);
    let wanted = Identity::new(member_id, cluster_id, token);
    match read(disk).await? {
        None => {
            write(disk, &wanted).await.map_err(|error| {
                OpenError::Disk(format!("cannot write the identity in data directory {place}: {error}"))
            })?;
            Ok(Known { identity: wanted, members, is_new: true })
        }
        Some(found) if found.token_hash != wanted.token_hash || found.member_id != member_id => {
            Err(OpenError::Config(format!(
                "data directory {place} belongs to member {:x} of cluster {:x}, but the flags describe member \
                 {member_id:x} of cluster {cluster_id:x}; give another --data-dir or the flags it was made with",
                found.member_id, found.cluster_id
            )))
        }
        Some(found) => Ok(Known { identity: found, members, is_new: false }),
    }
}

async fn read<D: Disk>(disk: &D) -> Result<Option<Identity>, OpenError> {
    let place = disk.display();
    let file = match disk.open(FILE, OpenMode::Read).await {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(OpenError::Disk(format!("cannot open {place}/{FILE}: {error}"))),
    };
    let bytes = async {
        let length = file.len().await?;
        file.read_at(0, usize::try_from(length).unwrap_or(usize::MAX).min(1 << 20)).await
    };
    let bytes =
        bytes.await.map_err(|error| OpenError::Disk(format!("cannot read {place}/{FILE}: {error}")))?;
    let identity = identity::decode(&bytes).map_err(|error| {
        let remedy = super::open::remedy(error.is_newer_format());
        OpenError::Damaged(format!("{place}/{FILE} is not usable: {error}; {remedy}"))
    })?;
    Ok(Some(identity))
}

/// New file, sync, rename, sync of the folder: the identity is there whole or not at all.
async fn write<D: Disk>(disk: &D, identity: &Identity) -> io::Result<()> {
    let file = disk.open(TEMPORARY, OpenMode::Create).await?;
    file.set_len(0).await?;
    file.write_sync(0, identity::encode(identity)).await?;
    disk.rename(TEMPORARY, FILE).await?;
    disk.sync_dir("").await
}
