//! The cheapest honest gRPC client: HTTP/2 frames by hand, many requests of one method on one
//! connection, each slot's next request sent as soon as its last answer is whole. A unary request is
//! a stream of its own; of a streaming method each slot keeps one stream, with one message each way
//! in turn.
//!
//! It sends what a Go client sends (the second request's headers are indexes into the table that the
//! first one filled), answers pings and settings, and takes an answer without a message for an error.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const HEAD_BYTES: usize = 9;
/// gRPC's own head of each message.
const PREFIX_BYTES: usize = 5;
const WINDOW: u32 = i32::MAX as u32;
const FIRST_WINDOW: i64 = 65_535;

/// What is called.
#[derive(Clone, Copy, Debug)]
pub struct Method {
    pub path: &'static str,
    /// Whether a stream takes many messages and answers each.
    pub streams: bool,
}

/// An answer that came in.
pub struct Answer {
    /// The slot of its request.
    pub slot: usize,
    /// Whether it held a message; if not, it was an error.
    pub is_good: bool,
}

/// One connection with `slots` requests in flight.
pub struct Connection<S> {
    stream: S,
    authority: String,
    method: Method,
    input: Vec<u8>,
    output: Vec<u8>,
    /// By slot: the id of the stream that is open, and whether a message came on it.
    open: Vec<Option<(u32, bool)>>,
    next_stream: u32,
    window: i64,
}

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> Connection<S> {
    /// Speaks on `stream`; all requests call `method`.
    pub fn new(stream: S, authority: &str, method: Method, slots: usize) -> Self {
        let mut output = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        // No pushes; a window that never closes.
        let mut settings = vec![0, 2, 0, 0, 0, 0, 0, 4];
        settings.extend_from_slice(&WINDOW.to_be_bytes());
        frame(&mut output, SETTINGS, 0, 0, &settings);
        frame(&mut output, WINDOW_UPDATE, 0, 0, &(WINDOW - 65_535).to_be_bytes());
        Connection {
            stream,
            authority: authority.to_owned(),
            method,
            input: Vec::with_capacity(64 * 1024),
            output,
            open: vec![None; slots],
            next_stream: 1,
            window: FIRST_WINDOW,
        }
    }

    /// Sends `message` in a free slot with the next [`Connection::exchange`].
    pub fn request(&mut self, slot: usize, message: &[u8]) {
        let stream = match self.open[slot] {
            Some((stream, _)) => stream,
            None => self.open_stream(slot),
        };
        let flags = if self.method.streams { 0 } else { END_STREAM };
        head(&mut self.output, DATA, flags, stream, PREFIX_BYTES + message.len());
        self.output.push(0);
        self.output.extend_from_slice(&(message.len() as u32).to_be_bytes());
        self.output.extend_from_slice(message);
        self.window -= (PREFIX_BYTES + message.len()) as i64;
    }

    /// Opens the next stream for `slot`.
    fn open_stream(&mut self, slot: usize) -> u32 {
        let stream = self.next_stream;
        self.next_stream += 2;
        self.open[slot] = Some((stream, false));
        let mut block = vec![0x83, 0x86];
        if stream == 1 {
            literal(&mut block, 0x44, None, self.method.path);
            literal(&mut block, 0x41, None, &self.authority);
            literal(&mut block, 0x5f, None, "application/grpc");
            literal(&mut block, 0x40, Some("te"), "trailers");
            literal(&mut block, 0x7a, None, "versus/1");
        } else {
            block.extend_from_slice(&[0xc2, 0xc1, 0xc0, 0xbf, 0xbe]);
        }
        frame(&mut self.output, HEADERS, END_HEADERS, stream, &block);
        stream
    }

    /// Writes what is to be sent, then waits until at least one answer is whole.
    pub async fn exchange(&mut self, answers: &mut Vec<Answer>) -> io::Result<()> {
        answers.clear();
        while answers.is_empty() {
            if !self.output.is_empty() {
                self.stream.write_all(&self.output).await?;
                self.output.clear();
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.take_frames(answers)?;
        }
        assert!(self.window > 0, "few bytes are in flight, so the server's window stays open");
        Ok(())
    }

    fn take_frames(&mut self, answers: &mut Vec<Answer>) -> io::Result<()> {
        let input = std::mem::take(&mut self.input);
        let mut rest = input.as_slice();
        while let Some(head) = rest.get(..HEAD_BYTES) {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let (kind, flags) = (head[3], head[4]);
            let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
            let Some(payload) = rest.get(HEAD_BYTES..HEAD_BYTES + length) else { break };
            self.take_frame(kind, flags, stream, payload, answers)?;
            rest = &rest[HEAD_BYTES + length..];
        }
        let used = input.len() - rest.len();
        self.input = input;
        self.input.drain(..used);
        Ok(())
    }

    fn take_frame(
        &mut self,
        kind: u8,
        flags: u8,
        stream: u32,
        payload: &[u8],
        answers: &mut Vec<Answer>,
    ) -> io::Result<()> {
        match kind {
            DATA | HEADERS => {
                let slot = self.slot(stream)?;
                let is_message = kind == DATA && payload.len() >= PREFIX_BYTES;
                let (_, has_message) = self.open[slot].as_mut().expect("it is open");
                *has_message |= is_message;
                if flags & END_STREAM != 0 {
                    // A stream of many messages does not end while it goes well.
                    answers.push(Answer { slot, is_good: *has_message && !self.method.streams });
                    self.open[slot] = None;
                } else if self.method.streams && is_message {
                    answers.push(Answer { slot, is_good: true });
                }
            }
            // After a whole answer it means nothing.
            RESET if self.slot(stream).is_ok() => {
                let slot = self.slot(stream)?;
                answers.push(Answer { slot, is_good: false });
                self.open[slot] = None;
            }
            SETTINGS if flags & ACK == 0 => frame(&mut self.output, SETTINGS, ACK, 0, &[]),
            PING if flags & ACK == 0 => frame(&mut self.output, PING, ACK, 0, payload),
            WINDOW_UPDATE if stream == 0 && payload.len() == 4 => {
                let more = u32::from_be_bytes([payload[0], payload[1], payload[2], payload[3]]);
                self.window += i64::from(more);
            }
            GO_AWAY => return Err(io::ErrorKind::ConnectionReset.into()),
            _ => {}
        }
        Ok(())
    }

    fn slot(&self, stream: u32) -> io::Result<usize> {
        let found = self.open.iter().position(|open| open.is_some_and(|(id, _)| id == stream));
        found.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a frame of no open stream"))
    }
}

fn head(output: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, length: usize) {
    output.extend_from_slice(&(length as u32).to_be_bytes()[1..]);
    output.extend_from_slice(&[kind, flags]);
    output.extend_from_slice(&stream.to_be_bytes());
}

fn frame(output: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    head(output, kind, flags, stream, payload.len());
    output.extend_from_slice(payload);
}

/// A header field that enters the table; `first` holds the index of its name, if it has one.
fn literal(block: &mut Vec<u8>, first: u8, name: Option<&str>, value: &str) {
    block.push(first);
    for text in name.into_iter().chain([value]) {
        block.push(u8::try_from(text.len()).expect("short"));
        block.extend_from_slice(text.as_bytes());
    }
}
