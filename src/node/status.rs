//! What a member says of itself and of its cluster.

use super::Node;
use super::api::{Header, RequestContext, Status};
use crate::runtime::Runtime;
use crate::state::HashKv;
use crate::types::limits::ETCD_VERSION;
use crate::types::{Error, Member};

impl<R: Runtime> Node<R> {
    /// Maintenance.Status: local, no quorum (MA6).
    pub fn status(&self) -> (Status, Header) {
        let engine = self.inner.engine.status();
        let view = self.view();
        let size = |bytes: usize| i64::try_from(bytes).unwrap_or(i64::MAX);
        let mut errors = Vec::new();
        if engine.leader.is_none() {
            errors.push(Error::NoLeader.text().to_string());
        }
        let status = Status {
            version: ETCD_VERSION.to_string(),
            leader: engine.leader.unwrap_or(0),
            raft_index: engine.last_index.map_or(0, |index| index + 1),
            raft_applied_index: engine.applied_index.map_or(0, |index| index + 1),
            raft_term: engine.term,
            db_size: size(view.size_bytes()),
            db_size_in_use: size(view.size_in_use_bytes()),
            db_size_quota: self.inner.config.quota_bytes,
            is_learner: engine.role == crate::runtime::Role::Learner,
            errors,
        };
        (status, self.header(view.revision()))
    }

    /// Whether this member leads and its lease is good.
    pub fn leads(&self) -> bool {
        self.inner.engine.status().leader == Some(self.inner.member_id)
    }

    /// Whether this member knows a leader whose lease is good (M1).
    pub fn has_leader(&self) -> bool {
        self.inner.engine.status().leader.is_some()
    }

    /// Maintenance.HashKV (MA9), off the async threads: it walks all history.
    pub async fn hash_kv(&self, revision: i64) -> Result<(HashKv, Header), Error> {
        let view = self.view();
        let header = self.header(view.revision());
        let hash = R::spawn_blocking("hash", move || view.hash_kv(revision));
        hash.await.map_err(|_| Error::Stopped)?.map(|hash| (hash, header))
    }

    /// Cluster.MemberList; `linearizable` waits for a read index first (CL6).
    pub async fn member_list(
        &self,
        linearizable: bool,
        context: RequestContext,
    ) -> Result<(Vec<Member>, Header), Error> {
        let view = if linearizable { self.read_barrier(context).await? } else { self.view() };
        let published = view.members();
        let known = |member: &Member| published.iter().find(|one| one.id == member.id).cloned();
        let members =
            self.inner.members.iter().map(|member| known(member).unwrap_or_else(|| unstarted(member)));
        Ok((members.collect(), self.header(0)))
    }
}

/// A member that has not published itself yet: empty name and client URLs (CL7).
fn unstarted(member: &Member) -> Member {
    Member { name: String::new(), client_urls: Vec::new(), ..member.clone() }
}
