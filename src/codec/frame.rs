//! Frames: the outside of everything that stands alone in a file or a stream.
//!
//! ```text
//! 0       4         6      8        12       16
//! | magic | version | kind | length | crc32c | payload ...
//! ```
//! Numbers are little-endian; the checksum covers the twelve bytes before it and the payload.

use super::CodecError;

/// Bytes in front of a payload.
pub const HEAD_BYTES: usize = 16;
/// No frame's payload is longer.
pub const MAX_PAYLOAD_BYTES: usize = 256 * 1024 * 1024;
/// The newest format version of every kind.
pub const VERSION: u16 = 1;
const MAGIC: [u8; 4] = *b"Etch";
const WHAT: &str = "frame";

/// What a frame holds. Numbers are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum Kind {
    /// The data directory's identity file.
    Identity = 1,
    /// A membership.
    Membership = 2,
    /// First chunk of a snapshot stream.
    SnapshotMeta = 3,
    /// Records of a snapshot stream.
    SnapshotRows = 4,
    /// Last chunk of a snapshot stream.
    SnapshotEnd = 5,
    /// The meta row of a checkpoint.
    CheckpointMeta = 6,
    /// First message on a peer stream.
    PeerHello = 7,
    /// Answer to it.
    PeerWelcome = 8,
    /// A request between members.
    PeerRequest = 9,
    /// Its answer.
    PeerReply = 10,
    /// Leases of a snapshot stream.
    SnapshotLeases = 11,
    /// First chunk of a snapshot stream if there are users or roles, or were.
    SnapshotMetaAuth = 12,
    /// The meta row of a checkpoint if there are users or roles, or were.
    CheckpointMetaAuth = 13,
}

impl Kind {
    fn from_number(number: u16, version: u16) -> Result<Kind, CodecError> {
        Ok(match number {
            1 => Kind::Identity,
            2 => Kind::Membership,
            3 => Kind::SnapshotMeta,
            4 => Kind::SnapshotRows,
            5 => Kind::SnapshotEnd,
            6 => Kind::CheckpointMeta,
            7 => Kind::PeerHello,
            8 => Kind::PeerWelcome,
            9 => Kind::PeerRequest,
            10 => Kind::PeerReply,
            11 => Kind::SnapshotLeases,
            12 => Kind::SnapshotMetaAuth,
            13 => Kind::CheckpointMetaAuth,
            found => return Err(CodecError::Kind { what: WHAT, found, version }),
        })
    }
}

/// A frame's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// What the payload is.
    pub kind: Kind,
    /// Length of the payload in bytes.
    pub length: usize,
    crc: u32,
    /// Checksum of the head's first twelve bytes.
    seed: u32,
}

/// A payload in its frame. Panics if the payload is longer than [`MAX_PAYLOAD_BYTES`].
pub fn encode(kind: Kind, payload: &[u8]) -> Vec<u8> {
    let mut frame = begin(kind);
    frame.extend_from_slice(payload);
    finish(frame)
}

/// A buffer with room for a head, to append a payload to and then [`finish`].
pub fn begin(kind: Kind) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEAD_BYTES + 256);
    frame.extend_from_slice(&MAGIC);
    frame.extend_from_slice(&VERSION.to_le_bytes());
    frame.extend_from_slice(&(kind as u16).to_le_bytes());
    frame.extend_from_slice(&[0; 8]);
    frame
}

/// Fills in length and checksum of a frame that was begun with [`begin`].
pub fn finish(mut frame: Vec<u8>) -> Vec<u8> {
    let length = frame.len() - HEAD_BYTES;
    assert!(length <= MAX_PAYLOAD_BYTES, "a frame of {length} bytes is above the format's bound");
    frame[8..12].copy_from_slice(&u32::try_from(length).expect("below the bound").to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&frame[..12]), &frame[HEAD_BYTES..]);
    frame[12..16].copy_from_slice(&crc.to_le_bytes());
    frame
}

/// Reads a head off the front of `bytes`.
pub fn head(bytes: &[u8]) -> Result<Head, CodecError> {
    let Some(bytes) = bytes.get(..HEAD_BYTES) else {
        return Err(CodecError::Short { what: WHAT, needed: HEAD_BYTES, found: bytes.len() });
    };
    let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let half = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    if bytes[..4] != MAGIC {
        return Err(CodecError::Magic { what: WHAT, found: word(0) });
    }
    let (version, kind) = (half(4), half(6));
    if version != VERSION {
        return Err(CodecError::Version { what: WHAT, kind, found: version, known: VERSION });
    }
    let kind = Kind::from_number(kind, version)?;
    let length = word(8) as usize;
    if length > MAX_PAYLOAD_BYTES {
        return Err(CodecError::TooLong { what: WHAT, found: length, limit: MAX_PAYLOAD_BYTES });
    }
    Ok(Head { kind, length, crc: word(12), seed: crc32c::crc32c(&bytes[..12]) })
}

impl Head {
    /// Checks `payload` (exactly `length` bytes) against the head's checksum.
    pub fn check(&self, payload: &[u8]) -> Result<(), CodecError> {
        if payload.len() != self.length {
            return Err(CodecError::Short { what: WHAT, needed: self.length, found: payload.len() });
        }
        let computed = crc32c::crc32c_append(self.seed, payload);
        if computed != self.crc {
            return Err(CodecError::Checksum { what: WHAT, stored: self.crc, computed });
        }
        Ok(())
    }
}

/// Takes one whole frame off the front of `bytes`: its kind, its payload, and what follows.
pub fn decode(bytes: &[u8]) -> Result<(Kind, &[u8], &[u8]), CodecError> {
    let head = head(bytes)?;
    let end = HEAD_BYTES + head.length;
    let Some(payload) = bytes.get(HEAD_BYTES..end) else {
        return Err(CodecError::Short { what: WHAT, needed: end, found: bytes.len() });
    };
    head.check(payload)?;
    Ok((head.kind, payload, &bytes[end..]))
}

/// The payload of the one frame of kind `kind` that fills `bytes` exactly.
pub fn expect<'a>(what: &'static str, kind: Kind, bytes: &'a [u8]) -> Result<&'a [u8], CodecError> {
    let (found, payload, rest) = decode(bytes)?;
    if found != kind {
        return Err(CodecError::Kind { what, found: found as u16, version: VERSION });
    }
    if !rest.is_empty() {
        return Err(CodecError::Malformed { what, why: format!("{} bytes follow its frame", rest.len()) });
    }
    Ok(payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        let frame = encode(Kind::Membership, b"abc");
        assert_eq!(hex(&frame), "457463680100020003000000753a3fc1616263");
        assert_eq!(decode(&frame), Ok((Kind::Membership, b"abc".as_slice(), [].as_slice())));
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn names_unknown_version_and_kind() {
        let mut frame = encode(Kind::Identity, b"");
        frame[4] = 9;
        let error = decode(&frame).unwrap_err();
        assert_eq!(error, CodecError::Version { what: "frame", kind: 1, found: 9, known: 1 });
        frame[4] = 1;
        frame[6] = 77;
        let error = decode(&frame).unwrap_err();
        assert_eq!(error, CodecError::Kind { what: "frame", found: 77, version: 1 });
    }

    #[test]
    fn every_flipped_bit_is_an_error() {
        let frame = encode(Kind::PeerReply, b"some payload");
        for bit in 0..frame.len() * 8 {
            let mut bad = frame.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&bad).is_err(), "bit {bit}");
        }
        for length in 0..frame.len() {
            assert!(decode(&frame[..length]).is_err(), "length {length}");
        }
    }
}
