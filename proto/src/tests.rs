//! Bytes on the wire against hand-made ones: field numbers that are easy to get wrong.

use prost::Message;

use crate::etcdserverpb::{self as pb, compare::TargetUnion};
use crate::mvccpb::Event;

#[test]
fn watch_events_are_field_11() {
    let response = pb::WatchResponse { watch_id: 3, events: vec![Event::default()], ..Default::default() };
    assert_eq!(response.encode_to_vec(), [0x10, 3, 11 << 3 | 2, 0]);
}

#[test]
fn compare_range_end_is_field_64() {
    let compare = pb::Compare {
        range_end: "z".into(),
        target_union: Some(TargetUnion::Version(0)),
        ..Default::default()
    };
    assert_eq!(compare.encode_to_vec(), [0x20, 0, 0x82, 0x04, 1, b'z']);
}

#[test]
fn status_fields_by_number() {
    let status = pb::StatusResponse {
        storage_version: "3.7".to_string(),
        db_size_quota: 1,
        downgrade_info: Some(pb::DowngradeInfo::default()),
        ..Default::default()
    };
    assert_eq!(status.encode_to_vec(), [0x5a, 3, b'3', b'.', b'7', 0x60, 1, 0x6a, 0]);
}
