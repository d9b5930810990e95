//! Plain HTTP and gRPC's health protocol.

use etched_proto::health::health_check_response::ServingStatus;
use etched_proto::health::health_client::HealthClient;
use etched_proto::health::{HealthCheckRequest, HealthListRequest};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

async fn http(member: &Member, head: &str) -> String {
    let mut stream = OsNet.dial(&member.address).await.expect("a connection");
    // In two parts, so that the first bytes come alone.
    let text = format!("{head} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(&text.as_bytes()[..1]).await.expect("a write");
    OsRuntime::sleep(Duration::from_millis(5)).await;
    stream.write_all(&text.as_bytes()[1..]).await.expect("a write");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    answer
}

#[test]
fn health_and_version() {
    block_on(async {
        let member = Member::start("plain", 1).await;
        member.kv().await.put(put("a", "1")).await.expect("a put");
        let answer = http(&member, "GET /health").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\n{\"health\":\"true\",\"reason\":\"\"}"), "{answer}");
        let answer = http(&member, "GET /version").await;
        let version = "{\"etcdserver\":\"3.7.1\",\"etcdcluster\":\"3.7.0\",\"storage\":\"3.7.0\"}";
        assert!(answer.ends_with(version), "{answer}");
        let answer = http(&member, "POST /health").await;
        assert!(answer.starts_with("HTTP/1.1 405 ") && answer.contains("allow: GET"), "{answer}");
        // A method that begins like HTTP/2's preface.
        assert!(http(&member, "PUT /health").await.starts_with("HTTP/1.1 405 "));
        assert!(http(&member, "GET /nothing").await.starts_with("HTTP/1.1 404 "));
        member.stop().await;
    });
}

#[test]
fn health_without_a_leader() {
    block_on(async {
        let member = Member::start("unhealthy", 3).await;
        let answer = http(&member, "GET /health").await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.ends_with("{\"health\":\"false\",\"reason\":\"RAFT NO LEADER\"}"), "{answer}");
        let answer = http(&member, "GET /health?serializable=true").await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        member.stop().await;
    });
}

#[test]
fn http_2_without_grpc() {
    block_on(async {
        use tower::Service;
        let member = Member::start("plain-two", 1).await;
        let request = http::Request::get("/version").body(tonic::body::Body::empty()).expect("a request");
        let answer = member.channel().await.call(request).await.expect("an answer");
        assert_eq!(answer.status(), http::StatusCode::OK);
        assert_eq!(answer.headers()[http::header::CONTENT_TYPE], "application/json");
        // As over HTTP/1.1: some who ask want to know how much comes.
        let length = answer.headers()[http::header::CONTENT_LENGTH].clone();
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        assert_eq!(length, body.len().to_string());
        member.stop().await;
    });
}

#[test]
fn grpc_health() {
    block_on(async {
        let member = Member::start("grpc-health", 1).await;
        let mut health = HealthClient::new(member.channel().await);
        let of = |service: &str| HealthCheckRequest { service: service.to_string() };
        let answer = health.check(of("")).await.expect("an answer").into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving);
        assert_eq!(refusal(health.check(of("x")).await), told(Code::NotFound, "unknown service"));
        let list = health.list(HealthListRequest {}).await.expect("an answer").into_inner();
        assert_eq!(list.statuses[""].status(), ServingStatus::Serving);
        let mut unknown = health.watch(of("x")).await.expect("a stream").into_inner();
        let first = unknown.message().await.expect("no error").expect("no end");
        assert_eq!(first.status(), ServingStatus::ServiceUnknown);
        let mut stream = health.watch(of("")).await.expect("a stream").into_inner();
        let first = stream.message().await.expect("no error").expect("no end");
        assert_eq!(first.status(), ServingStatus::Serving);
        let begin = OsRuntime::now();
        let (then, ()) = futures_util::join!(stream.message(), member.stop());
        assert_eq!(then.expect("no error").expect("no end").status(), ServingStatus::NotServing);
        assert!(OsRuntime::now() - begin < Duration::from_secs(4));
    });
}

#[test]
fn noise_and_silence_end_only_their_own_connection() {
    block_on(async {
        let member = Member::start("noise", 1).await;
        for noise in [b"\x00\xff\x16\x03\x01garbage\r\n\r\n".as_slice(), b"PRI * HTTP/2.0\r\n\r\nXX", b""] {
            let mut stream = OsNet.dial(&member.address).await.expect("a connection");
            stream.write_all(noise).await.expect("a write");
            stream.shutdown().await.expect("a shutdown");
            let mut answer = Vec::new();
            // Whatever the answer is, the connection ends.
            let _ = stream.read_to_end(&mut answer).await;
        }
        let _silent = OsNet.dial(&member.address).await.expect("a connection");
        member.kv().await.put(put("a", "1")).await.expect("a put");
        let begin = OsRuntime::now();
        member.stop().await;
        assert!(OsRuntime::now() - begin < Duration::from_secs(4));
    });
}
