//! Our errors as gRPC statuses: exact text, exact code (etcd-surface section 2).

use tonic::{Code, Status};

use crate::types::Error;

/// The status of an error.
pub(super) fn status(error: Error) -> Status {
    Status::new(Code::from_i32(error.code() as i32), error.text())
}

/// The status of a method that is not offered.
pub(super) fn not_offered(method: &str) -> Status {
    Status::unimplemented(format!("{method} is not offered by this server yet"))
}
