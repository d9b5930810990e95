//! What comes in a request's metadata: deadline, leader requirement, client version, trace number,
//! token.

use std::time::Duration;

use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

use super::status::status;
use crate::node::Node;
use crate::node::api::RequestContext;
use crate::runtime::Runtime;
use crate::types::Error;

/// Reads a unary request's metadata and looks up whom its token names. Errors: InvalidAuthToken (A5); as
/// those of [`anonymous`].
pub(super) async fn context<R: Runtime>(
    node: &Node<R>,
    metadata: &MetadataMap,
) -> Result<RequestContext, Status> {
    let context = anonymous(node, metadata)?;
    match token(metadata) {
        None => Ok(context),
        Some(token) => identified(node, context, &token).await,
    }
}

/// The same for a service that stands on the others: a bad token loses its code on the way (E6).
pub(super) async fn inner_context<R: Runtime>(
    node: &Node<R>,
    metadata: &MetadataMap,
) -> Result<RequestContext, Status> {
    let unknown = |refused: Status| match refused.code() {
        Code::Unauthenticated => Status::new(Code::Unknown, refused.message()),
        _ => refused,
    };
    context(node, metadata).await.map_err(unknown)
}

/// `context` with whom `token` names. Errors: InvalidAuthToken (A5).
pub(super) async fn identified<R: Runtime>(
    node: &Node<R>,
    context: RequestContext,
    token: &str,
) -> Result<RequestContext, Status> {
    let login = node.identify(token, context).await.map_err(status)?;
    Ok(RequestContext { login, ..context })
}

/// The token of a request, if it comes with one (M3).
pub(super) fn token(metadata: &MetadataMap) -> Option<String> {
    let value = metadata.get("token").or_else(|| metadata.get("authorization"))?;
    // What is no text names nobody.
    let text = value.to_str().unwrap_or("");
    Some(text.strip_prefix("Bearer ").unwrap_or(text).to_string())
}

/// Reads a request's metadata but its token. Errors: NoLeader when a leader is required and none is known
/// (M1), InvalidClientApiVersion (M2), DeadlineExceeded for a deadline that leaves no time at all, Internal for
/// one that cannot be read.
pub(super) fn anonymous<R: Runtime>(
    node: &Node<R>,
    metadata: &MetadataMap,
) -> Result<RequestContext, Status> {
    if let Some(version) = metadata.get("client-api-version")
        && std::str::from_utf8(version.as_bytes()).is_err()
    {
        return Err(status(Error::InvalidClientApiVersion));
    }
    if requires_leader(metadata) && !node.has_leader() {
        return Err(status(Error::NoLeader));
    }
    let text = |name: &str| metadata.get(name).and_then(|value| value.to_str().ok());
    let deadline = match metadata.get("grpc-timeout") {
        None => None,
        Some(given) => {
            let timeout = given.to_str().ok().and_then(parse_timeout);
            Some(R::now() + timeout.ok_or_else(|| malformed_timeout(given.as_bytes()))?)
        }
    };
    if deadline.is_some_and(|deadline| deadline <= R::now()) {
        return Err(status(Error::DeadlineExceeded));
    }
    let trace = text("etched-trace").and_then(|number| number.parse().ok());
    Ok(RequestContext { deadline, trace, ..RequestContext::default() })
}

/// The numbers of a write that may be sent again (docs/COORDINATION.md). Errors: RetryNumbers.
pub(super) fn client(metadata: &MetadataMap) -> Result<Option<(u64, u64)>, Error> {
    let number = |name: &str| {
        let Some(value) = metadata.get(name) else { return Ok(None) };
        let number = value.to_str().ok().and_then(|text| text.parse().ok()).filter(|number| *number > 0);
        number.map(Some).ok_or(Error::RetryNumbers)
    };
    match (number("etched-client-id")?, number("etched-client-sequence")?) {
        (None, None) => Ok(None),
        (Some(client), Some(sequence)) => Ok(Some((client, sequence))),
        _ => Err(Error::RetryNumbers),
    }
}

/// Whether the client wants to hear when there is no leader.
pub(super) fn requires_leader(metadata: &MetadataMap) -> bool {
    metadata.get("hasleader").is_some_and(|value| value.as_bytes() == b"true")
}

/// The refusal of a `grpc-timeout` that is none.
fn malformed_timeout(given: &[u8]) -> Status {
    Status::internal(format!("malformed grpc-timeout: {:?}", String::from_utf8_lossy(given)))
}

/// gRPC's `grpc-timeout`: at most eight digits and a unit.
fn parse_timeout(text: &str) -> Option<Duration> {
    let split = text.len().checked_sub(1)?;
    let (digits, unit) = (text.get(..split)?, text.get(split..)?);
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(amount * 3600),
        "M" => Duration::from_secs(amount * 60),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_together() {
        let given = |id: &str, sequence: &str| {
            let mut metadata = MetadataMap::new();
            for (name, value) in [("etched-client-id", id), ("etched-client-sequence", sequence)] {
                if !value.is_empty() {
                    metadata.insert(name, value.parse().expect("ascii"));
                }
            }
            client(&metadata)
        };
        assert_eq!(given("", ""), Ok(None));
        assert_eq!(given("7", "18446744073709551615"), Ok(Some((7, u64::MAX))));
        for (id, sequence) in [("7", ""), ("", "1"), ("0", "1"), ("7", "0"), ("-1", "1"), ("x", "1")] {
            assert_eq!(given(id, sequence), Err(Error::RetryNumbers), "{id:?} {sequence:?}");
        }
    }

    #[test]
    fn timeouts_are_read_as_grpc_spells_them() {
        assert_eq!(parse_timeout("5S"), Some(Duration::from_secs(5)));
        assert_eq!(parse_timeout("250m"), Some(Duration::from_millis(250)));
        assert_eq!(parse_timeout("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        for bad in ["", "S", "5", "123456789S", "5x", "-5S", "5 S", "é"] {
            assert_eq!(parse_timeout(bad), None, "{bad:?}");
        }
    }
}
