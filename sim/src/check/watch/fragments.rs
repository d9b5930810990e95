//! Fragments: only for who asked; the pieces of a response follow each other, and the last one says
//! so (W15).

use etched_proto::etcdserverpb as pb;

use super::super::violation::{Checked, violation};
use super::Stream;

impl Stream {
    pub(super) fn fragments(&mut self, stream: u64, response: &pb::WatchResponse, revision: i64) -> Checked {
        let place = (response.watch_id, revision);
        if let Some(begun) = self.unfinished.take()
            && (begun != place || response.events.is_empty())
        {
            violation!(
                "watch-fragments",
                "stream {stream}: {response:?} comes inside the response of {begun:?}"
            );
        }
        if !response.fragment {
            return Ok(());
        }
        let asked = self.watches.get(&response.watch_id).is_some_and(|watch| watch.create.fragment);
        if !asked || response.events.is_empty() {
            violation!(
                "watch-fragments",
                "stream {stream}: a fragment that is empty or not asked for: {response:?}"
            );
        }
        self.unfinished = Some(place);
        Ok(())
    }
}
