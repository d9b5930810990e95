//! Answers that hold records, encoded straight from the records: first their length, then their
//! bytes, so that nothing is copied in between and a large one can go out in pieces.

use bytes::Bytes;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

use super::translate;
use crate::node::Listing;
use crate::node::api::Header;
use crate::types::{
    DeleteRangeResponse, KeyValue, PutResponse, RangeRequest, RangeResponse, ResponseOp, SortTarget,
    TxnResponse,
};

/// `RangeResponse.kvs`.
pub(super) const KVS: u32 = 2;
/// `DeleteRangeResponse.prev_kvs`.
const PREV_KVS: u32 = 3;
/// `PutResponse.prev_kv`.
const PREV_KV: u32 = 2;
/// `WatchResponse.events`.
const EVENTS: u32 = 11;
/// `TxnResponse.responses`.
const RESPONSES: u32 = 3;

/// Which parts of a record an answer shows (R12).
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    value: bool,
    lease: bool,
}

impl Shown {
    pub const ALL: Shown = Shown { value: true, lease: true };

    /// What `request` asks for.
    pub fn of(request: &RangeRequest) -> Self {
        let by_value = request.sort_target == SortTarget::Value;
        Shown { value: !request.keys_only, lease: !request.keys_only || by_value }
    }

    fn of_response(response: &RangeResponse) -> Self {
        Shown { value: !response.keys_only, lease: !response.keys_only || response.keys_only_with_lease }
    }
}

/// A part of an encoded message, in order.
pub(super) enum Segment {
    /// Bytes as they are.
    Bytes(Vec<u8>),
    /// Records, each as one element of the repeated field.
    Records(u32, Shown, std::vec::IntoIter<KeyValue>),
    /// Records that are read when their turn comes.
    Listing(Shown, Box<Listing>),
}

/// Numbers above 0 take a tag and a varint; 0 is left out.
pub(super) fn number_bytes(number: i64) -> usize {
    if number == 0 { 0 } else { 1 + encoded_len_varint(number as u64) }
}

pub(super) fn put_number(field: u32, number: i64, into: &mut Vec<u8>) {
    if number != 0 {
        encode_key(field, WireType::Varint, into);
        encode_varint(number as u64, into);
    }
}

fn bytes_bytes(bytes: &[u8]) -> usize {
    if bytes.is_empty() { 0 } else { 1 + encoded_len_varint(bytes.len() as u64) + bytes.len() }
}

fn put_bytes(field: u32, bytes: &[u8], into: &mut Vec<u8>) {
    if !bytes.is_empty() {
        put_length(field, bytes.len(), into);
        into.extend_from_slice(bytes);
    }
}

/// Tag and length of a field of `length` bytes.
fn put_length(field: u32, length: usize, into: &mut Vec<u8>) {
    encode_key(field, WireType::LengthDelimited, into);
    encode_varint(length as u64, into);
}

/// A field of `length` bytes with its tag and length. All our field numbers are below 16.
fn field_bytes(length: usize) -> usize {
    1 + encoded_len_varint(length as u64) + length
}

fn inner_bytes(record: &KeyValue, shown: Shown) -> usize {
    let fields = record.fields();
    bytes_bytes(record.key())
        + number_bytes(fields.create_revision)
        + number_bytes(fields.mod_revision)
        + number_bytes(fields.version)
        + if shown.value { bytes_bytes(record.value()) } else { 0 }
        + if shown.lease { number_bytes(fields.lease) } else { 0 }
}

/// What a record takes as an element of a repeated field.
pub(super) fn record_bytes(record: &KeyValue, shown: Shown) -> usize {
    field_bytes(inner_bytes(record, shown))
}

/// Writes a record (mvccpb.KeyValue) as an element of the repeated field `field`.
pub(super) fn put_record(field: u32, record: &KeyValue, shown: Shown, into: &mut Vec<u8>) {
    let fields = record.fields();
    put_length(field, inner_bytes(record, shown), into);
    put_bytes(1, record.key(), into);
    put_number(2, fields.create_revision, into);
    put_number(3, fields.mod_revision, into);
    put_number(4, fields.version, into);
    if shown.value {
        put_bytes(5, record.value(), into);
    }
    if shown.lease {
        put_number(6, fields.lease, into);
    }
}

