//! Watch streams: create requests in, messages out, large messages in pieces (W15).

use etched_proto::etcdserverpb as pb;
use etched_proto::etcdserverpb::watch_create_request::FilterType;
use prost::Message;

use super::{event, response_header};
use crate::node::api::{Header, WatchCreate, WatchFilter, WatchOutput};
use crate::types::KeyRange;

/// Watch: a create request. Filters of unknown kinds filter nothing.
pub fn watch_create(request: pb::WatchCreateRequest) -> WatchCreate {
    let filter = |filter: i32| match FilterType::try_from(filter) {
        Ok(FilterType::Noput) => Some(WatchFilter::NoPut),
        Ok(FilterType::Nodelete) => Some(WatchFilter::NoDelete),
        Err(_) => None,
    };
    WatchCreate {
        range: KeyRange { key: request.key, range_end: request.range_end },
        start_revision: request.start_revision,
        progress_notify: request.progress_notify,
        filters: request.filters.into_iter().filter_map(filter).collect(),
        prev_kv: request.prev_kv,
        watch_id: request.watch_id,
        fragment: request.fragment,
    }
}

/// Watch: one output as one message or, if the watcher asked for fragments and the message has
/// `max_bytes` or more, as several, each below that size unless a single event is not. The fragment
/// flag is set on all but the last.
pub fn fragments(output: WatchOutput, of: &Header, max_bytes: usize) -> Vec<pb::WatchResponse> {
    let shape = pb::WatchResponse {
        header: Some(response_header(&Header { revision: output.header_revision, ..*of })),
        watch_id: output.watch_id,
        created: output.created,
        canceled: output.canceled,
        compact_revision: output.compact_revision,
        cancel_reason: output.cancel_reason,
        fragment: false,
        events: Vec::new(),
    };
    let events: Vec<_> = output.events.iter().map(event).collect();
    let whole = pb::WatchResponse { events, ..shape.clone() };
    if !output.fragment || whole.events.len() < 2 || whole.encoded_len() < max_bytes {
        return vec![whole];
    }
    split(shape, whole.events, max_bytes)
}

fn split(
    shape: pb::WatchResponse,
    events: Vec<etched_proto::mvccpb::Event>,
    max_bytes: usize,
) -> Vec<pb::WatchResponse> {
    // The fragment flag takes two bytes that the shape does not have yet.
    let empty_bytes = shape.encoded_len() + 2;
    let mut pieces = vec![shape.clone()];
    let mut bytes = empty_bytes;
    for event in events {
        let event_bytes = 1 + prost::length_delimiter_len(event.encoded_len()) + event.encoded_len();
        let last = pieces.last_mut().expect("never empty");
        if last.events.is_empty() || bytes + event_bytes < max_bytes {
            bytes += event_bytes;
            last.events.push(event);
        } else {
            last.fragment = true;
            bytes = empty_bytes + event_bytes;
            pieces.push(pb::WatchResponse { events: vec![event], ..shape.clone() });
        }
    }
    pieces
}
