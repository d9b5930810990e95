//! Answers as text.

use std::fmt::Write;

use etched_proto::etcdserverpb as pb;
use etched_proto::mvccpb::KeyValue;
use pb::response_op::Response as Answer;

use crate::{Failure, Response};

/// The lines of one answer, each with its mark and its end.
pub fn render(answer: &Result<Response, Failure>) -> String {
    let mut text = String::new();
    match answer {
        Err(failure) => line(&mut text, '!', 0, &failure.to_string()),
        Ok(response) => {
            let rev = format!("rev {}", response.revision());
            match response {
                Response::Range(answer) => range(&mut text, 0, &rev, answer),
                Response::Put(answer) => put(&mut text, 0, &rev, answer),
                Response::DeleteRange(answer) => delete(&mut text, 0, &rev, answer),
                Response::Txn(answer) => txn(&mut text, 0, &rev, answer),
                Response::LeaseGrant(answer) => {
                    line(&mut text, '=', 0, &format!("{rev} lease {}", answer.id))
                }
                Response::Compact(_) | Response::LeaseRevoke(_) => line(&mut text, '=', 0, &rev),
            }
        }
    }
    text
}

fn line(text: &mut String, mark: char, depth: usize, content: &str) {
    let _ = writeln!(text, "{mark} {:indent$}{content}", "", indent = depth * 2);
}

fn range(text: &mut String, depth: usize, rev: &str, answer: &pb::RangeResponse) {
    let more = if answer.more { " more" } else { "" };
    line(text, '=', depth, &format!("{rev} count {}{more}", answer.count));
    answer.kvs.iter().for_each(|kv| line(text, '=', depth, &record(kv)));
}

fn put(text: &mut String, depth: usize, rev: &str, answer: &pb::PutResponse) {
    line(text, '=', depth, rev);
    answer.prev_kv.iter().for_each(|kv| line(text, '=', depth, &format!("prev {}", record(kv))));
}

fn delete(text: &mut String, depth: usize, rev: &str, answer: &pb::DeleteRangeResponse) {
    line(text, '=', depth, &format!("{rev} deleted {}", answer.deleted));
    answer.prev_kvs.iter().for_each(|kv| line(text, '=', depth, &format!("prev {}", record(kv))));
}

fn txn(text: &mut String, depth: usize, rev: &str, answer: &pb::TxnResponse) {
    let took = if answer.succeeded { "then" } else { "else" };
    line(text, '=', depth, &format!("{rev} {took}"));
    for op in &answer.responses {
        let inner = |header: &Option<pb::ResponseHeader>, kind: &str| {
            header.as_ref().map_or(kind.to_string(), |header| format!("{kind} rev {}", header.revision))
        };
        match &op.response {
            Some(Answer::ResponseRange(answer)) => {
                range(text, depth + 1, &inner(&answer.header, "get"), answer)
            }
            Some(Answer::ResponsePut(answer)) => put(text, depth + 1, &inner(&answer.header, "put"), answer),
            Some(Answer::ResponseDeleteRange(answer)) => {
                delete(text, depth + 1, &inner(&answer.header, "del"), answer);
            }
            Some(Answer::ResponseTxn(answer)) => txn(text, depth + 1, &inner(&answer.header, "txn"), answer),
            None => line(text, '=', depth + 1, "nothing"),
        }
    }
}

fn record(kv: &KeyValue) -> String {
    let mut text = format!(
        "{} {:?} create {} mod {} version {}",
        word(&kv.key),
        kv.value.escape_ascii().to_string(),
        kv.create_revision,
        kv.mod_revision,
        kv.version
    );
    if kv.lease != 0 {
        let _ = write!(text, " lease {}", kv.lease);
    }
    text
}

fn word(bytes: &[u8]) -> String {
    let plain =
        !bytes.is_empty() && bytes.iter().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(byte));
    if plain { bytes.escape_ascii().to_string() } else { format!("\"{}\"", bytes.escape_ascii()) }
}
