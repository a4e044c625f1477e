//! Checks against small servers on loopback.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::time::Duration;

/// A service on a port of its own that answers the first request with these bytes and then closes.
async fn answering(answer: impl Into<Vec<u8>>) -> (ServiceConfig, tokio::task::JoinHandle<String>) {
    let answer = answer.into();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/base/", listener.local_addr().expect("an address"));
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut request = vec![0; 4096];
        let len = stream.read(&mut request).await.unwrap_or(0);
        // A client that has seen enough may close first.
        let _closed_early = stream.write_all(&answer).await;
        String::from_utf8_lossy(&request[..len]).into_owned()
    });
    (service(&url), server)
}

fn service(url: &str) -> ServiceConfig {
    ServiceConfig::new("rag".parse().expect("a name"), url.parse().expect("a URL"))
}

fn response(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nlocation: /elsewhere\r\n\r\n{body}", body.len())
}

async fn seen(status: &str, body: &str) -> (Health, Option<String>) {
    let (service, server) = answering(response(status, body)).await;
    let outcome = Checker::new().check(&service).await;
    server.await.expect("the server ends");
    assert!(!outcome.refused);
    (outcome.health, outcome.version)
}

#[tokio::test]
async fn the_status_is_the_health_and_redirects_are_not_followed() {
    let cases = [
        ("200 OK", Health::Healthy),
        ("204 No Content", Health::Degraded),
        ("302 Found", Health::Degraded),
        ("404 Not Found", Health::Unhealthy),
        ("503 Service Unavailable", Health::Unhealthy),
    ];
    for (status, health) in cases {
        let body = if status.starts_with("204") { "" } else { "x" };
        assert_eq!(seen(status, body).await, (health, None), "{status}");
    }
}

#[tokio::test]
async fn the_version_is_read_from_json_when_it_is_short_text_or_a_number() {
    let long = format!("{{\"version\":\"{}\"}}", "1".repeat(65));
    let huge = format!("{{\"x\":\"{}\",\"version\":\"1\"}}", "x".repeat(MAX_BODY_LEN));
    let nested = format!("{{\"version\":{}", "[".repeat(50_000));
    let cases = [
        ("{\"status\":\"ok\",\"version\":\"1.4.2\"}", Some("1.4.2")),
        ("{\"version\":2}", Some("2")),
        ("{\"version\":2.5}", Some("2.5")),
        ("{\"version\":null}", None),
        ("{\"version\":\"a\\nb\"}", None),
        ("{}", None),
        ("ok", None),
        (&long, None),
        (&huge, None),
        (&nested, None),
    ];
    for (body, version) in cases {
        let (health, seen) = seen("200 OK", body).await;
        assert_eq!((health, seen.as_deref()), (Health::Healthy, version), "{}", &body[..body.len().min(40)]);
    }
}

#[tokio::test]
async fn the_path_is_appended_to_that_of_the_url() {
    let (service, server) = answering(response("200 OK", "")).await;
    Checker::new().check(&service).await;
    let request = server.await.expect("the server ends");
    assert!(request.starts_with("GET /base/health HTTP/1.1\r\n"), "{request}");
    assert!(request.to_lowercase().contains("\r\nhost: 127.0.0.1:"), "{request}");
}

#[tokio::test]
async fn a_closed_port_is_a_refused_connection_for_both_kinds_of_check() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    for check in [Check::Http, Check::Tcp] {
        for protocol in [Protocol::Http1, Protocol::H2c] {
            let outcome = Checker::new().check(&ServiceConfig { check, protocol, ..service(&url) }).await;
            assert!(outcome.refused && outcome.health == Health::Unhealthy, "{check:?}: {outcome:?}");
        }
    }
}

#[tokio::test]
async fn a_silent_or_garbled_service_is_unhealthy_but_not_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let silent = ServiceConfig { timeout: Duration::from_millis(50), ..service(&url) };
    let outcome = Checker::new().check(&silent).await;
    assert_eq!((outcome.health, outcome.refused), (Health::Unhealthy, false));
    assert_eq!(outcome.detail, "no answer within 50ms");
    let outcome = Checker::new().check(&ServiceConfig { check: Check::Tcp, ..silent }).await;
    assert_eq!(outcome.health, Health::Healthy, "TCP is all that is asked: {outcome:?}");
    let (service, _server) = answering(*b"\x16\x03\x01 this is not HTTP\r\n\r\n").await;
    let outcome = Checker::new().check(&service).await;
    assert_eq!((outcome.health, outcome.refused), (Health::Unhealthy, false), "{outcome:?}");
}

#[tokio::test]
async fn an_https_service_that_is_not_trusted_is_unhealthy_and_says_why() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("https://{}", listener.local_addr().expect("an address"));
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        // A TLS alert: handshake_failure.
        stream.write_all(&[21, 3, 3, 0, 2, 2, 40]).await
    });
    let outcome = Checker::new().check(&service(&url)).await;
    assert_eq!((outcome.health, outcome.refused), (Health::Unhealthy, false));
    assert!(outcome.detail.contains("HandshakeFailure"), "{outcome:?}");
    server.await.expect("the server ends").expect("written");
}