/// An event as an element of `WatchResponse.events`: a response is its other fields and any number
/// of these, one after the other. The previous record is written if it is given.
pub(super) fn event_field(record: &KeyValue, previous: Option<&KeyValue>) -> Bytes {
    let kind = i64::from(record.is_tombstone());
    let before = previous.map_or(0, |previous| record_bytes(previous, Shown::ALL));
    let length = number_bytes(kind) + record_bytes(record, Shown::ALL) + before;
    let mut bytes = Vec::with_capacity(field_bytes(length));
    put_length(EVENTS, length, &mut bytes);
    put_number(1, kind, &mut bytes);
    put_record(2, record, Shown::ALL, &mut bytes);
    if let Some(previous) = previous {
        put_record(3, previous, Shown::ALL, &mut bytes);
    }
    bytes.into()
}

fn header_bytes(header: &Header) -> usize {
    field_bytes(translate::response_header(header).encoded_len())
}

pub(super) fn put_header(header: &Header, into: &mut Vec<u8>) {
    let header = translate::response_header(header);
    put_length(1, header.encoded_len(), into);
    header.encode_raw(into);
}

/// The fields of a range's answer behind its records.
pub(super) fn put_range_end(more: bool, count: i64, into: &mut Vec<u8>) {
    put_number(3, i64::from(more), into);
    put_number(4, count, into);
}

fn range_end_bytes(more: bool, count: i64) -> usize {
    number_bytes(i64::from(more)) + number_bytes(count)
}

/// A message that is still to be written: its length and its parts.
#[derive(Default)]
pub(super) struct Encoded {
    pub length: usize,
    pub segments: Vec<Segment>,
}

impl Encoded {
    /// Memory that is held until the last record is written, besides the records themselves.
    pub fn held_bytes(&self) -> usize {
        let held = |segment: &Segment| match segment {
            Segment::Bytes(bytes) => bytes.len(),
            Segment::Records(_, _, records) => records.len() * size_of::<KeyValue>(),
            Segment::Listing(_, listing) => listing.held_bytes(),
        };
        self.segments.iter().map(held).sum()
    }

    /// The end of the last part, for small fields.
    fn tail(&mut self) -> &mut Vec<u8> {
        if !matches!(self.segments.last(), Some(Segment::Bytes(_))) {
            self.segments.push(Segment::Bytes(Vec::new()));
        }
        match self.segments.last_mut() {
            Some(Segment::Bytes(bytes)) => bytes,
            _ => unreachable!("was just pushed"),
        }
    }

    fn put_records(&mut self, field: u32, shown: Shown, records: Vec<KeyValue>) {
        if !records.is_empty() {
            self.segments.push(Segment::Records(field, shown, records.into_iter()));
        }
    }
}

/// KV.Range.
pub(super) fn listing(header: &Header, shown: Shown, listing: Listing) -> Encoded {
    let (more, count) = (listing.more, listing.count);
    let length = header_bytes(header) + listing.bytes + range_end_bytes(more, count);
    let mut encoded = Encoded { length, segments: Vec::with_capacity(3) };
    put_header(header, encoded.tail());
    encoded.segments.push(Segment::Listing(shown, Box::new(listing)));
    put_range_end(more, count, encoded.tail());
    encoded
}

/// The bytes of a KV.Range that is not worth pieces, behind `prefix`; none for a larger one.
pub(super) fn small_listing(
    header: &Header,
    shown: Shown,
    listing: &mut Listing,
    max_bytes: usize,
    prefix: impl FnOnce(usize) -> [u8; 5],
) -> Option<Vec<u8>> {
    let (more, count) = (listing.more, listing.count);
    let length = header_bytes(header) + listing.bytes + range_end_bytes(more, count);
    if length > max_bytes {
        return None;
    }
    let prefix = prefix(length);
    let mut bytes = Vec::with_capacity(prefix.len() + length);
    bytes.extend_from_slice(&prefix);
    put_header(header, &mut bytes);
    let mut take = |record: &KeyValue| {
        put_record(KVS, record, shown, &mut bytes);
        true
    };
    while listing.step(&mut take) {}
    put_range_end(more, count, &mut bytes);
    Some(bytes)
}

/// One message of KV.RangeStream with `records`, which take `bytes`; the last one also has header,
/// `more` and `count` (RS3).
pub(super) fn chunk(
    records: Vec<KeyValue>,
    bytes: usize,
    shown: Shown,
    end: Option<(Header, bool, i64)>,
) -> Encoded {
    let end_bytes =
        end.map_or(0, |(header, more, count)| header_bytes(&header) + range_end_bytes(more, count));
    let inner = bytes + end_bytes;
    let mut encoded = Encoded { length: field_bytes(inner), ..Encoded::default() };
    // `RangeStreamResponse.range_response`.
    put_length(1, inner, encoded.tail());
    if let Some((header, ..)) = &end {
        put_header(header, encoded.tail());
    }
    encoded.put_records(KVS, shown, records);
    if let Some((_, more, count)) = end {
        put_range_end(more, count, encoded.tail());
    }
    encoded
}

