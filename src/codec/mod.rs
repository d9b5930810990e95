//! Values to bytes and back: the only room that says bincode or serde.
//!
//! The types of `types/` carry no serde; private mirror structs here do, so that those types can
//! change shape without touching disk or wire. Rules (docs/FORMAT.md): a version in front of
//! everything, enum variants only added at the end, a size limit on each decode, an unknown
//! version or kind is an error that names both, and no input can panic or overflow the stack.

mod auth;
mod blob;
mod command;
pub mod envelope;
mod error;
pub mod frame;
pub mod identity;
pub mod lease;
pub mod log;
pub mod membership;
pub mod meta;
mod mirror;
pub mod peer;
mod retry;
pub mod row;
pub mod snapshot;

pub use error::CodecError;

use serde::{Deserialize, Serialize};

/// No decode takes more than this many bytes (requests are far smaller, see `types::limits`).
pub const DECODE_LIMIT_BYTES: usize = 256 * 1024 * 1024;

type Configuration = bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Varint,
    bincode::config::Limit<DECODE_LIMIT_BYTES>,
>;

fn configuration() -> Configuration {
    bincode::config::standard().with_limit::<DECODE_LIMIT_BYTES>()
}

/// Appends `value` to `buffer`.
fn put<T: Serialize>(buffer: &mut Vec<u8>, value: &T) {
    struct Sink<'a>(&'a mut Vec<u8>);
    impl bincode::enc::write::Writer for Sink<'_> {
        fn write(&mut self, bytes: &[u8]) -> Result<(), bincode::error::EncodeError> {
            self.0.extend_from_slice(bytes);
            Ok(())
        }
    }
    bincode::serde::encode_into_writer(value, Sink(buffer), configuration())
        .expect("a growing buffer takes everything and mirrors have no failing serializers");
}

/// Reads one value that must fill `bytes` exactly.
fn take<'a, T: Deserialize<'a>>(what: &'static str, bytes: &'a [u8]) -> Result<T, CodecError> {
    let (value, used) = bincode::serde::borrow_decode_from_slice(bytes, configuration())
        .map_err(|error| CodecError::Malformed { what, why: error.to_string() })?;
    if used != bytes.len() {
        let why = format!("{} bytes are left over after {used}", bytes.len() - used);
        return Err(CodecError::Malformed { what, why });
    }
    Ok(value)
}
