//! The wire's messages to our words and back. Form is checked here, so that what gets past the
//! doors is well-formed; everything that depends on the state is left to apply.

mod intervals;
mod request;
mod response;
#[cfg(test)]
mod tests;
mod watch;

pub use request::{compaction, delete_range, put, range, txn};
pub use response::{
    compaction_response, delete_range_response, event, key_value, member, put_response, range_response,
    response_header, txn_response,
};
pub use watch::{watch_create, watch_response};