/// KV.DeleteRange.
pub(super) fn delete_range(header: &Header, response: DeleteRangeResponse) -> Encoded {
    let mut encoded = Encoded { length: delete_range_bytes(header, &response), ..Encoded::default() };
    put_delete_range(header, response, &mut encoded);
    encoded
}

/// KV.Txn.
pub(super) fn txn(header: &Header, response: TxnResponse) -> Encoded {
    let mut encoded = Encoded { length: txn_bytes(header, &response), ..Encoded::default() };
    put_txn(header, response, &mut encoded);
    encoded
}

/// Inside a transaction only a header's revision means something (M6).
fn inner_header(revision: i64) -> Header {
    Header { revision, ..Header::default() }
}

fn records_bytes(records: &[KeyValue], shown: Shown) -> usize {
    records.iter().map(|record| record_bytes(record, shown)).sum()
}

fn range_bytes(header: &Header, response: &RangeResponse) -> usize {
    header_bytes(header)
        + records_bytes(&response.kvs, Shown::of_response(response))
        + range_end_bytes(response.more, response.count)
}

fn put_bytes_of(header: &Header, response: &PutResponse) -> usize {
    header_bytes(header) + response.prev_kv.as_ref().map_or(0, |record| record_bytes(record, Shown::ALL))
}

fn delete_range_bytes(header: &Header, response: &DeleteRangeResponse) -> usize {
    header_bytes(header) + number_bytes(response.deleted) + records_bytes(&response.prev_kvs, Shown::ALL)
}

fn op_bytes(op: &ResponseOp) -> usize {
    match op {
        ResponseOp::Range(revision, response) => range_bytes(&inner_header(*revision), response),
        ResponseOp::Put(revision, response) => put_bytes_of(&inner_header(*revision), response),
        ResponseOp::DeleteRange(revision, response) => delete_range_bytes(&inner_header(*revision), response),
        ResponseOp::Txn(revision, response) => txn_bytes(&inner_header(*revision), response),
    }
}

fn txn_bytes(header: &Header, response: &TxnResponse) -> usize {
    let ops = response.responses.iter().map(|op| field_bytes(field_bytes(op_bytes(op))));
    header_bytes(header) + number_bytes(i64::from(response.succeeded)) + ops.sum::<usize>()
}

fn put_delete_range(header: &Header, response: DeleteRangeResponse, into: &mut Encoded) {
    put_header(header, into.tail());
    put_number(2, response.deleted, into.tail());
    into.put_records(PREV_KVS, Shown::ALL, response.prev_kvs);
}

fn put_op(op: ResponseOp, into: &mut Encoded) {
    match op {
        ResponseOp::Range(revision, response) => {
            put_header(&inner_header(revision), into.tail());
            let shown = Shown::of_response(&response);
            into.put_records(KVS, shown, response.kvs);
            put_range_end(response.more, response.count, into.tail());
        }
        ResponseOp::Put(revision, response) => {
            put_header(&inner_header(revision), into.tail());
            into.put_records(PREV_KV, Shown::ALL, response.prev_kv.into_iter().collect());
        }
        ResponseOp::DeleteRange(revision, response) => {
            put_delete_range(&inner_header(revision), response, into);
        }
        ResponseOp::Txn(revision, response) => put_txn(&inner_header(revision), response, into),
    }
}

/// Lengths come before what they measure, so a nested transaction is measured once for each level
/// above it; `MAX_TXN_DEPTH` bounds that.
fn put_txn(header: &Header, response: TxnResponse, into: &mut Encoded) {
    put_header(header, into.tail());
    put_number(2, i64::from(response.succeeded), into.tail());
    for op in response.responses {
        let length = op_bytes(&op);
        // `ResponseOp` is a choice of one field, numbered as its kinds.
        let kind = match &op {
            ResponseOp::Range(..) => 1,
            ResponseOp::Put(..) => 2,
            ResponseOp::DeleteRange(..) => 3,
            ResponseOp::Txn(..) => 4,
        };
        put_length(RESPONSES, field_bytes(length), into.tail());
        put_length(kind, length, into.tail());
        put_op(op, into);
    }
}

#[cfg(test)]
mod tests;
