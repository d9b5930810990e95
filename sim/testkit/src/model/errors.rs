//! The errors the model gives, by their texts in etcd's catalogue.

use tonic::Code;

use crate::Failure;

macro_rules! failures {
    ($($name:ident, $code:ident, $text:literal;)*) => {
        $(pub(crate) fn $name() -> Failure {
            Failure::new(Code::$code, concat!("etcdserver: ", $text))
        })*
    };
}

failures! {
    empty_key, InvalidArgument, "key is not provided";
    key_not_found, InvalidArgument, "key not found";
    value_provided, InvalidArgument, "value is provided";
    lease_provided, InvalidArgument, "lease is provided";
    too_many_ops, InvalidArgument, "too many operations in txn request";
    duplicate_key, InvalidArgument, "duplicate key given in txn request";
    invalid_sort_option, InvalidArgument, "invalid sort option";
    compacted, OutOfRange, "mvcc: required revision has been compacted";
    future_revision, OutOfRange, "mvcc: required revision is a future revision";
    lease_not_found, NotFound, "requested lease not found";
    lease_exists, FailedPrecondition, "lease already exists";
    lease_ttl_too_large, OutOfRange, "too large lease TTL";
}
