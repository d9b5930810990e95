//! What is encoded by hand is what prost encodes.

use proptest::prelude::*;

use super::*;
use crate::types::KeyValueFields;

fn record() -> impl Strategy<Value = KeyValue> {
    let numbers = prop_oneof![Just(0_i64), 1..300_i64, any::<i64>()];
    let value = prop_oneof![Just(0_usize), 1..300_usize, Just(20_000_usize)];
    (prop::collection::vec(any::<u8>(), 0..200), value, prop::array::uniform4(numbers)).prop_map(
        |(key, value, [create_revision, mod_revision, version, lease])| {
            let fields =
                KeyValueFields { create_revision, mod_revision, version, lease, ..Default::default() };
            KeyValue::new(fields, &key, &vec![7; value])
        },
    )
}

fn range() -> impl Strategy<Value = RangeResponse> {
    let kvs = prop::collection::vec(record(), 0..4);
    (kvs, any::<bool>(), any::<i64>(), any::<bool>(), any::<bool>()).prop_map(
        |(kvs, more, count, keys_only, by_value)| RangeResponse {
            kvs,
            more,
            count,
            keys_only,
            keys_only_with_lease: keys_only && by_value,
        },
    )
}

fn delete() -> impl Strategy<Value = DeleteRangeResponse> {
    (any::<i64>(), prop::collection::vec(record(), 0..4))
        .prop_map(|(deleted, prev_kvs)| DeleteRangeResponse { deleted, prev_kvs })
}

fn transaction() -> impl Strategy<Value = TxnResponse> {
    let put = prop::option::of(record()).prop_map(|prev_kv| PutResponse { prev_kv });
    let leaf = prop_oneof![
        (any::<i64>(), range()).prop_map(|(revision, range)| ResponseOp::Range(revision, range)),
        (any::<i64>(), put).prop_map(|(revision, put)| ResponseOp::Put(revision, put)),
        (any::<i64>(), delete()).prop_map(|(revision, delete)| ResponseOp::DeleteRange(revision, delete)),
    ];
    let of = |op: BoxedStrategy<ResponseOp>| {
        (any::<bool>(), prop::collection::vec(op, 0..4))
            .prop_map(|(succeeded, responses)| TxnResponse { succeeded, responses })
    };
    let op = leaf.prop_recursive(3, 12, 4, move |inner| {
        (any::<i64>(), of(inner.boxed())).prop_map(|(revision, txn)| ResponseOp::Txn(revision, txn))
    });
    of(op.boxed())
}

fn bytes(encoded: Encoded) -> Vec<u8> {
    let mut bytes = Vec::new();
    for segment in encoded.segments {
        match segment {
            Segment::Bytes(part) => bytes.extend(part),
            Segment::Records(field, shown, records) => {
                records.for_each(|record| put_record(field, &record, shown, &mut bytes));
            }
            Segment::Listing(..) => unreachable!("only of ranges"),
        }
    }
    assert_eq!(bytes.len(), encoded.length);
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn like_prost(txn in transaction(), delete in delete(), range in range(), revision: i64) {
        let header = Header { cluster_id: u64::MAX, member_id: 7, revision, raft_term: 2 };
        let wire = translate::response_header(&header);
        let expected = translate::txn_response(wire, &txn).encode_to_vec();
        prop_assert_eq!(bytes(super::txn(&header, txn)), expected);
        let expected = translate::delete_range_response(wire, &delete).encode_to_vec();
        prop_assert_eq!(bytes(super::delete_range(&header, delete)), expected);
        let shown = Shown::of_response(&range);
        let length = records_bytes(&range.kvs, shown);
        let response = translate::range_response(wire, &range);
        let expected = etched_proto::etcdserverpb::RangeStreamResponse { range_response: Some(response) };
        let end = Some((header, range.more, range.count));
        prop_assert_eq!(bytes(chunk(range.kvs, length, shown, end)), expected.encode_to_vec());
    }

    #[test]
    fn events_like_prost(kv in record(), before in prop::option::of(record())) {
        let shown = crate::types::Event { kv: kv.clone(), prev_kv: before.clone() };
        let response = etched_proto::etcdserverpb::WatchResponse {
            events: vec![translate::event(&shown)],
            ..Default::default()
        };
        prop_assert_eq!(event_field(&kv, before.as_ref()), response.encode_to_vec());
    }
}
