//! Transcripts: requests and the answers etcd gives, by hand from the contract, as text. One file
//! runs on the model, on the product's state machine and on a real server.
//!
//! ```text
//! # comment
//! put a 1 lease=7 prev_kv
//! = rev 2
//! get a z rev=2 limit=1 order=descend target=mod keys_only
//! = rev 2 count 1
//! = a "1" create 2 mod 2 version 1
//! txn
//!   if value a = 1
//!   then
//!     put b 2
//!   else
//!     del a z
//! = ...
//! put "" x
//! ! InvalidArgument etcdserver: key is not provided
//! ```
//! A word is bare or in double quotes, with `\0`, `\xHH`, `\\` and `\"`. The expected lines are the
//! rendering of the answer, letter by letter.

mod parse;
mod render;

pub use parse::parse;
pub use render::render;

use crate::{Failure, Request, Response};

/// One request and the answer it must get.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Line of the request, from 1.
    pub line: usize,
    /// The request.
    pub request: Request,
    /// Its answer as [`render`] gives it.
    pub expected: String,
}

/// What answers requests: the model, the state machine, or a server behind a client.
pub trait Target {
    /// Answers one request.
    fn call(&mut self, request: &Request) -> Result<Response, Failure>;
}

impl Target for crate::model::Model {
    fn call(&mut self, request: &Request) -> Result<Response, Failure> {
        self.apply(request)
    }
}

/// Compares one answer with the expected one. The error names file and line and shows both.
pub fn check(name: &str, step: &Step, answer: Result<Response, Failure>) -> Result<(), String> {
    let answer = answer.map(Response::normalized);
    let got = render(&answer);
    if got == step.expected {
        return Ok(());
    }
    Err(format!("{name}:{}: expected\n{}got\n{got}", step.line, step.expected))
}

/// Runs a whole transcript on a fresh `target`.
pub fn run(name: &str, text: &str, target: &mut impl Target) -> Result<(), String> {
    for step in parse(name, text)? {
        check(name, &step, target.call(&step.request))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
