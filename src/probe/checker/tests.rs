//! Checks against small servers on loopback.

use prost::Message as _;
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
    for check in [Check::Http, Check::Tcp, Check::Grpc] {
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

#[tokio::test]
async fn an_https_service_with_a_certificate_of_its_own_is_unhealthy_and_says_why() {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.key_pair.serialize_der());
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .expect("a server");
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("https://{}", listener.local_addr().expect("an address"));
    let server = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            assert!(acceptor.accept(stream).await.is_err(), "the certificate was taken");
        }
    });
    for check in [Check::Http, Check::Grpc] {
        let outcome = Checker::new().check(&ServiceConfig { check, ..service(&url) }).await;
        assert_eq!((outcome.health, outcome.refused), (Health::Unhealthy, false));
        assert!(outcome.detail.contains("invalid peer certificate: UnknownIssuer"), "{outcome:?}");
    }
    server.abort();
}

/// How a gRPC server of a test answers.
#[derive(Clone, Copy)]
enum Call {
    /// With a message of this health status.
    Status(i32),
    /// With trailers only, of this code.
    Refused(&'static str),
    /// As a server that is none of gRPC.
    Plain(u16),
}

/// A gRPC server that answers one call, and then tells for which service it was asked.
async fn grpc(call: Call) -> (ServiceConfig, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        let mut connection = h2::server::handshake(stream).await.expect("HTTP/2");
        let (request, respond) = connection.accept().await.expect("a call").expect("a sound call");
        tokio::spawn(async move { while connection.accept().await.is_some() {} });
        answer_call(call, request, respond).await
    });
    (ServiceConfig { check: Check::Grpc, health: String::new(), ..service(&url) }, server)
}

async fn answer_call(
    call: Call,
    request: Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
) -> String {
    assert_eq!((request.uri().path(), request.method()), ("/grpc.health.v1.Health/Check", &Method::POST));
    assert_eq!(request.headers()["te"], "trailers");
    assert_eq!(request.headers()["content-type"], "application/grpc");
    let mut body = request.into_body();
    let mut asked = Vec::new();
    while let Some(data) = body.data().await {
        asked.extend_from_slice(&data.expect("a body"));
    }
    assert_eq!(asked[..4], [0; 4], "not compressed, and short");
    let head = http::Response::builder().header("content-type", "application/grpc");
    match call {
        Call::Plain(status) => {
            let head = http::Response::builder().status(status).body(()).expect("a head");
            respond.send_response(head, true).expect("sent");
        }
        Call::Refused(code) => {
            let head =
                head.header("grpc-status", code).header("grpc-message", "no").body(()).expect("a head");
            respond.send_response(head, true).expect("sent");
        }
        Call::Status(status) => {
            let mut send = respond.send_response(head.body(()).expect("a head"), false).expect("sent");
            // The field 1, a number.
            let message = [0, 0, 0, 0, 2, 8, u8::try_from(status).expect("small")];
            send.send_data(Bytes::copy_from_slice(&message), false).expect("sent");
            let mut trailers = http::HeaderMap::new();
            trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
            send.send_trailers(trailers).expect("sent");
        }
    }
    grpc::CheckRequest::decode(&asked[5..]).expect("a request").service
}

#[tokio::test]
async fn a_grpc_server_is_healthy_only_while_it_says_that_it_serves() {
    for (call, health, detail) in [
        (Call::Status(1), Health::Healthy, "SERVING"),
        (Call::Status(2), Health::Unhealthy, "NOT_SERVING"),
        (Call::Status(3), Health::Unhealthy, "SERVICE_UNKNOWN"),
        (Call::Status(0), Health::Unhealthy, "the health status is unknown (0)"),
        (Call::Refused("5"), Health::Unhealthy, "NOT_FOUND: the server does not know the service"),
        (Call::Refused("12"), Health::Unhealthy, "UNIMPLEMENTED: the server has no grpc.health.v1.Health"),
        (Call::Refused("14"), Health::Unhealthy, "grpc-status 14: no"),
        (Call::Plain(404), Health::Unhealthy, "no answer of gRPC, but 404 Not Found"),
        (Call::Plain(200), Health::Unhealthy, "no answer of gRPC: it has no grpc-status"),
    ] {
        let (service, server) = grpc(call).await;
        let outcome = Checker::new().check(&service).await;
        assert_eq!((outcome.health, outcome.refused), (health, false), "{outcome:?}");
        assert!(outcome.detail.starts_with(detail), "{outcome:?}");
        server.await.expect("the server ends");
    }
}

#[tokio::test]
async fn a_grpc_check_asks_for_the_service_that_is_configured() {
    for name in ["", "acme.v1.Search"] {
        let (service, server) = grpc(Call::Status(1)).await;
        let outcome = Checker::new().check(&ServiceConfig { health: name.to_owned(), ..service }).await;
        assert_eq!(outcome.health, Health::Healthy, "{outcome:?}");
        assert_eq!(server.await.expect("the server ends"), name);
    }
}

#[tokio::test]
async fn what_does_not_speak_http2_fails_a_grpc_check() {
    let (service, _server) = answering(response("200 OK", "")).await;
    let outcome = Checker::new().check(&ServiceConfig { check: Check::Grpc, ..service }).await;
    assert_eq!((outcome.health, outcome.refused), (Health::Unhealthy, false), "{outcome:?}");
}
