//! What a data directory belongs to: the content of its `identity` file.

use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};

use super::frame::{self, Kind};
use super::{CodecError, put, take};

const WHAT: &str = "identity";
/// Format of data directories this build writes and reads.
const FORMAT: u32 = 1;

/// A data directory's identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The member.
    pub member_id: u64,
    /// Its cluster.
    pub cluster_id: u64,
    /// First eight bytes of the SHA-1 of the initial cluster token.
    pub token_hash: u64,
}

#[derive(Serialize, Deserialize)]
struct IdentityV1 {
    format: u32,
    member_id: u64,
    cluster_id: u64,
    token_hash: u64,
}

impl Identity {
    /// The identity of a member made with the initial cluster token `token`.
    pub fn new(member_id: u64, cluster_id: u64, token: &str) -> Self {
        let hash = Sha1::digest(token.as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&hash[..8]);
        Identity { member_id, cluster_id, token_hash: u64::from_be_bytes(first) }
    }
}

/// Encodes an identity in its frame.
pub fn encode(identity: &Identity) -> Vec<u8> {
    let Identity { member_id, cluster_id, token_hash } = *identity;
    let mut buffer = frame::begin(Kind::Identity);
    put(&mut buffer, &IdentityV1 { format: FORMAT, member_id, cluster_id, token_hash });
    frame::finish(buffer)
}

/// Decodes the frame that fills `bytes` exactly. A newer format is an error that names both.
pub fn decode(bytes: &[u8]) -> Result<Identity, CodecError> {
    let payload = frame::expect(WHAT, Kind::Identity, bytes)?;
    let IdentityV1 { format, member_id, cluster_id, token_hash } = take(WHAT, payload)?;
    if format != FORMAT {
        let number = |format: u32| u16::try_from(format).unwrap_or(u16::MAX);
        let (what, kind) = ("data directory", Kind::Identity as u16);
        return Err(CodecError::Version { what, kind, found: number(format), known: number(FORMAT) });
    }
    Ok(Identity { member_id, cluster_id, token_hash })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        let identity = Identity::new(0x10, 0x20, "etcd-cluster");
        let bytes = encode(&identity);
        let hex: String = bytes[frame::HEAD_BYTES..].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, format!("011020fd{:016x}", identity.token_hash.swap_bytes()));
        assert_eq!(decode(&bytes), Ok(identity));
    }
}
