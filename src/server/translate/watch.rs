//! Watch streams: create requests in, messages out.

use std::sync::Arc;

use etched_proto::etcdserverpb as pb;
use etched_proto::etcdserverpb::watch_create_request::FilterType;
use etched_proto::mvccpb::Event;

use super::{event, response_header};
use crate::node::api::{Announced, Header, WatchCreate, WatchFilter, WatchOutput};
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

/// Watch: one output as one message.
pub fn watch_response(output: &WatchOutput, of: &Header) -> pb::WatchResponse {
    let shape = |watch_id: i64, revision: i64| pb::WatchResponse {
        header: Some(response_header(&Header { revision, ..*of })),
        watch_id,
        ..pb::WatchResponse::default()
    };
    match *output {
        WatchOutput::Created { watch_id, revision } => {
            pb::WatchResponse { created: true, ..shape(watch_id, revision) }
        }
        WatchOutput::Refused { revision, reason } => pb::WatchResponse {
            created: true,
            canceled: true,
            cancel_reason: reason.to_string(),
            ..shape(if planted!(RefusalNamesWatchZero) { 0 } else { -1 }, revision)
        },
        WatchOutput::Events { watch_id, revision, ref events, prev_kv, .. } => {
            let shown = |announced: &Arc<Announced>| {
                let all = event(announced.event());
                if prev_kv { all } else { Event { prev_kv: None, ..all } }
            };
            pb::WatchResponse {
                events: events.as_slice().iter().map(shown).collect(),
                ..shape(watch_id, revision)
            }
        }
        WatchOutput::Canceled { watch_id, revision, compact_revision } => {
            pb::WatchResponse { canceled: true, compact_revision, ..shape(watch_id, revision) }
        }
        WatchOutput::Progress { watch_id, revision } => shape(watch_id, revision),
    }
}
