//! One direction of a connection: what is on the way and what has arrived.

use std::collections::VecDeque;
use std::task::Waker;

/// Bytes that may be written and not yet acknowledged.
pub(super) const WINDOW_BYTES: usize = 64 * 1024;

/// What travels.
#[derive(Debug)]
pub(super) enum Payload {
    Data(Vec<u8>),
    Finish,
    Reset,
}

impl Payload {
    pub(super) fn len(&self) -> usize {
        match self {
            Payload::Data(data) => data.len(),
            Payload::Finish | Payload::Reset => 0,
        }
    }
}

#[derive(Debug)]
struct Segment {
    at: u64,
    payload: Payload,
}

/// The state of one direction.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    queue: VecDeque<Segment>,
    inbox: VecDeque<Vec<u8>>,
    /// Bytes of the first inbox element that were read already.
    read: usize,
    /// Bytes written and not acknowledged.
    used: usize,
    /// Bytes read whose acknowledgement is stuck behind a cut.
    unacknowledged: usize,
    last_push_ns: u64,
    /// Whether the agenda has an entry for the head.
    pub(super) armed: bool,
    pub(super) finish_sent: bool,
    pub(super) finish_received: bool,
    pub(super) reset_queued: bool,
    pub(super) read_waker: Option<Waker>,
    pub(super) write_waker: Option<Waker>,
}

impl Pipe {
    /// How many bytes the writer may add now.
    pub(super) fn space(&self) -> usize {
        WINDOW_BYTES.saturating_sub(self.used)
    }

    /// Adds to the last segment when that was written at the same instant.
    pub(super) fn extend_last(&mut self, data: &[u8], now: u64) -> bool {
        match self.queue.back_mut() {
            Some(Segment { payload: Payload::Data(last), .. }) if self.last_push_ns == now => {
                last.extend_from_slice(data);
                self.used += data.len();
                true
            }
            _ => false,
        }
    }

    /// Queues a payload that arrives at `at` or after what is before it. The time to schedule, if
    /// the pipe was idle.
    pub(super) fn push(&mut self, payload: Payload, now: u64, at: u64) -> Option<u64> {
        let at = self.queue.back().map_or(at, |last| last.at.max(at));
        self.used += payload.len();
        match payload {
            Payload::Data(_) => self.last_push_ns = now,
            Payload::Finish => self.finish_sent = true,
            Payload::Reset => self.reset_queued = true,
        }
        self.queue.push_back(Segment { at, payload });
        self.arm_if(self.queue.len() == 1)
    }

    fn arm_if(&mut self, condition: bool) -> Option<u64> {
        if condition && !self.armed { self.arm() } else { None }
    }

    /// The time of the head, now to be scheduled.
    pub(super) fn arm(&mut self) -> Option<u64> {
        let at = self.queue.front()?.at;
        self.armed = true;
        Some(at)
    }

    /// The next payload that has arrived by `now`.
    pub(super) fn arrived(&mut self, now: u64) -> Option<Payload> {
        if self.queue.front()?.at > now {
            return None;
        }
        self.queue.pop_front().map(|segment| segment.payload)
    }

    /// Whether something waits that nobody will deliver.
    pub(super) fn stalled(&self) -> bool {
        !self.armed && !self.queue.is_empty()
    }

    /// Sends the head again: it arrives at `at`, and with it everything that is late.
    pub(super) fn restart(&mut self, at: u64) -> u64 {
        let head = self.queue.front_mut().map_or(at, |head| {
            head.at = head.at.max(at);
            head.at
        });
        self.armed = true;
        head
    }

    /// A reset that met a cut is lost.
    pub(super) fn lose_reset(&mut self) {
        if self.reset_queued {
            self.queue.retain(|segment| !matches!(segment.payload, Payload::Reset));
            self.reset_queued = false;
        }
    }

    /// Forgets what is on the way.
    pub(super) fn purge(&mut self) {
        self.queue.clear();
        self.reset_queued = false;
        self.used = 0;
        self.unacknowledged = 0;
    }

    pub(super) fn inbox_push(&mut self, data: Vec<u8>) {
        self.inbox.push_back(data);
    }

    /// Whether unread bytes lie here.
    pub(super) fn has_unread(&self) -> bool {
        !self.inbox.is_empty()
    }

    pub(super) fn forget_inbox(&mut self) {
        self.inbox.clear();
        self.read = 0;
    }

    /// Gives the reader up to `limit` bytes.
    pub(super) fn read_into(&mut self, out: &mut tokio::io::ReadBuf<'_>, limit: usize) -> usize {
        let mut left = limit.min(out.remaining());
        let mut taken = 0;
        while left > 0
            && let Some(front) = self.inbox.front()
        {
            let piece = &front[self.read..];
            let n = piece.len().min(left);
            out.put_slice(&piece[..n]);
            taken += n;
            left -= n;
            self.read += n;
            if self.read == front.len() {
                self.inbox.pop_front();
                self.read = 0;
            }
        }
        self.unacknowledged += taken;
        taken
    }

    /// The acknowledgements arrive: true when a waiting writer has room worth waking it for.
    pub(super) fn acknowledge(&mut self) -> bool {
        self.used = self.used.saturating_sub(self.unacknowledged);
        self.unacknowledged = 0;
        self.write_waker.is_some() && self.space() >= WINDOW_BYTES / 4
    }
}
