//! The heads of HTTP/2 frames in a stream of bytes that comes in any pieces (RFC 9113, section 4.1).

/// What a client sends before its first frame.
const PREFACE_BYTES: usize = 24;
const HEAD_BYTES: usize = 9;

/// Kinds of frames that somebody here wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Data,
    Headers,
    Reset,
    Ping,
    Other,
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub kind: Kind,
    pub flags: u8,
    pub stream: u32,
}

impl Head {
    /// On DATA and HEADERS: the sender's last frame of the stream.
    pub const END_STREAM: u8 = 1;
    /// On PING: the answer to one.
    pub const ACK: u8 = 1;

    pub fn flag(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// One direction of a connection.
#[derive(Default)]
pub(super) struct Frames {
    /// What is there of the next head.
    head: [u8; HEAD_BYTES],
    have: usize,
    /// Bytes of the current frame's payload that are still to come.
    payload: usize,
}

impl Frames {
    /// A client's bytes, from the first of its preface on.
    pub fn behind_preface() -> Self {
        Frames { payload: PREFACE_BYTES, ..Frames::default() }
    }

    /// Whether a frame has ended and no byte of the next is there.
    pub fn is_between(&self) -> bool {
        self.have == 0 && self.payload == 0
    }

    /// Bytes that are known to belong to the current frame.
    pub fn left_of_frame(&self) -> usize {
        if self.have > 0 { HEAD_BYTES - self.have } else { self.payload }
    }

    /// Goes over `bytes` and tells `found` each head once it is whole.
    pub fn feed(&mut self, mut bytes: &[u8], mut found: impl FnMut(Head)) {
        while !bytes.is_empty() {
            if self.payload > 0 {
                let skipped = self.payload.min(bytes.len());
                self.payload -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            let taken = (HEAD_BYTES - self.have).min(bytes.len());
            self.head[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            if self.have == HEAD_BYTES {
                self.have = 0;
                let [a, b, c, kind, flags, s, t, u, v] = self.head;
                self.payload = u32::from_be_bytes([0, a, b, c]) as usize;
                let stream = u32::from_be_bytes([s & 0x7f, t, u, v]);
                let kind = match kind {
                    0 => Kind::Data,
                    1 => Kind::Headers,
                    3 => Kind::Reset,
                    6 => Kind::Ping,
                    _ => Kind::Other,
                };
                found(Head { kind, flags, stream });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_found_in_any_pieces() {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
        bytes.extend([0, 0, 8, 6, 1, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
        bytes.extend([0, 0, 2, 1, 5, 0x80, 0, 1, 3, 9, 9]);
        let head = |kind, flags, stream| Head { kind, flags, stream };
        let expected = [head(Kind::Other, 0, 0), head(Kind::Ping, 1, 0), head(Kind::Headers, 5, 259)];
        for size in 1..bytes.len() {
            let mut frames = Frames::behind_preface();
            let mut heads = Vec::new();
            for part in bytes.chunks(size) {
                frames.feed(part, |head| heads.push(head));
            }
            assert_eq!((heads.as_slice(), frames.is_between()), (expected.as_slice(), true), "{size}");
        }
        let mut frames = Frames::default();
        frames.feed(&[0, 0, 4, 0], |_| {});
        assert_eq!((frames.is_between(), frames.left_of_frame()), (false, 5));
        frames.feed(&[0, 0, 0, 0, 1, 9], |_| {});
        assert_eq!((frames.is_between(), frames.left_of_frame()), (false, 3));
    }
}
