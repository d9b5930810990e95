//! Messages between members: hello and welcome once a connection, then requests and replies that
//! carry the number of the request they answer.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::blob::Blob;
use super::frame::{self, Kind};
use super::{CodecError, put, take};
use crate::types::{LeaseId, LogEntry, LogPosition, Payload, Vote};

/// Peer protocol versions this build speaks.
pub const PROTOCOL: (u32, u32) = (1, 1);

/// What a connection is for. Each purpose has its own, so that none starves another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Purpose {
    /// Votes, heartbeats, hand-over.
    Control,
    /// Log entries, pipelined.
    Appends,
    /// Snapshots.
    Snapshot,
    /// Clients' proposals and reads, forwarded to the leader.
    Forward,
}

/// The first message on a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Protocol versions spoken.
    pub protocol: (u32, u32),
    /// The cluster.
    pub cluster_id: u64,
    /// Who dials.
    pub from: u64,
    /// Whom it believes to have reached.
    pub to: u64,
    /// Counts the starts of the dialling member.
    pub incarnation: u64,
    /// Levels of the state machine understood.
    pub level: (u32, u32),
    /// What the connection is for.
    pub purpose: Purpose,
}

/// The answer: who was reached, or why not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Welcome {
    /// The connection may be used.
    Accepted {
        /// Counts the starts of the answering member.
        incarnation: u64,
        /// Levels of the state machine understood.
        level: (u32, u32),
    },
    /// It may not; in a sentence.
    Refused(String),
}

/// What one member asks of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Raft's AppendEntries.
    Append {
        /// The leader's vote.
        vote: Vote,
        /// Position before the entries.
        previous: Option<LogPosition>,
        /// The entries.
        entries: Vec<LogEntry>,
        /// The leader's commit position.
        commit: Option<LogPosition>,
    },
    /// Raft's RequestVote.
    Vote {
        /// The candidate's vote.
        vote: Vote,
        /// Its last position.
        last: Option<LogPosition>,
        /// Asked for by the leader itself.
        transfer: bool,
        /// Only asks whether it would be granted.
        pre: bool,
    },
    /// The leader asks `to` to campaign at once.
    TransferLeader {
        /// The leader's vote.
        vote: Vote,
        /// Who shall lead.
        to: u64,
        /// The leader's last position.
        last: Option<LogPosition>,
    },
    /// A snapshot begins; its pieces follow.
    SnapshotBegin {
        /// The leader's vote.
        vote: Vote,
        /// Last position in the snapshot.
        last: Option<LogPosition>,
        /// Its membership, as [`super::membership`] encodes it.
        membership: Bytes,
    },
    /// A piece of a snapshot.
    SnapshotPiece(Bytes),
    /// The last piece was sent: verify and install.
    SnapshotEnd,
    /// Proposals of this member's clients: encoded envelopes.
    Forward(Vec<Bytes>),
    /// Asks for a read index.
    ReadIndex,
    /// Asks whether anybody is there; answered at once, before what is being served.
    Ping,
    /// Keep-alives of this member's clients.
    LeaseKeepAlive(Vec<LeaseId>),
    /// Asks for the leader's lease clock.
    LeaseClock,
}

/// Why a proposal or a read was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// Not taken: this member does not lead, or cannot yet. It is safe to try again.
    NotLeader,
    /// Taken and then lost sight of: the outcome is unknown.
    Unknown,
    /// Not taken: the member stops.
    Stopped,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// All entries are durable.
    Appended,
    /// Entries up to here are durable.
    AppendedUpTo(Option<LogPosition>),
    /// The position before the entries does not match.
    Conflict,
    /// A greater vote was seen.
    HigherVote(Vote),
    /// Answer to a vote or a pre-vote.
    Vote {
        /// The answering member's vote.
        vote: Vote,
        /// Whether it was granted.
        granted: bool,
        /// Its last position.
        last: Option<LogPosition>,
    },
    /// Answer to a hand-over; the reason if it was refused.
    Transfer(Result<(), String>),
    /// A piece arrived.
    PieceTaken,
    /// The snapshot is installed; the member's vote.
    Installed(Vote),
    /// One answer for each forwarded proposal.
    Forwarded(Vec<Result<LogPosition, Refusal>>),
    /// The read index; `None` for an empty log.
    ReadIndex(Result<Option<u64>, Refusal>),
    /// The request could not be served; in a sentence.
    Failed(String),
    /// Answer to a ping.
    Pong,
    /// The granted TTL in seconds for each keep-alive, 0 for an unknown lease.
    LeaseKeepAlive(Result<Vec<i64>, Refusal>),
    /// A read index and the lease clock in milliseconds.
    LeaseClock(Result<(Option<u64>, u64), Refusal>),
}

type At = (u64, u64, u64);
type VoteV1 = (u64, Option<u64>, bool);

#[derive(Serialize, Deserialize)]
struct EntryV1<'a>(At, u8, #[serde(borrow)] Blob<'a>);

