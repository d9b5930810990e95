//! The type of outgoing streams.

use std::pin::Pin;

use futures_util::Stream;
use tonic::Status;

/// Messages for a client, or the status that ends the stream.
pub(super) type Outgoing<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
