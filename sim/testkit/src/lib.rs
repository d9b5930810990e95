//! What a test knows of etcd, from a client's side: a simple model, generators of requests, and
//! transcripts. It speaks the wire's messages only and shares no code with the product.

pub mod generate;
pub mod model;
mod request;
pub mod transcript;
pub mod users;

pub use request::{Failure, Request, Response};
