//! Wing–Gong–Lowe: searches an order of a small history that respects real time and the model. It
//! knows nothing of the log and of places, so it can contradict [`super::History`].

use std::collections::BTreeSet;

use etched_testkit::model::Model;
use etched_testkit::{Request, Response};

use super::history::Outcome;
use super::violation::{Checked, violation};

/// No larger history is searched.
pub const MAX_OPERATIONS: usize = 200;
/// States visited before the search gives up without a verdict.
const MAX_STATES: usize = 200_000;

/// One operation of a finished history.
#[derive(Clone, Debug)]
pub struct Operation {
    /// When it was called: any number that grows.
    pub called: u64,
    /// When it returned; `None` if it never did or its outcome is unknown.
    pub returned: Option<u64>,
    /// What was asked.
    pub request: Request,
    /// What came of it.
    pub outcome: Outcome,
}

type Done = [u64; MAX_OPERATIONS.div_ceil(64)];

/// Checks a history that begins with an empty store. Serializable reads and failures are left out.
/// The verdict's checker is `wgl`. `Ok` also when the search gives up.
pub fn check(history: &[Operation]) -> Checked {
    assert!(history.len() <= MAX_OPERATIONS, "the window holds at most {MAX_OPERATIONS} operations");
    let operations: Vec<&Operation> = history.iter().filter(|operation| counts(operation)).collect();
    let mut seen: BTreeSet<(Done, u64)> = BTreeSet::new();
    let mut stack: Vec<(Done, Model)> = vec![(Done::default(), Model::new())];
    let mut furthest = 0;
    while let Some((done, model)) = stack.pop() {
        let is_open = |at: &usize| done[at / 64] & 1 << (at % 64) == 0;
        let open: Vec<usize> = (0..operations.len()).filter(is_open).collect();
        furthest = furthest.max(operations.len() - open.len());
        if open.iter().all(|at| operations[*at].returned.is_none()) {
            return Ok(());
        }
        if seen.len() > MAX_STATES {
            return Ok(());
        }
        let first_return = open.iter().filter_map(|at| operations[*at].returned).min().unwrap_or(u64::MAX);
        // The last candidate pushed is the first tried: those that returned early come first.
        let mut candidates: Vec<usize> =
            open.into_iter().filter(|at| operations[*at].called < first_return).collect();
        candidates.sort_by_key(|at| std::cmp::Reverse(operations[*at].returned.unwrap_or(u64::MAX)));
        for at in candidates {
            let mut next = model.clone();
            let answer = next.apply(&operations[at].request).map(Response::normalized);
            let fits = match &operations[at].outcome {
                Outcome::Answer(response) => answer.as_ref() == Ok(response),
                Outcome::Failure(_) | Outcome::Unknown => answer.is_ok(),
            };
            let mut next_done = done;
            next_done[at / 64] |= 1 << (at % 64);
            if fits && seen.insert((next_done, next.fingerprint())) {
                stack.push((next_done, next));
            }
        }
    }
    violation!(
        "wgl",
        "no order of {} operations explains their answers; at most {furthest} fit",
        operations.len()
    );
}

fn counts(operation: &Operation) -> bool {
    match &operation.outcome {
        Outcome::Answer(_) => !operation.request.is_serializable(),
        // It changed nothing, or may have changed something.
        Outcome::Failure(_) | Outcome::Unknown => {
            !operation.request.is_read() && operation.returned.is_none()
        }
    }
}
