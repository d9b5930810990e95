//! Simulated clients that number their writes and send each again, at another member, until they know
//! what became of it (docs/COORDINATION.md).

use std::time::Duration;

use etched::runtime::{Runtime, timeout};
use etched_proto::etcdserverpb as pb;
use etched_testkit::Request;

use crate::check::{OpId, Outcome};
use crate::client::{Connection, Extra, Shared, lock, outcome_of, send_with};
use crate::world::streams::Stream as Draws;
use crate::world::{NodeId, SimRuntime};

const KEYS: [&str; 6] = ["r/1", "r/2", "r/3", "a", "b", "z"];

/// A client that writes, each write once, until its time is over. Its number is its id.
pub async fn run_retrier(shared: Shared, node: NodeId, number: u64) {
    let mut draws = Draws::new(shared.world.seed(), "retrier", node.0, 0, 0);
    let mut connection = Connection::new(&shared, node, number as usize);
    let (mut attempt, mut sequence) = (0, 0);
    while !shared.is_over() {
        SimRuntime::sleep(Duration::from_millis(1 + draws.below(120))).await;
        sequence += 1;
        let request = draw(&mut draws, number, sequence);
        let mut tries = 0;
        while !shared.is_over() {
            let Some(channel) = connection.channel().await else { continue };
            attempt += 1;
            tries += 1;
            let op: OpId = number << 32 | attempt;
            // Impatient now and then, so that the outcome is often unknown.
            let patience = Duration::from_millis(if draws.below(5) == 0 { draws.below(12) } else { 2000 });
            lock(&shared.checks).on_numbered_call(op, number, sequence, request.clone());
            let extra = Extra { number: Some((number, sequence)), ..Extra::default() };
            let sent = send_with(channel, request.clone(), op, extra);
            let outcome = match timeout::<SimRuntime, _>(patience, sent).await {
                Some(Ok(response)) => Outcome::Answer(response),
                Some(Err(status)) => outcome_of(&status),
                None => Outcome::Unknown,
            };
            let (is_unknown, is_answer) =
                (outcome == Outcome::Unknown, matches!(outcome, Outcome::Answer(_)));
            let mut counts = lock(&shared.counts);
            counts.operations += 1;
            counts.unknown += u64::from(is_unknown);
            counts.retried += u64::from(is_answer && tries > 1);
            drop(counts);
            let checked = lock(&shared.checks).on_return(op, outcome);
            shared.judge(checked);
            if is_answer {
                break;
            }
            connection.next_member();
        }
    }
}

/// A put, a delete, or a transaction of some, which asks for no records back.
fn draw(draws: &mut Draws, number: u64, sequence: u64) -> Request {
    match draws.below(8) {
        0 => Request::DeleteRange(delete(draws)),
        1 | 2 => {
            let mut ops: Vec<pb::RequestOp> = Vec::new();
            for key in KEYS.iter().take(1 + draws.below(2) as usize) {
                let put = pb::PutRequest { key: key.as_bytes().to_vec().into(), ..Default::default() };
                ops.push(pb::RequestOp { request: Some(pb::request_op::Request::RequestPut(put)) });
            }
            let delete = pb::DeleteRangeRequest { key: b"r/3".to_vec().into(), ..Default::default() };
            let delete = pb::RequestOp { request: Some(pb::request_op::Request::RequestDeleteRange(delete)) };
            let compare = vec![crate::check::created_at(b"r/3", 0)];
            Request::Txn(pb::TxnRequest { compare, success: ops, failure: vec![delete] })
        }
        _ => {
            let key = draws.pick(&KEYS).unwrap_or(&"a").as_bytes().to_vec().into();
            let value = format!("r{number}.{sequence}").into_bytes().into();
            Request::Put(pb::PutRequest { key, value, ..Default::default() })
        }
    }
}

fn delete(draws: &mut Draws) -> pb::DeleteRangeRequest {
    let (key, range_end) = *draws.pick(&[("r/1", ""), ("r/", "r0"), ("a", "")]).unwrap_or(&("r/1", ""));
    pb::DeleteRangeRequest {
        key: key.as_bytes().to_vec().into(),
        range_end: range_end.as_bytes().to_vec().into(),
        ..Default::default()
    }
}
