//! Clients that send many small messages at once, frame by frame.

use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::pings::{connect, frame, open_stream};
use super::*;

/// About what the window of a stream has room for, in messages of seven bytes.
const MESSAGES: usize = 70_000;
/// SETTINGS_INITIAL_WINDOW_SIZE and the connection's window, as large as they can be: answers never wait.
const WINDOWS: &[u8] = b"\0\0\x06\x04\0\0\0\0\0\0\x04\x7f\xff\xff\xff\0\0\x04\x08\0\0\0\0\0\x7f\xff\0\0";

/// A frame of stream 1 that watches the key `a`.
const CREATE: &[u8] = b"\0\0\x0a\0\0\0\0\0\x01\0\0\0\0\x05\x0a\x03\x0a\x01a";

/// `count` frames of stream 1, each with the message `body`.
fn frames(body: [u8; 2], count: usize) -> Vec<u8> {
    [0, 0, 7, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 2, body[0], body[1]].repeat(count)
}

/// A connection on which the server's own windows are in force: they are once its settings are acknowledged.
async fn wide(member: &Member) -> impl crate::runtime::Stream + use<> {
    let mut stream = connect(member).await;
    while frame(&mut stream).await.expect("settings").0 != 4 {}
    stream.write_all(&[0, 0, 0, 4, 1, 0, 0, 0, 0]).await.expect("sent");
    stream
}

/// The messages of stream 1 as they come.
struct Answers<S> {
    stream: S,
    bytes: Vec<u8>,
    taken: usize,
}

impl<S: AsyncReadExt + Unpin> Answers<S> {
    fn of(stream: S) -> Self {
        Answers { stream, bytes: Vec::new(), taken: 0 }
    }

    async fn next<M: Message + Default>(&mut self) -> M {
        loop {
            let rest = &self.bytes[self.taken..];
            if let Some(length) = rest.get(1..5) {
                let end = 5 + u32::from_be_bytes(length.try_into().expect("four bytes")) as usize;
                if let Some(message) = rest.get(5..end) {
                    self.taken += end;
                    return M::decode(message).expect("a message");
                }
            }
            let (kind, _, payload) = frame(&mut self.stream).await.expect("the connection stays");
            assert_ne!(kind, 7, "GOAWAY: {}", payload.escape_ascii());
            assert_ne!(kind, 3, "RST_STREAM: {}", payload.escape_ascii());
            if kind == 0 {
                self.bytes.drain(..std::mem::take(&mut self.taken));
                self.bytes.extend(payload);
            }
        }
    }
}

#[test]
fn keep_alives_that_come_all_at_once_are_all_answered() {
    block_on(async {
        let member = Member::start("flood-leases", 1).await;
        let (reader, mut writer) = tokio::io::split(wide(&member).await);
        let mut answers = Answers::of(reader);
        let writing = async {
            writer.write_all(WINDOWS).await.expect("sent");
            writer.write_all(&open_stream(1, "/etcdserverpb.Lease/LeaseKeepAlive")).await.expect("sent");
            // Of lease 1, which nobody granted.
            writer.write_all(&frames([8, 1], MESSAGES)).await.expect("sent");
        };
        let reading = async {
            for _ in 0..MESSAGES {
                let answer: pb::LeaseKeepAliveResponse = answers.next().await;
                assert_eq!((answer.id, answer.ttl), (1, 0));
            }
        };
        futures_util::join!(writing, reading);
        member.kv().await.put(put("a", "1")).await.expect("a put");
        drop((answers, writer));
        member.stop().await;
    });
}

#[test]
fn who_asks_for_progress_without_reading_keeps_the_connection() {
    block_on(async {
        let member = Member::start("flood-watch", 1).await;
        let mut stream = wide(&member).await;
        stream.write_all(&open_stream(1, "/etcdserverpb.Watch/Watch")).await.expect("sent");
        stream.write_all(CREATE).await.expect("sent");
        stream.write_all(&frames([26, 0], MESSAGES)).await.expect("sent");
        // The client's window of 65,535 bytes is full by now; others are served all the same.
        let mut kv = member.kv().await;
        for _ in 0..20 {
            kv.put(put("a", "1")).await.expect("a put");
        }
        stream.write_all(WINDOWS).await.expect("sent");
        // The watcher is cancelled once all that was asked before was seen to.
        stream.write_all(&frames([18, 0], 1)).await.expect("sent");
        let (mut answers, mut events) = (Answers::of(stream), 0);
        loop {
            let response: pb::WatchResponse = answers.next().await;
            events += response.events.len();
            if response.canceled {
                break;
            }
        }
        assert_eq!(events, 20);
        drop(answers);
        member.stop().await;
    });
}

/// Frames smaller than any message, so many that they would take far more memory than they have bytes.
#[test]
fn a_message_cut_to_dust_ends_its_connection_only() {
    block_on(async {
        let member = Member::start("flood-dust", 1).await;
        let (mut reader, mut writer) = tokio::io::split(wide(&member).await);
        let mut flood = open_stream(1, "/etcdserverpb.Watch/Watch");
        flood.extend(CREATE);
        // Answers fill the client's window of 65,535 bytes, and nothing more is read.
        flood.extend(frames([26, 0], 20_000));
        flood.extend([0, 0, 1, 0, 0, 0, 0, 0, 1, 0].repeat(300_000));
        let writing = async {
            // Until the connection is gone.
            let _ = writer.write_all(&flood).await;
        };
        let reading = async {
            let mut last = None;
            while let Some(frame) = frame(&mut reader).await {
                last = Some(frame);
            }
            last.expect("last words")
        };
        let ((), (kind, _, words)) = futures_util::join!(writing, reading);
        assert_eq!((kind, words), (7, b"\0\0\0\x01\0\0\0\x0btoo_many_data_frames".to_vec()));
        member.kv().await.put(put("a", "1")).await.expect("others are served");
        member.stop().await;
    });
}