#[derive(Serialize, Deserialize)]
enum RequestV1<'a> {
    Append(VoteV1, Option<At>, #[serde(borrow)] Vec<EntryV1<'a>>, Option<At>),
    Vote(VoteV1, Option<At>, bool, bool),
    TransferLeader(VoteV1, u64, Option<At>),
    SnapshotBegin(VoteV1, Option<At>, #[serde(borrow)] Blob<'a>),
    SnapshotPiece(#[serde(borrow)] Blob<'a>),
    SnapshotEnd,
    Forward(#[serde(borrow)] Vec<Blob<'a>>),
    ReadIndex,
    Ping,
    LeaseKeepAlive(Vec<i64>),
    LeaseClock,
}

#[derive(Serialize, Deserialize)]
enum ReplyV1 {
    Appended,
    AppendedUpTo(Option<At>),
    Conflict,
    HigherVote(VoteV1),
    Vote(VoteV1, bool, Option<At>),
    Transfer(Result<(), String>),
    PieceTaken,
    Installed(VoteV1),
    Forwarded(Vec<Result<At, Refusal>>),
    ReadIndex(Result<Option<u64>, Refusal>),
    Failed(String),
    Pong,
    LeaseKeepAlive(Result<Vec<i64>, Refusal>),
    LeaseClock(Result<(Option<u64>, u64), Refusal>),
}

fn at(position: LogPosition) -> At {
    (position.term, position.leader, position.index)
}

fn position((term, leader, index): At) -> LogPosition {
    LogPosition { term, leader, index }
}

fn vote_v1(vote: Vote) -> VoteV1 {
    (vote.term, vote.voted_for, vote.committed)
}

fn vote((term, voted_for, committed): VoteV1) -> Vote {
    Vote { term, voted_for, committed }
}

/// A whole frame with the connection's first message.
pub fn encode_hello(hello: &Hello) -> Vec<u8> {
    let mut buffer = frame::begin(Kind::PeerHello);
    put(&mut buffer, hello);
    frame::finish(buffer)
}

/// Reads the payload of a hello.
pub fn decode_hello(payload: &[u8]) -> Result<Hello, CodecError> {
    take("peer hello", payload)
}

/// A whole frame with the answer to a hello.
pub fn encode_welcome(welcome: &Welcome) -> Vec<u8> {
    let mut buffer = frame::begin(Kind::PeerWelcome);
    put(&mut buffer, welcome);
    frame::finish(buffer)
}

/// Reads the payload of a welcome.
pub fn decode_welcome(payload: &[u8]) -> Result<Welcome, CodecError> {
    take("peer welcome", payload)
}

/// A whole frame with request `number`.
pub fn encode_request(number: u64, request: &Request) -> Vec<u8> {
    let mut buffer = frame::begin(Kind::PeerRequest);
    buffer.extend_from_slice(&number.to_le_bytes());
    let mirror = match request {
        Request::Append { vote, previous, entries, commit } => {
            let entries = entries.iter().map(entry_v1).collect();
            RequestV1::Append(vote_v1(*vote), previous.map(at), entries, commit.map(at))
        }
        Request::Vote { vote, last, transfer, pre } => {
            RequestV1::Vote(vote_v1(*vote), last.map(at), *transfer, *pre)
        }
        Request::TransferLeader { vote, to, last } => {
            RequestV1::TransferLeader(vote_v1(*vote), *to, last.map(at))
        }
        Request::SnapshotBegin { vote, last, membership } => {
            RequestV1::SnapshotBegin(vote_v1(*vote), last.map(at), Blob(membership))
        }
        Request::SnapshotPiece(piece) => RequestV1::SnapshotPiece(Blob(piece)),
        Request::SnapshotEnd => RequestV1::SnapshotEnd,
        Request::Forward(envelopes) => RequestV1::Forward(envelopes.iter().map(|e| Blob(e)).collect()),
        Request::ReadIndex => RequestV1::ReadIndex,
        Request::Ping => RequestV1::Ping,
        Request::LeaseKeepAlive(ids) => RequestV1::LeaseKeepAlive(ids.clone()),
        Request::LeaseClock => RequestV1::LeaseClock,
    };
    put(&mut buffer, &mirror);
    frame::finish(buffer)
}

/// Reads the payload of a request: its number and the request, whose bytes share `payload`.
pub fn decode_request(payload: &Bytes) -> Result<(u64, Request), CodecError> {
    let (number, body) = numbered("peer request", payload)?;
    let request = match take("peer request", body)? {
        RequestV1::Append(v, previous, entries, commit) => {
            let entries = entries.into_iter().map(|e| entry(e, payload)).collect::<Result<_, _>>()?;
            let (previous, commit) = (previous.map(position), commit.map(position));
            Request::Append { vote: vote(v), previous, entries, commit }
        }
        RequestV1::Vote(v, last, transfer, pre) => {
            Request::Vote { vote: vote(v), last: last.map(position), transfer, pre }
        }
        RequestV1::TransferLeader(v, to, last) => {
            Request::TransferLeader { vote: vote(v), to, last: last.map(position) }
        }
        RequestV1::SnapshotBegin(v, last, membership) => {
            let membership = membership.of(payload);
            Request::SnapshotBegin { vote: vote(v), last: last.map(position), membership }
        }
        RequestV1::SnapshotPiece(piece) => Request::SnapshotPiece(piece.of(payload)),
        RequestV1::SnapshotEnd => Request::SnapshotEnd,
        RequestV1::Forward(envelopes) => {
            Request::Forward(envelopes.into_iter().map(|e| e.of(payload)).collect())
        }
        RequestV1::ReadIndex => Request::ReadIndex,
        RequestV1::Ping => Request::Ping,
        RequestV1::LeaseKeepAlive(ids) => Request::LeaseKeepAlive(ids),
        RequestV1::LeaseClock => Request::LeaseClock,
    };
    Ok((number, request))
}

/// A whole frame with the reply to request `number`.
pub fn encode_reply(number: u64, reply: &Reply) -> Vec<u8> {
    let mut buffer = frame::begin(Kind::PeerReply);
    buffer.extend_from_slice(&number.to_le_bytes());
    let mirror = match reply.clone() {
        Reply::Appended => ReplyV1::Appended,
        Reply::AppendedUpTo(last) => ReplyV1::AppendedUpTo(last.map(at)),
        Reply::Conflict => ReplyV1::Conflict,
        Reply::HigherVote(v) => ReplyV1::HigherVote(vote_v1(v)),
        Reply::Vote { vote, granted, last } => ReplyV1::Vote(vote_v1(vote), granted, last.map(at)),
        Reply::Transfer(result) => ReplyV1::Transfer(result),
        Reply::PieceTaken => ReplyV1::PieceTaken,
        Reply::Installed(v) => ReplyV1::Installed(vote_v1(v)),
        Reply::Forwarded(all) => ReplyV1::Forwarded(all.into_iter().map(|one| one.map(at)).collect()),
        Reply::ReadIndex(result) => ReplyV1::ReadIndex(result),
        Reply::Failed(why) => ReplyV1::Failed(why),
        Reply::Pong => ReplyV1::Pong,
        Reply::LeaseKeepAlive(ttls) => ReplyV1::LeaseKeepAlive(ttls),
        Reply::LeaseClock(moment) => ReplyV1::LeaseClock(moment),
    };
    put(&mut buffer, &mirror);
    frame::finish(buffer)
}

/// Reads the payload of a reply: the number of its request and the reply.
pub fn decode_reply(payload: &[u8]) -> Result<(u64, Reply), CodecError> {
    let (number, body) = numbered("peer reply", payload)?;
    let reply = match take("peer reply", body)? {
        ReplyV1::Appended => Reply::Appended,
        ReplyV1::AppendedUpTo(last) => Reply::AppendedUpTo(last.map(position)),
        ReplyV1::Conflict => Reply::Conflict,
        ReplyV1::HigherVote(v) => Reply::HigherVote(vote(v)),
        ReplyV1::Vote(v, granted, last) => Reply::Vote { vote: vote(v), granted, last: last.map(position) },
        ReplyV1::Transfer(result) => Reply::Transfer(result),
        ReplyV1::PieceTaken => Reply::PieceTaken,
        ReplyV1::Installed(v) => Reply::Installed(vote(v)),
        ReplyV1::Forwarded(all) => Reply::Forwarded(all.into_iter().map(|one| one.map(position)).collect()),
        ReplyV1::ReadIndex(result) => Reply::ReadIndex(result),
        ReplyV1::Failed(why) => Reply::Failed(why),
        ReplyV1::Pong => Reply::Pong,
        ReplyV1::LeaseKeepAlive(ttls) => Reply::LeaseKeepAlive(ttls),
        ReplyV1::LeaseClock(moment) => Reply::LeaseClock(moment),
    };
    Ok((number, reply))
}

fn numbered<'a>(what: &'static str, payload: &'a [u8]) -> Result<(u64, &'a [u8]), CodecError> {
    match payload.split_first_chunk::<8>() {
        Some((number, body)) => Ok((u64::from_le_bytes(*number), body)),
        None => Err(CodecError::Short { what, needed: 8, found: payload.len() }),
    }
}

fn entry_v1(entry: &LogEntry) -> EntryV1<'_> {
    let (kind, payload): (u8, &[u8]) = match &entry.payload {
        Payload::Blank => (0, &[]),
        Payload::Command(bytes) => (1, bytes),
        Payload::Membership(bytes) => (2, bytes),
    };
    EntryV1(at(entry.position), kind, Blob(payload))
}

fn entry(EntryV1(place, kind, bytes): EntryV1<'_>, input: &Bytes) -> Result<LogEntry, CodecError> {
    let payload = match kind {
        0 => Payload::Blank,
        1 => Payload::Command(bytes.of(input)),
        2 => Payload::Membership(bytes.of(input)),
        found => {
            return Err(CodecError::Kind { what: "log entry", found: u16::from(found), version: 1 });
        }
    };
    Ok(LogEntry { position: position(place), payload })
}

#[cfg(test)]
mod tests;
