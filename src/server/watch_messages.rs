//! Watch responses as the bytes of gRPC messages. Events are encoded once for all watchers: small
//! ones are copied into a stream's buffer, large ones go out from where they are.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use prost::encoding::{encode_varint, encoded_len_varint};

use super::encode::event_field;
use super::translate::{response_header, watch_response};
use super::unary::prefix;
use crate::node::api::{Announced, Header, WatchOutput};

/// Events of this many bytes or more are not copied. A frame of their own costs about a system call,
/// which is what copying this much costs.
const SPLICED_BYTES: usize = 8 * 1024;
/// What an average small message takes.
const MESSAGE_BYTES: usize = 192;
/// Room that is made at once, at most.
const MOST_ROOM_BYTES: usize = 20 * 1024;

/// Tags of `WatchResponse`.
const HEADER: u8 = 1 << 3 | 2;
const WATCH_ID: u8 = 2 << 3;
const FRAGMENT: u8 = 7 << 3;
/// Bytes of the fragment flag.
const FLAG_BYTES: usize = 2;

/// Messages in the making, and those that are ready to go.
pub(super) struct Messages {
    of: Header,
    /// A message of this size or more is split if its watcher asked for that (W15).
    max_bytes: usize,
    buffer: BytesMut,
    frames: VecDeque<Bytes>,
    /// Bytes in `frames`.
    framed_bytes: usize,
    /// The encoded header field of `header_revision`.
    header: Vec<u8>,
    header_revision: Option<i64>,
}

impl Messages {
    /// None yet; `max_bytes` is the size from which messages are split.
    pub fn new(max_bytes: usize) -> Self {
        Messages {
            of: Header::default(),
            max_bytes,
            buffer: BytesMut::new(),
            frames: VecDeque::new(),
            framed_bytes: 0,
            header: Vec::new(),
            header_revision: None,
        }
    }

    /// Adds `outputs`, in order, with `of` as header but for the revision.
    pub fn write(&mut self, outputs: &[WatchOutput], of: Header) {
        self.buffer.reserve((outputs.len() * MESSAGE_BYTES).min(MOST_ROOM_BYTES));
        (self.of, self.header_revision) = (of, None);
        outputs.iter().for_each(|output| self.output(output));
    }

    /// Bytes that are ready.
    pub fn bytes(&self) -> usize {
        self.framed_bytes + self.buffer.len()
    }

    /// Takes the next of them.
    pub fn pop(&mut self) -> Option<Bytes> {
        if self.frames.is_empty() {
            self.flush();
            // What was left of the allocation lives as long as the bytes that were taken.
            self.buffer = BytesMut::new();
        }
        let frame = self.frames.pop_front()?;
        self.framed_bytes -= frame.len();
        Some(frame)
    }

    fn output(&mut self, output: &WatchOutput) {
        let WatchOutput::Events { watch_id, revision, events, prev_kv, fragment } = output else {
            let message = watch_response(output, &self.of);
            self.buffer.put_slice(&prefix(message.encoded_len()));
            message.encode_raw(&mut self.buffer);
            return;
        };
        self.set_header(*revision);
        let field = |event: &Arc<Announced>| event.encoded(*prev_kv, event_field).clone();
        match events.as_slice() {
            [event] => self.message(*watch_id, false, &[event.encoded(*prev_kv, event_field)]),
            several => {
                let fields: Vec<Bytes> = several.iter().map(field).collect();
                self.pieces(*watch_id, *fragment, &fields);
            }
        }
    }

    /// One message or, if the watcher asked for fragments and it is large, several, each below the
    /// limit unless a single event is not. The fragment flag is set on all but the last (W15).
    fn pieces(&mut self, watch_id: i64, fragment: bool, fields: &[Bytes]) {
        let shape = self.shape_bytes(watch_id);
        let all: usize = fields.iter().map(Bytes::len).sum();
        if !fragment || shape + all < self.max_bytes {
            return self.message(watch_id, false, &fields.iter().collect::<Vec<_>>());
        }
        let mut piece: Vec<&Bytes> = Vec::new();
        let mut bytes = shape + FLAG_BYTES;
        for field in fields {
            if !piece.is_empty() && bytes + field.len() >= self.max_bytes {
                self.message(watch_id, true, &piece);
                piece.clear();
                bytes = shape + FLAG_BYTES;
            }
            bytes += field.len();
            piece.push(field);
        }
        self.message(watch_id, false, &piece);
    }

