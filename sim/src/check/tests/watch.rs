//! Doctored watch streams: each of the rules.

use etched_proto::etcdserverpb as pb;
use etched_proto::mvccpb::Event;
use etched_testkit::Request;
use etched_testkit::model::Model;

use crate::check::{Checked, Watches};

fn put(key: &str, value: &str) -> pb::PutRequest {
    pb::PutRequest {
        key: key.as_bytes().to_vec().into(),
        value: value.as_bytes().to_vec().into(),
        ..Default::default()
    }
}

/// Revisions: 2 put a, 3 put b, 4 a transaction that puts a and b, 5 delete a, 6 put z, 7 put a.
fn model() -> Model {
    let mut model = Model::new();
    let both = ["a", "b"]
        .map(|key| pb::RequestOp { request: Some(pb::request_op::Request::RequestPut(put(key, "2"))) });
    let requests = [
        Request::Put(put("a", "1")),
        Request::Put(put("b", "1")),
        Request::Txn(pb::TxnRequest { success: both.to_vec(), ..Default::default() }),
        Request::DeleteRange(pb::DeleteRangeRequest { key: b"a".to_vec().into(), ..Default::default() }),
        Request::Put(put("z", "1")),
        Request::Put(put("a", "3")),
    ];
    requests.iter().for_each(|request| drop(model.apply(request).unwrap()));
    model
}

fn create() -> pb::WatchCreateRequest {
    pb::WatchCreateRequest {
        key: b"a".to_vec().into(),
        range_end: b"c".to_vec().into(),
        start_revision: 2,
        prev_kv: true,
        ..Default::default()
    }
}

fn header(revision: i64) -> Option<pb::ResponseHeader> {
    Some(pb::ResponseHeader { revision, ..Default::default() })
}

fn created(revision: i64) -> pb::WatchResponse {
    pb::WatchResponse { header: header(revision), created: true, ..Default::default() }
}

fn progress(revision: i64) -> pb::WatchResponse {
    pb::WatchResponse { header: header(revision), ..Default::default() }
}

/// The model's events of `revisions` that watch [`create`] must get, in one response.
fn events(model: &Model, revisions: impl IntoIterator<Item = i64>) -> pb::WatchResponse {
    let mut events = Vec::new();
    for revision in revisions {
        for change in model.events(revision).iter().filter(|change| change.kv.key != b"z".as_slice()) {
            let is_create = change.kv.create_revision == change.kv.mod_revision;
            let prev_kv = change.prev_kv.clone().filter(|_| !is_create);
            events.push(Event { r#type: change.is_delete.into(), kv: Some(change.kv.clone()), prev_kv });
        }
    }
    pb::WatchResponse { header: header(7), events, ..Default::default() }
}

fn run(model: &Model, create: pb::WatchCreateRequest, responses: &[pb::WatchResponse]) -> Checked {
    let mut watches = Watches::default();
    watches.create(1, create);
    responses.iter().try_for_each(|response| watches.response(model, 1, response))?;
    watches.finish(model)
}

fn clean(model: &Model) -> Vec<pb::WatchResponse> {
    vec![
        created(1),
        events(model, [2, 3]),
        events(model, [4]),
        progress(4),
        events(model, [5, 7]),
        progress(7),
    ]
}

fn verdict(responses: &[pb::WatchResponse]) -> &'static str {
    run(&model(), create(), responses).expect_err("a broken rule").checker
}

/// The clean stream with one change.
fn doctored(change: impl FnOnce(&Model, &mut Vec<pb::WatchResponse>)) -> &'static str {
    let model = model();
    let mut responses = clean(&model);
    change(&model, &mut responses);
    verdict(&responses)
}

#[test]
fn a_clean_stream_passes() {
    let model = model();
    assert_eq!(run(&model, create(), &clean(&model)), Ok(()));
    let from_now = pb::WatchCreateRequest { start_revision: 0, ..create() };
    assert_eq!(run(&model, from_now.clone(), &[created(4), events(&model, [5, 7])]), Ok(()));
    assert_eq!(run(&model, from_now, &[created(7), progress(7)]), Ok(()));
}

