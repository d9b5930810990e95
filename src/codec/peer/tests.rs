//! Messages come back, and their bytes are fixed.

use super::*;

fn place(index: u64) -> LogPosition {
    LogPosition { term: 4, leader: 0, index }
}

#[test]
fn requests_and_replies_come_back() {
    let vote = Vote { term: 4, voted_for: Some(9), committed: true };
    let entries = vec![
        LogEntry { position: place(7), payload: Payload::Blank },
        LogEntry { position: place(8), payload: Payload::Command(Bytes::from_static(b"put")) },
    ];
    let append = Request::Append { vote, previous: Some(place(6)), entries, commit: None };
    let more = [
        append,
        Request::ReadIndex,
        Request::Ping,
        Request::Forward(vec![Bytes::from_static(b"x")]),
        Request::LeaseKeepAlive(vec![7, -7, i64::MIN]),
        Request::LeaseClock,
    ];
    for request in more {
        let frame = encode_request(11, &request);
        let (kind, payload, rest) = frame::decode(&frame).expect("our own frame");
        assert_eq!((kind, rest.len()), (Kind::PeerRequest, 0));
        assert_eq!(decode_request(&Bytes::copy_from_slice(payload)), Ok((11, request)));
    }
    let replies = [
        Reply::AppendedUpTo(Some(place(8))),
        Reply::Vote { vote, granted: false, last: None },
        Reply::Forwarded(vec![Ok(place(1)), Err(Refusal::NotLeader)]),
        Reply::LeaseKeepAlive(Ok(vec![60, 0])),
        Reply::LeaseClock(Ok((Some(4), 90_000))),
    ];
    for reply in replies {
        let frame = encode_reply(5, &reply);
        let (_, payload, _) = frame::decode(&frame).expect("our own frame");
        assert_eq!(decode_reply(payload), Ok((5, reply)));
    }
}

#[test]
fn golden_append() {
    let vote = Vote { term: 1, voted_for: Some(2), committed: true };
    let payload = Payload::Command(Bytes::from_static(b"ab"));
    let entries = vec![LogEntry { position: place(3), payload }];
    let request = Request::Append { vote, previous: None, entries, commit: Some(place(2)) };
    let frame = encode_request(1, &request);
    let hex: String = frame[frame::HEAD_BYTES..].iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "01000000000000000001010201000104000301026162010400 02".replace(' ', ""));
}
