//! Elections beside the campaign: who leads, what they say, and how they stop (E3, E4).

use bytes::Bytes;

use super::wait::Events;
use super::{below, created_at};
use crate::node::Node;
use crate::node::api::{Header, RequestContext};
use crate::runtime::Runtime;
use crate::types::{
    DeleteRangeRequest, Error, KeyRange, KeyValue, LeaseId, PutRequest, RangeRequest, RequestOp, SortOrder,
    SortTarget, TxnRequest,
};

/// What a leader shows for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leading {
    /// Its key.
    pub key: Bytes,
    /// The key's create revision.
    pub revision: i64,
    /// Its lease, 0 to leave the key's as it is.
    pub lease: LeaseId,
}

impl<R: Runtime> Node<R> {
    /// Election.Proclaim: a leader's new value. Errors: ElectionNotLeader.
    pub async fn proclaim(
        &self,
        leading: Leading,
        value: Bytes,
        context: RequestContext,
    ) -> Result<Header, Error> {
        let put = PutRequest {
            key: leading.key.clone(),
            value,
            lease: leading.lease,
            ignore_lease: leading.lease == 0,
            ..PutRequest::default()
        };
        let (succeeded, header) = self.as_leader(&leading, RequestOp::Put(put), context).await?;
        if succeeded { Ok(header) } else { Err(Error::ElectionNotLeader) }
    }

    /// Election.Resign: does nothing for one who does not lead any more.
    pub async fn resign(&self, leading: Leading, context: RequestContext) -> Result<Header, Error> {
        let delete = DeleteRangeRequest { range: KeyRange::single(leading.key.clone()), prev_kv: false };
        if planted!(ResignWithoutGuard) {
            return Ok(self.delete_range(delete, context).await?.1);
        }
        let (_, header) = self.as_leader(&leading, RequestOp::DeleteRange(delete), context).await?;
        Ok(header)
    }

    async fn as_leader(
        &self,
        leading: &Leading,
        op: RequestOp,
        context: RequestContext,
    ) -> Result<(bool, Header), Error> {
        let compare = vec![created_at(&leading.key, leading.revision)];
        let txn = TxnRequest { compare, success: vec![op], failure: Vec::new() };
        let (response, header) = self.txn(txn, context).await?;
        Ok((response.succeeded, header))
    }

    /// Election.Leader: the key of who leads `name`. Errors: ElectionNoLeader.
    pub async fn election_leader(
        &self,
        name: &[u8],
        context: RequestContext,
    ) -> Result<(KeyValue, Header), Error> {
        let (leader, header) = self.oldest(name, context).await?;
        leader.map(|kv| (kv, header)).ok_or(Error::ElectionNoLeader)
    }

    async fn oldest(
        &self,
        name: &[u8],
        context: RequestContext,
    ) -> Result<(Option<KeyValue>, Header), Error> {
        let oldest = RangeRequest {
            limit: 1,
            sort_order: SortOrder::Ascend,
            sort_target: SortTarget::Create,
            serializable: planted!(LeaderFromOldView),
            ..RangeRequest::newest(below(name))
        };
        let (response, header) = self.range(oldest, context).await?;
        Ok((response.kvs.into_iter().next(), header))
    }

    /// Election.Observe: who leads `name` and what they proclaim, from now on.
    pub fn observe_election(&self, name: Bytes, context: RequestContext) -> Observed<R> {
        Observed { node: self.clone(), name, context, leader: None }
    }
}

/// An election that is followed.
pub struct Observed<R: Runtime> {
    node: Node<R>,
    name: Bytes,
    context: RequestContext,
    /// The key of who leads, and its events.
    leader: Option<(i64, Events<R>)>,
}

impl<R: Runtime> Observed<R> {
    /// The next leader or value.
    pub async fn next(&mut self) -> Result<(KeyValue, Header), Error> {
        if let Some((created, events)) = &mut self.leader {
            if let Some(event) = events.next().await?
                && event.kv.fields().create_revision == *created
            {
                let revision = event.kv.fields().mod_revision;
                return Ok((event.kv, self.node.header(revision)));
            }
            // Deleted, created anew or compacted.
            self.leader = None;
        }
        loop {
            let (leader, header) = self.node.oldest(&self.name, self.context).await?;
            let from = header.revision + 1 + i64::from(planted!(ObserverStartsLate));
            if let Some(leader) = leader {
                let key = KeyRange::single(Bytes::copy_from_slice(leader.key()));
                let events = Events::of(&self.node, key, from, self.context.login);
                self.leader = Some((leader.fields().create_revision, events));
                return Ok((leader, header));
            }
            let mut events = Events::of(&self.node, below(&self.name), from, self.context.login);
            while events.next().await?.is_some_and(|event| event.kv.is_tombstone()) {}
        }
    }
}
