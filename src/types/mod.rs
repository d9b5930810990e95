//! The words everyone uses: plain values without behaviour that needs a world.
//!
//! Names are etcd's for etcd's things and Raft's for Raft's. No serde here: the bytes on disk and
//! wire are mirror structs in `codec/`, so these types can change shape without touching either.

mod auth;
mod command;
mod error;
mod key_value;
mod lease;
pub mod limits;
mod log;
mod member;
mod request;
mod response;
mod retry;

pub use auth::{Access, AuthCommand, AuthRecord, Caller, Login, Permission, Role, User, UserId};
pub use command::{Command, Envelope, LeaseTick, RequestId};
pub use error::{Code, Error};
pub use key_value::{ByKey, Event, KeyRange, KeyValue, KeyValueFields, Revision};
pub use lease::LeaseRecord;
pub use log::{LogEntry, LogPosition, Payload, Vote};
pub use member::Member;
pub use request::{
    CompactionRequest, Compare, CompareResult, CompareTarget, DeleteRangeRequest, PutRequest, RangeRequest,
    RequestOp, SortOrder, SortTarget, TxnRequest,
};
pub use response::{
    CompactionResponse, DeleteRangeResponse, LeaseGrantResponse, LeaseTickResponse, LeaseTimeToLiveResponse,
    PutResponse, RangeResponse, Response, ResponseOp, TxnResponse,
};
pub use retry::{Outcome, RetryRecord};

/// A lease's id; 0 means no lease.
pub type LeaseId = i64;

/// An order-independent fingerprint of the replicated state (house section 5).
pub type Digest = u128;
