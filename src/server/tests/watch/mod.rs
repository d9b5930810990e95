//! Watch streams by row, over real sockets.

mod create;
mod deliver;
mod end;
mod fragments;
mod progress;

use etched_proto::etcdserverpb::watch_client::WatchClient;
use etched_proto::etcdserverpb::watch_request::RequestUnion;
use etched_proto::mvccpb::Event;
use tonic::metadata::MetadataValue;
use tonic::{Request, Streaming};

use super::*;
use crate::runtime::channel::mpsc;

struct Stream {
    requests: mpsc::Sender<pb::WatchRequest>,
    responses: Streaming<pb::WatchResponse>,
}

impl Stream {
    async fn open(member: &Member) -> Stream {
        Stream::with_metadata(member, &[]).await.expect("a stream")
    }

    async fn with_metadata(
        member: &Member,
        metadata: &[(&'static str, &'static str)],
    ) -> Result<Stream, Status> {
        let (requests, mut receiver) = mpsc::channel(16);
        let outgoing = futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx));
        let mut request = Request::new(outgoing);
        for (name, value) in metadata {
            request.metadata_mut().insert(*name, MetadataValue::from_static(value));
        }
        let responses = WatchClient::new(member.channel().await).watch(request).await?.into_inner();
        Ok(Stream { requests, responses })
    }

    async fn send(&self, request: RequestUnion) {
        let request = pb::WatchRequest { request_union: Some(request) };
        self.requests.send(request).await.expect("the stream is open");
    }

    async fn create(&mut self, create: pb::WatchCreateRequest) -> pb::WatchResponse {
        self.send(RequestUnion::CreateRequest(create)).await;
        self.next().await
    }

    async fn next(&mut self) -> pb::WatchResponse {
        self.responses.message().await.expect("no error").expect("no end")
    }

    /// Events until there are `count` of them.
    async fn events(&mut self, count: usize) -> Vec<Event> {
        let mut events = Vec::new();
        while events.len() < count {
            events.extend(self.next().await.events);
        }
        events
    }

    /// Nothing is on its way: what is asked for now is answered next.
    async fn is_silent(&mut self) {
        let refused = self.create(on("b", "a")).await;
        assert_eq!(shape(&refused), (-1, true, true, "mvcc: watcher range is empty"));
    }

    async fn ask_for_progress(&self) {
        self.send(RequestUnion::ProgressRequest(pb::WatchProgressRequest {})).await;
    }

    async fn end(&mut self) -> (Code, String) {
        refusal(self.responses.message().await)
    }
}

fn on(key: &str, range_end: &str) -> pb::WatchCreateRequest {
    let (key, range_end) = (key.to_string().into(), range_end.to_string().into());
    pb::WatchCreateRequest { key, range_end, ..Default::default() }
}

fn shape(response: &pb::WatchResponse) -> (i64, bool, bool, &str) {
    (response.watch_id, response.created, response.canceled, response.cancel_reason.as_str())
}

fn header(response: &pb::WatchResponse) -> i64 {
    response.header.as_ref().expect("a header").revision
}

/// What clients take for progress: nothing in it but a header (W27).
fn is_progress(response: &pb::WatchResponse) -> bool {
    let bare = pb::WatchResponse { header: None, watch_id: 0, ..response.clone() };
    bare == pb::WatchResponse::default() && header(response) != 0
}

fn kv(event: &Event) -> &etched_proto::mvccpb::KeyValue {
    event.kv.as_ref().expect("a record")
}

/// (mod revision, key, whether it is a delete) of each event.
fn told_of(events: &[Event]) -> Vec<(i64, String, bool)> {
    let one = |event: &Event| {
        (kv(event).mod_revision, String::from_utf8_lossy(&kv(event).key).into_owned(), event.r#type == 1)
    };
    events.iter().map(one).collect()
}

fn put_op(key: &str, value: &str) -> pb::RequestOp {
    pb::RequestOp { request: Some(pb::request_op::Request::RequestPut(put(key, value))) }
}

fn all_of(success: Vec<pb::RequestOp>) -> pb::TxnRequest {
    pb::TxnRequest { success, ..Default::default() }
}

fn delete(key: &str, range_end: &str) -> pb::DeleteRangeRequest {
    let (key, range_end) = (key.to_string().into(), range_end.to_string().into());
    pb::DeleteRangeRequest { key, range_end, prev_kv: false }
}

fn compaction(revision: i64) -> pb::CompactionRequest {
    pb::CompactionRequest { revision, physical: false }
}
