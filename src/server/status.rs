//! Our errors as gRPC statuses: exact text, exact code (etcd-surface section 2), and tonic's own
//! refusals in grpc-go's words.

use http::Response;
use tonic::body::Body;
use tonic::{Code, Status};

use crate::node::Node;
use crate::runtime::Runtime;
use crate::types::Error;
use crate::types::limits::GRPC_OVERHEAD_BYTES;

/// The status of an error.
pub(super) fn status(error: Error) -> Status {
    Status::new(Code::from_i32(error.code() as i32), error.text())
}

/// The status of an error of a service that stands on the others: etcd's come through an inner client
/// and lose their code (E6), but for what the transport says: that the member stops.
pub(super) fn inner_status(error: Error) -> Status {
    match error {
        Error::DeadlineExceeded | Error::RequestCanceled | Error::Stopped => status(error),
        _ => Status::new(Code::Unknown, error.text()),
    }
}

/// The status of a method that is not offered.
pub(super) fn not_offered(method: &str) -> Status {
    Status::unimplemented(format!("{method} is not offered by this server yet"))
}

/// The largest message a client may send (M7), and the size from which watch responses are split.
pub(super) fn max_message_bytes<R: Runtime>(node: &Node<R>) -> usize {
    node.config().max_request_bytes + GRPC_OVERHEAD_BYTES
}

/// tonic's refusal of a message above the limit in grpc-go's words and code (M7), which clients match on.
fn too_large(status: &Status, max_bytes: usize) -> Option<Status> {
    const TOO_LARGE: &str = "Error, decoded message length too large: found ";
    let found = status.message().strip_prefix(TOO_LARGE)?;
    let found: String = found.chars().take_while(char::is_ascii_digit).collect();
    let text = format!("grpc: received message larger than max ({found} vs. {max_bytes})");
    Some(Status::resource_exhausted(text))
}

/// A response with what tonic itself refused in grpc-go's words: a message above the limit, or a
/// method (`path`) that its service does not have.
pub(super) fn response_in_grpc_words(
    response: Response<Body>,
    path: &str,
    max_bytes: usize,
) -> Response<Body> {
    let Some(code) = response.headers().get("grpc-status") else { return response };
    let refused = match code.as_bytes() {
        b"11" => Status::from_header_map(response.headers()).and_then(|status| too_large(&status, max_bytes)),
        b"12" if !response.headers().contains_key("grpc-message") => Some(unknown_method(path)),
        _ => None,
    };
    refused.map_or(response, Status::into_http)
}

/// The status of a path that names no method of ours.
pub(super) fn unknown_method(path: &str) -> Status {
    let (service, method) = path.trim_start_matches('/').rsplit_once('/').unwrap_or_default();
    Status::unimplemented(format!("unknown method {method} for service {service}"))
}