    fn message(&mut self, watch_id: i64, flagged: bool, fields: &[&Bytes]) {
        let events: usize = fields.iter().map(|field| field.len()).sum();
        let flag = if flagged { FLAG_BYTES } else { 0 };
        let length = self.shape_bytes(watch_id) + flag + events;
        self.buffer.put_slice(&prefix(length));
        self.buffer.put_slice(&self.header);
        if watch_id != 0 {
            self.buffer.put_u8(WATCH_ID);
            encode_varint(watch_id.cast_unsigned(), &mut self.buffer);
        }
        if flagged {
            self.buffer.put_slice(&[FRAGMENT, 1]);
        }
        for field in fields {
            if field.len() < SPLICED_BYTES {
                self.buffer.put_slice(field);
            } else {
                self.flush();
                self.framed_bytes += field.len();
                self.frames.push_back((*field).clone());
            }
        }
    }

    /// Bytes of a message besides its flag and events.
    fn shape_bytes(&self, watch_id: i64) -> usize {
        let id = if watch_id == 0 { 0 } else { 1 + encoded_len_varint(watch_id.cast_unsigned()) };
        self.header.len() + id
    }

    fn set_header(&mut self, revision: i64) {
        if self.header_revision != Some(revision) {
            let header = response_header(&Header { revision, ..self.of });
            self.header.clear();
            self.header.push(HEADER);
            encode_varint(header.encoded_len() as u64, &mut self.header);
            header.encode_raw(&mut self.header);
            self.header_revision = Some(revision);
        }
    }

    fn flush(&mut self) {
        if !self.buffer.is_empty() {
            self.framed_bytes += self.buffer.len();
            self.frames.push_back(self.buffer.split().freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use etched_proto::etcdserverpb::WatchResponse;
    use proptest::prelude::*;

    use super::*;
    use crate::node::api::WatchEvents;
    use crate::types::{Event, KeyValue, KeyValueFields};

    fn announced(main: i64, value: usize, has_previous: bool) -> Arc<Announced> {
        let record = |main| {
            let fields = KeyValueFields { mod_revision: main, version: 1, ..KeyValueFields::default() };
            KeyValue::new(fields, b"key", &vec![7; value])
        };
        let prev_kv = has_previous.then(|| record(main - 1));
        Arc::new(Announced::new(Event { kv: record(main), prev_kv }))
    }

    /// The messages in a body's bytes.
    fn decode(outputs: &[WatchOutput], of: Header, max_bytes: usize) -> Vec<(usize, WatchResponse)> {
        let mut body = Messages::new(max_bytes);
        body.write(outputs, of);
        let bytes = body.bytes();
        let all: Vec<u8> = std::iter::from_fn(|| body.pop()).flatten().collect();
        assert_eq!((all.len(), body.bytes()), (bytes, 0));
        let mut left = all.as_slice();
        let mut messages = Vec::new();
        while let Some((prefix, rest)) = left.split_first_chunk::<5>() {
            assert_eq!(prefix[0], 0, "not compressed");
            let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
            messages.push((length, WatchResponse::decode(&rest[..length]).expect("a whole message")));
            left = &rest[length..];
        }
        messages
    }

    proptest! {
        /// W15: pieces join to the whole, only the last is not flagged, none is too large unless it
        /// holds one event.
        #[test]
        fn w15_fragments(
            sizes in prop::collection::vec(prop_oneof![0usize..300, 8000usize..9000], 1..20),
            max in 64usize..2000,
            fragment: bool,
            prev_kv: bool,
            watch_id in prop_oneof![Just(0i64), any::<i64>()],
        ) {
            let events = sizes.iter().zip(2..).map(|(size, main)| announced(main, *size, main % 3 == 0));
            let events = WatchEvents::Many(events.collect());
            let output = WatchOutput::Events { watch_id, revision: 99, events, prev_kv, fragment };
            let of = Header { cluster_id: 1, member_id: u64::MAX, raft_term: 7, revision: 0 };
            let whole = watch_response(&output, &of);
            let last = WatchOutput::Progress { watch_id: -1, revision: 99 };
            let mut pieces = decode(&[output, last.clone()], of, max);
            prop_assert_eq!(pieces.pop().map(|(_, message)| message), Some(watch_response(&last, &of)));
            let joined: Vec<_> = pieces.iter().flat_map(|(_, piece)| piece.events.clone()).collect();
            prop_assert_eq!(&joined, &whole.events);
            if !fragment || whole.encoded_len() < max {
                prop_assert_eq!(&pieces, &[(whole.encoded_len(), whole.clone())]);
            }
            for (index, (length, piece)) in pieces.iter().enumerate() {
                prop_assert_eq!(piece.fragment, index + 1 < pieces.len());
                prop_assert!(!fragment || *length < max || piece.events.len() == 1);
                prop_assert!(!piece.events.is_empty());
                prop_assert_eq!((piece.watch_id, piece.header), (watch_id, whole.header));
            }
        }
    }
}
