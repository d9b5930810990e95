//! Pings in both directions, frame by frame (M9).

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::runtime::Stream;

const PING: &[u8] = &[0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
const PONG: &[u8] = &[0, 0, 8, 6, 1, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];

const PUT: &str = "/etcdserverpb.KV/Put";

/// Connects and says hello as an HTTP/2 client.
pub(super) async fn connect(member: &Member) -> impl Stream + use<> {
    let mut stream = OsNet.dial(&member.address).await.expect("a connection");
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("sent");
    stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.expect("sent");
    stream
}

/// The next frame: kind, flags and payload; `None` when the server hung up.
pub(super) async fn frame(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<(u8, u8, Vec<u8>)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.ok()?;
    let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
    stream.read_exact(&mut payload).await.ok()?;
    Some((head[3], head[4], payload))
}

/// Pings until the server has answered or hung up; false for the latter, with the GOAWAY's payload.
async fn ping(stream: &mut impl Stream) -> Result<(), Vec<u8>> {
    let mut last_words = Vec::new();
    if stream.write_all(PING).await.is_err() {
        return Err(last_words);
    }
    while let Some((kind, flags, payload)) = frame(stream).await {
        match (kind, flags) {
            (6, 1) if last_words.is_empty() => return Ok(()),
            (7, _) => last_words = payload,
            _ => {}
        }
    }
    Err(last_words)
}

fn options(min_time: Duration) -> ServerOptions {
    ServerOptions { keep_alive_min_time_ms: min_time.as_millis() as u64, ..ServerOptions::default() }
}

const CALM: &[u8] = b"\x7f\xff\xff\xff\x00\x00\x00\x0btoo_many_pings";

#[test]
fn m9_too_many_pings() {
    block_on(async {
        let member = Member::with("pings", 1, |_| {}, options(Duration::from_secs(5))).await;
        // Without any stream.
        let mut stream = connect(&member).await;
        for _ in 0..3 {
            assert_eq!(ping(&mut stream).await, Ok(()));
        }
        assert_eq!(ping(&mut stream).await, Err(CALM.to_vec()));
        // All at once and torn.
        let mut stream = connect(&member).await;
        for part in PING.repeat(20).chunks(5) {
            let _ = stream.write_all(part).await;
        }
        let mut last = None;
        while let Some(frame) = frame(&mut stream).await {
            last = Some(frame);
        }
        assert_eq!(last.expect("last words").2, CALM);
        // Others are as well as before.
        member.kv().await.put(put("a", "1")).await.expect("a put");
        member.stop().await;
    });
}

/// HEADERS that open a stream of gRPC without ending it: HPACK literals, never indexed.
pub(super) fn open_stream(id: u8, path: &str) -> Vec<u8> {
    let mut block = vec![0x83, 0x86];
    let mut literal = |name: &str, value: &str| {
        block.push(0x10);
        for text in [name, value] {
            block.push(text.len() as u8);
            block.extend(text.as_bytes());
        }
    };
    literal(":path", path);
    literal(":authority", "x");
    literal("content-type", "application/grpc");
    let mut frame = vec![0, 0, block.len() as u8, 1, 4, 0, 0, 0, id];
    frame.extend(block);
    frame
}

#[test]
fn m9_pings_with_a_stream_and_what_forgives_them() {
    block_on(async {
        let member = Member::with("open-pings", 1, |_| {}, options(Duration::from_millis(20))).await;
        let mut stream = connect(&member).await;
        stream.write_all(&open_stream(1, PUT)).await.expect("sent");
        for _ in 0..8 {
            assert_eq!(ping(&mut stream).await, Ok(()));
            OsRuntime::sleep(Duration::from_millis(25)).await;
        }
        // An answer forgives: here the answer to a stream that ends without its message.
        for id in (3..40).step_by(2) {
            stream.write_all(&open_stream(id, PUT)).await.expect("sent");
            stream.write_all(&[0, 0, 0, 0, 1, 0, 0, 0, id]).await.expect("sent");
            while frame(&mut stream).await.expect("an answer").0 != 1 {}
            assert_eq!(ping(&mut stream).await, Ok(()), "{id}");
        }
        member.stop().await;
    });
}

#[test]
fn dead_connections_are_closed() {
    block_on(async {
        let options = ServerOptions {
            keep_alive_interval_ms: 50,
            keep_alive_timeout_ms: 500,
            ..ServerOptions::default()
        };
        let member = Member::with("dead", 1, |_| {}, options).await;
        let (mut dead, mut alive) = (connect(&member).await, connect(&member).await);
        let answering = OsRuntime::spawn("alive", async move {
            while let Some((kind, flags, mut payload)) = frame(&mut alive).await {
                if (kind, flags) == (6, 0) {
                    payload.splice(..0, PONG[..9].iter().copied());
                    alive.write_all(&payload).await.expect("sent");
                }
            }
        });
        let mut pings = 0;
        while let Some((kind, ..)) = frame(&mut dead).await {
            pings += u32::from(kind == 6);
        }
        assert!(pings > 0);
        OsRuntime::sleep(Duration::from_millis(200)).await;
        let over = timeout::<OsRuntime, _>(Duration::from_millis(1), answering).await;
        assert!(over.is_none(), "a client that answers stays");
        member.stop().await;
    });
}

#[test]
fn who_does_not_greet_is_dropped() {
    block_on(async {
        let options = ServerOptions { greeting_timeout_ms: 300, ..ServerOptions::default() };
        let member = Member::with("greeting", 1, |_| {}, options).await;
        let mut greeted = connect(&member).await;
        // The whole greeting is the preface and the nine bytes of its SETTINGS' head.
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0";
        let cut = [0, 2, 24, 32].map(|length| &preface[..length]);
        for start in cut.into_iter().chain([b"GET /health HTTP/1.1\r\n".as_slice()]) {
            let mut stream = OsNet.dial(&member.address).await.expect("a connection");
            stream.write_all(start).await.expect("sent");
            let begin = OsRuntime::now();
            let _ = timeout::<OsRuntime, _>(Duration::from_secs(20), stream.read_to_end(&mut Vec::new()))
                .await
                .expect("it ends");
            let after = OsRuntime::now() - begin;
            assert!(after >= Duration::from_millis(250), "{start:?}: {after:?}");
        }
        greeted.write_all(PING).await.expect("sent");
        while frame(&mut greeted).await.expect("a client that greeted stays").0 != 6 {}
        member.stop().await;
    });
}

#[test]
fn who_talks_is_not_pinged() {
    block_on(async {
        let options = ServerOptions {
            keep_alive_min_time_ms: 1,
            keep_alive_interval_ms: 500,
            keep_alive_timeout_ms: 500,
            ..ServerOptions::default()
        };
        let member = Member::with("talks", 1, |_| {}, options).await;
        let mut stream = connect(&member).await;
        stream.write_all(&open_stream(1, PUT)).await.expect("sent");
        // Answers to its own pings only, for thrice the interval.
        for _ in 0..30 {
            OsRuntime::sleep(Duration::from_millis(50)).await;
            stream.write_all(PING).await.expect("sent");
            while let Some((kind, flags, _)) = frame(&mut stream).await {
                assert_ne!((kind, flags), (6, 0));
                if kind == 6 {
                    break;
                }
            }
        }
        // And once it is silent, it is pinged after the interval.
        let silent = OsRuntime::now();
        while frame(&mut stream).await.expect("a ping").0 != 6 {}
        let after = OsRuntime::now() - silent;
        assert!(after >= Duration::from_millis(450), "{after:?}");
        member.stop().await;
    });
}
