//! The wire: etcd's messages and services by etcd's names and field numbers (etcd-surface 1.0),
//! generated from `proto/` for both sides of a connection. Knows nothing of the product, so that
//! the model and the workloads can share it.
//!
//! Field names follow prost's spelling of etcd's (`ID` is `id`, `peerURLs` is `peer_ur_ls`).
#![allow(missing_docs, rustdoc::all, clippy::all)]

/// Users, roles and permissions.
pub mod authpb {
    tonic::include_proto!("authpb");
}

/// The services of the client port.
pub mod etcdserverpb {
    tonic::include_proto!("etcdserverpb");
}

/// Records and events.
pub mod mvccpb {
    tonic::include_proto!("mvccpb");
}

/// Leader election.
pub mod v3electionpb {
    tonic::include_proto!("v3electionpb");
}

/// Locks.
pub mod v3lockpb {
    tonic::include_proto!("v3lockpb");
}

/// gRPC's own health protocol.
pub mod health {
    tonic::include_proto!("grpc.health.v1");
}

#[cfg(test)]
mod tests;