#[test]
fn ordered() {
    assert_eq!(doctored(|_, responses| responses[1].events.reverse()), "watch-ordered");
    assert_eq!(doctored(|_, responses| responses[2].events.reverse()), "watch-ordered");
    assert_eq!(doctored(|model, responses| responses[4] = events(model, [2])), "watch-bookmarkable");
    assert_eq!(doctored(|model, responses| responses[3] = events(model, [3])), "watch-ordered");
}

#[test]
fn unique() {
    assert_eq!(doctored(|model, responses| responses[3] = events(model, [4])), "watch-unique");
    let twice = |_: &Model, responses: &mut Vec<pb::WatchResponse>| {
        let event = responses[1].events[1].clone();
        responses[1].events.push(event);
    };
    assert_eq!(doctored(twice), "watch-unique");
}

#[test]
fn atomic() {
    assert_eq!(doctored(|_, responses| drop(responses[2].events.pop())), "watch-atomic");
    assert_eq!(doctored(|_, responses| drop(responses[2].events.remove(0))), "watch-atomic");
}

#[test]
fn fragments_are_put_together() {
    let model = model();
    let mut responses = clean(&model);
    let whole = responses[2].clone();
    let piece = |at: usize, fragment| pb::WatchResponse {
        events: vec![whole.events[at].clone()],
        fragment,
        ..whole.clone()
    };
    responses.splice(2..3, [piece(0, true), piece(1, false)]);
    assert_eq!(run(&model, pb::WatchCreateRequest { fragment: true, ..create() }, &responses), Ok(()));
}

#[test]
fn reliable() {
    assert_eq!(doctored(|model, responses| responses[1] = events(model, [2])), "watch-reliable");
    assert_eq!(doctored(|_, responses| responses.truncate(3)), "watch-reliable");
    assert_eq!(
        doctored(|_, responses| responses[1].events[0].kv.as_mut().unwrap().value = b"x".to_vec().into()),
        "watch-reliable"
    );
    let mut cancel = progress(7);
    (cancel.canceled, cancel.compact_revision) = (true, 5);
    assert_eq!(doctored(|_, responses| responses[2] = cancel), "watch-cancel");
}

#[test]
fn a_compaction_may_cancel() {
    let mut model = model();
    let responses = clean(&model);
    model.apply(&Request::Compact(pb::CompactionRequest { revision: 6, physical: false })).unwrap();
    let mut cancel = progress(7);
    (cancel.canceled, cancel.compact_revision) = (true, 6);
    assert_eq!(run(&model, create(), &[created(1), cancel.clone()]), Ok(()));
    let mut late = responses;
    late.push(cancel.clone());
    assert_eq!(run(&model, create(), &late).unwrap_err().checker, "watch-cancel", "it had everything");
    cancel.cancel_reason = "because".to_string();
    assert_eq!(run(&model, create(), &[created(1), cancel]).unwrap_err().checker, "watch-cancel");
}

#[test]
fn cancel() {
    let model = model();
    let cancel = pb::WatchResponse { canceled: true, ..progress(7) };
    assert_eq!(doctored(|_, responses| responses[2] = cancel.clone()), "watch-cancel", "nobody asked");
    let mut watches = Watches::default();
    watches.create(1, create());
    assert_eq!(watches.response(&model, 1, &created(1)), Ok(()));
    watches.cancel(1, 0);
    assert_eq!(watches.response(&model, 1, &cancel), Ok(()));
    let refused = |create: pb::WatchCreateRequest, watch_id: i64, reason: &str| {
        let cancel_reason = reason.to_string();
        let refusal = pb::WatchResponse { watch_id, canceled: true, cancel_reason, ..created(7) };
        run(&model, create, &[refusal])
    };
    let empty = pb::WatchCreateRequest { range_end: b"a".to_vec().into(), ..create() };
    let reason = "mvcc: watcher range is empty";
    assert_eq!(refused(empty.clone(), -1, reason), Ok(()));
    assert_eq!(refused(empty, 0, reason).unwrap_err().checker, "watch-cancel");
    assert_eq!(refused(create(), -1, reason).unwrap_err().checker, "watch-cancel");
}

