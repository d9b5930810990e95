//! Cancel: a watch ends because the client asked, because compaction passed what it still needs, or
//! was refused for what it asked (W3, W5, W9–W11, W13).

use etched_proto::etcdserverpb as pb;

use super::super::violation::{Checked, violation};
use super::{Seen, Stream};

const EMPTY_RANGE: &str = "mvcc: watcher range is empty";
const DUPLICATE_ID: &str = "mvcc: duplicate watch ID provided on the WatchStream";
const COMPACTED: &str = "etcdserver: mvcc: required revision has been compacted";

impl Seen<'_> {
    pub(super) fn cancel(&self, response: &pb::WatchResponse, is_asked: bool) -> Checked {
        let (name, next, compacted) = (self.name, self.watch.next, response.compact_revision);
        let newest = self.model.compact_revision();
        if compacted == 0 && !is_asked {
            violation!("watch-cancel", "{name}: cancelled, but nobody asked and nothing is compacted");
        }
        if compacted != 0 && (compacted > newest || next >= compacted) {
            violation!(
                "watch-cancel",
                "{name}: cancelled for compact revision {compacted}, but it needs revision {next} and \
                 {newest} is compacted"
            );
        }
        if !response.cancel_reason.is_empty() || !response.events.is_empty() {
            violation!("watch-cancel", "{name}: a cancel gives neither a reason nor events: {response:?}");
        }
        Ok(())
    }
}

impl Stream {
    /// A create was refused.
    pub(super) fn refused(
        &self,
        stream: u64,
        create: &pb::WatchCreateRequest,
        response: &pb::WatchResponse,
    ) -> Checked {
        let (key, end) = (&create.key, &create.range_end);
        let is_empty = !end.is_empty() && end.as_ref() as &[u8] != [0] && end <= key;
        let is_right = match response.cancel_reason.as_str() {
            EMPTY_RANGE => is_empty,
            DUPLICATE_ID => create.watch_id != 0,
            COMPACTED => create.start_revision < 0,
            _ => false,
        };
        if !is_right || response.watch_id != -1 || response.compact_revision != 0 {
            violation!("watch-cancel", "stream {stream}: {create:?} was refused by {response:?}");
        }
        Ok(())
    }
}
