//! Envelopes: what a log entry's command payload holds.
//!
//! One byte of format version, then the mirror of [`Envelope`]: version 1 without a caller, 2 with one. Byte strings of the decoded
//! command are slices of the input: nothing is copied.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::types::{Caller, Command, Envelope, RequestId};

use super::command::CommandV1;
use super::{CodecError, put, take};

const VERSION: u8 = 1;
const WITH_CALLER: u8 = 2;
const WHAT: &str = "envelope";

#[derive(Serialize, Deserialize)]
struct EnvelopeV1<'a> {
    member: u64,
    incarnation: u64,
    sequence: u64,
    client: Option<(u64, u64)>,
    #[serde(borrow)]
    command: CommandV1<'a>,
}

#[derive(Serialize, Deserialize)]
struct CalledV1<'a> {
    user: u64,
    auth_revision: u64,
    #[serde(borrow)]
    envelope: EnvelopeV1<'a>,
}

/// Encodes an envelope.
pub fn encode(envelope: &Envelope) -> Bytes {
    let mut buffer = Vec::with_capacity(room(&envelope.command));
    let RequestId { member, incarnation, sequence } = envelope.request_id;
    let command = CommandV1::new(&envelope.command);
    let mirror = EnvelopeV1 { member, incarnation, sequence, client: envelope.client, command };
    match envelope.caller {
        None => {
            buffer.push(VERSION);
            put(&mut buffer, &mirror);
        }
        Some(Caller { user, auth_revision }) => {
            buffer.push(WITH_CALLER);
            put(&mut buffer, &CalledV1 { user, auth_revision, envelope: mirror });
        }
    }
    Bytes::from(buffer)
}

/// Decodes an envelope that fills `input` exactly; its byte strings share `input`'s memory.
pub fn decode(input: &Bytes) -> Result<Envelope, CodecError> {
    let Some((version, body)) = input.split_first() else {
        return Err(CodecError::Short { what: WHAT, needed: 1, found: 0 });
    };
    let (caller, envelope) = match *version {
        VERSION => (None, take::<EnvelopeV1<'_>>(WHAT, body)?),
        WITH_CALLER => {
            let CalledV1 { user, auth_revision, envelope } = take(WHAT, body)?;
            (Some(Caller { user, auth_revision }), envelope)
        }
        other => {
            let (found, known) = (u16::from(other), u16::from(WITH_CALLER));
            return Err(CodecError::Version { what: WHAT, kind: 0, found, known });
        }
    };
    let EnvelopeV1 { member, incarnation, sequence, client, command } = envelope;
    Ok(Envelope {
        request_id: RequestId { member, incarnation, sequence },
        caller,
        client,
        command: command.of(input)?,
    })
}

/// A guess of the encoded size, in bytes, that saves growing for puts.
fn room(command: &Command) -> usize {
    const HEAD_BYTES: usize = 96;
    match command {
        Command::Put(put) => HEAD_BYTES + put.key.len() + put.value.len(),
        _ => HEAD_BYTES + 160,
    }
}

#[cfg(test)]
mod tests;