#[test]
fn fragments() {
    assert_eq!(doctored(|_, responses| responses[2].fragment = true), "watch-fragments", "not asked for");
    let torn = |change: fn(&mut Vec<pb::WatchResponse>)| {
        let model = model();
        let mut responses = clean(&model);
        change(&mut responses);
        let asked = pb::WatchCreateRequest { fragment: true, ..create() };
        run(&model, asked, &responses).expect_err("a broken rule").checker
    };
    let another_header = |responses: &mut Vec<pb::WatchResponse>| {
        responses[1].fragment = true;
        responses[2].header = header(6);
    };
    assert_eq!(torn(another_header), "watch-fragments", "another header");
    assert_eq!(torn(|responses| responses[2].fragment = true), "watch-fragments", "progress inside");
    let same_header = |responses: &mut Vec<pb::WatchResponse>| {
        responses[2].fragment = true;
        responses[3] = progress(7);
    };
    assert_eq!(torn(same_header), "watch-fragments", "progress inside, with the header of the pieces");
    let another_watch = |responses: &mut Vec<pb::WatchResponse>| {
        responses[1].fragment = true;
        responses[2].watch_id = 5;
    };
    assert_eq!(torn(another_watch), "watch-fragments", "another watch inside");
    let empty = |responses: &mut Vec<pb::WatchResponse>| {
        responses[3].fragment = true;
    };
    assert_eq!(torn(empty), "watch-fragments", "an empty piece");
}

#[test]
fn future_start() {
    let model = model();
    let future = pb::WatchCreateRequest { start_revision: 4, ..create() };
    let responses = |events| [created(3), events];
    let early = run(&model, future.clone(), &responses(events(&model, [3])));
    assert_eq!(early.unwrap_err().checker, "watch-future-start");
    let early = run(&model, future.clone(), &responses(progress(3)));
    assert_eq!(early.unwrap_err().checker, "watch-future-start");
    assert_eq!(run(&model, future, &responses(events(&model, [4, 5, 7]))), Ok(()));
}

#[test]
fn resumable() {
    assert_eq!(doctored(|_, responses| drop(responses.remove(1))), "watch-resumable");
    let model = model();
    let later = pb::WatchCreateRequest { start_revision: 4, ..create() };
    let early = [created(7), events(&model, [2, 3])];
    assert_eq!(run(&model, later, &early).unwrap_err().checker, "watch-resumable");
}

#[test]
fn bookmarkable() {
    assert_eq!(doctored(|_, responses| responses[3] = progress(5)), "watch-bookmarkable");
    assert_eq!(doctored(|_, responses| responses[5] = progress(8)), "watch-bookmarkable");
    assert_eq!(doctored(|model, responses| responses.push(events(model, [7]))), "watch-bookmarkable");
}

#[test]
fn prev_kv() {
    assert_eq!(doctored(|_, responses| responses[4].events[0].prev_kv = None), "watch-prev-kv");
    let other = |_: &Model, responses: &mut Vec<pb::WatchResponse>| {
        responses[2].events[0].prev_kv = responses[2].events[1].prev_kv.clone();
    };
    assert_eq!(doctored(other), "watch-prev-kv");
    let model = model();
    let unasked = pb::WatchCreateRequest { prev_kv: false, ..create() };
    assert_eq!(run(&model, unasked, &clean(&model)).unwrap_err().checker, "watch-prev-kv");
}

#[test]
fn is_create() {
    let flag = |_: &Model, responses: &mut Vec<pb::WatchResponse>| {
        responses[2].events[0].kv.as_mut().unwrap().create_revision = 4;
    };
    assert_eq!(doctored(flag), "watch-is-create");
}

#[test]
fn filter() {
    let model = model();
    let no_delete = pb::WatchCreateRequest { filters: vec![1], ..create() };
    assert_eq!(run(&model, no_delete.clone(), &clean(&model)).unwrap_err().checker, "watch-filter");
    let filtered = [created(1), events(&model, [2, 3, 4, 7])];
    assert_eq!(run(&model, no_delete, &filtered), Ok(()));
    let single = pb::WatchCreateRequest { range_end: Default::default(), ..create() };
    assert_eq!(run(&model, single, &clean(&model)).unwrap_err().checker, "watch-filter");
}
