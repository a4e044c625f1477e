//! Traces: spans that a collector gets, how they hang together, and what the services see of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt as _, Full};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message as _;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::harness::*;
use crate::metrics::KindLabels;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CLIENT: &str = "b7ad6b7169203331";

/// A span as it came to the collector.
#[derive(Debug, Clone)]
struct Seen {
    trace: String,
    id: String,
    parent: String,
    name: String,
    kind: SpanKind,
    attributes: BTreeMap<String, String>,
}

impl Seen {
    fn get(&self, attribute: &str) -> &str {
        self.attributes.get(attribute).map_or("", String::as_str)
    }
}

#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Seen>>>);

impl Collector {
    async fn start() -> (Self, String) {
        let collector = Self::default();
        let seen = collector.clone();
        let addr = backend(move |request| {
            let seen = seen.clone();
            async move {
                assert_eq!(request.uri().path(), "/v1/traces");
                assert_eq!(request.headers()["content-type"], "application/x-protobuf");
                let body = request.into_body().collect().await.unwrap().to_bytes();
                seen.take(ExportTraceServiceRequest::decode(body).unwrap());
                Response::new(Full::new(Bytes::new()))
            }
        })
        .await;
        (collector, format!("http://{addr}"))
    }

    fn take(&self, request: ExportTraceServiceRequest) {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let text = |value: Option<Value>| match value {
            Some(Value::StringValue(text)) => text,
            Some(Value::IntValue(number)) => number.to_string(),
            other => format!("{other:?}"),
        };
        for of_node in request.resource_spans {
            let resource = of_node.resource.unwrap();
            assert!(resource.attributes.iter().any(|it| it.key == "service.instance.id"), "{resource:?}");
            for span in of_node.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                let attributes = span.attributes.clone().into_iter();
                self.0.lock().unwrap().push(Seen {
                    trace: hex(&span.trace_id),
                    id: hex(&span.span_id),
                    parent: hex(&span.parent_span_id),
                    kind: span.kind(),
                    attributes: attributes
                        .map(|it| (it.key, text(it.value.and_then(|it| it.value))))
                        .collect(),
                    name: span.name,
                });
            }
        }
    }

    fn spans(&self) -> Vec<Seen> {
        self.0.lock().unwrap().clone()
    }

    /// Waits for so many spans; there are no more.
    async fn exactly(&self, count: usize) -> Vec<Seen> {
        eventually("enough spans", || self.spans().len() >= count).await;
        let spans = self.spans();
        assert_eq!(spans.len(), count, "{spans:#?}");
        spans
    }
}

fn only(spans: &[Seen], is_it: impl Fn(&Seen) -> bool) -> &Seen {
    let mut found = spans.iter().filter(|span| is_it(span));
    let first = found.next().unwrap_or_else(|| panic!("none of {spans:#?}"));
    assert!(found.next().is_none(), "several in {spans:#?}");
    first
}

/// The line of a header that the service saw.
fn seen_by_service<'a>(answer: &'a str, name: &str) -> Vec<&'a str> {
    body(answer).lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).collect()
}

#[tokio::test]
async fn a_request_over_two_nodes_is_one_trace() {
    let (collector, url) = Collector::start().await;
    let nodes = mesh_traced(vec![vec![], vec![service("echo", echo().await)]], &url).await;
    let headers =
        format!("traceparent: 00-{TRACE}-{CLIENT}-01\r\ntracestate: a=1\r\ntracestate: b=2\r\nx: y\r\n");
    let answer = ask(nodes[0].ingress, "GET /api/service/echo/q?secret=1", &headers, "").await;
    let spans = collector.exactly(3).await;
    assert!(spans.iter().all(|span| span.trace == TRACE && span.name == "GET echo"), "{spans:#?}");
    let entry = only(&spans, |span| span.parent == CLIENT);
    let attempt = only(&spans, |span| span.parent == entry.id);
    let exit = only(&spans, |span| span.parent == attempt.id);
    assert_eq!((entry.kind, attempt.kind, exit.kind), (SpanKind::Server, SpanKind::Client, SpanKind::Server));
    assert_eq!(seen_by_service(&answer, "traceparent"), [format!("00-{TRACE}-{}-01", exit.id)]);
    assert_eq!(seen_by_service(&answer, "tracestate").join(","), "a=1,b=2");
    let server = nodes[1].id.to_string();
    for (span, attribute, value) in [
        (entry, "http.request.method", "GET"),
        (entry, "url.path", "/api/service/echo/q"),
        (entry, "url.scheme", "http"),
        (entry, "server.address", "here"),
        (entry, "client.address", "127.0.0.1"),
        (entry, "network.protocol.version", "1.1"),
        (entry, "http.response.status_code", "200"),
        (entry, "mesh.service", "echo"),
        (entry, "mesh.worker", &server),
        (entry, "mesh.attempts", "1"),
        (entry, "error.type", ""),
        (attempt, "url.full", "http://here/q"),
        (attempt, "network.peer.address", "127.0.0.1"),
        (attempt, "mesh.worker", &server),
        (attempt, "mesh.attempt", "1"),
        (attempt, "http.response.status_code", "200"),
        (exit, "network.protocol.version", "2"),
        (exit, "mesh.worker", &server),
        (exit, "http.response.status_code", "200"),
    ] {
        assert_eq!(span.get(attribute), value, "{attribute} of {span:#?}");
    }
    assert!(!format!("{spans:?}").contains("secret"), "a query may hold secrets");
}

#[tokio::test]
async fn a_request_without_a_sound_sender_begins_a_trace() {
    let (collector, url) = Collector::start().await;
    let nodes = mesh_traced(vec![vec![service("echo", echo().await)]], &url).await;
    for headers in ["", "traceparent: 00-1-2-01\r\ntracestate: of=nobody\r\n"] {
        collector.0.lock().unwrap().clear();
        let answer = ask(nodes[0].ingress, "GET /api/service/echo/", headers, "").await;
        let spans = collector.exactly(2).await;
        let entry = only(&spans, |span| span.parent.is_empty());
        let attempt = only(&spans, |span| span.parent == entry.id);
        assert_eq!(
            seen_by_service(&answer, "traceparent"),
            [format!("00-{}-{}-01", entry.trace, attempt.id)]
        );
        assert!(seen_by_service(&answer, "tracestate").is_empty(), "{answer}");
    }
}

#[tokio::test]
async fn a_trace_that_its_sender_does_not_record_is_passed_on_and_not_exported() {
    let (collector, url) = Collector::start().await;
    let nodes = mesh_traced(vec![vec![], vec![service("echo", echo().await)]], &url).await;
    let headers = format!("traceparent: 00-{TRACE}-{CLIENT}-00\r\n");
    let answer = ask(nodes[0].ingress, "GET /api/service/echo/", &headers, "").await;
    let parent = seen_by_service(&answer, "traceparent");
    assert!(parent[0].starts_with(&format!("00-{TRACE}-")) && parent[0].ends_with("-00"), "{parent:?}");
    // Spans of a later request come after those of this one would have.
    ask(nodes[0].ingress, "GET /api/service/echo/", "", "").await;
    let spans = collector.exactly(3).await;
    assert!(spans.iter().all(|span| span.trace != TRACE), "{spans:#?}");
}

#[tokio::test]
async fn each_attempt_has_a_span_that_says_what_became_of_it() {
    let (collector, url) = Collector::start().await;
    let services = vec![vec![], vec![service("echo", nobody().await)], vec![service("echo", nobody().await)]];
    let nodes = mesh_traced(services, &url).await;
    let answer = ask(nodes[0].ingress, "GET /api/service/echo/", "", "").await;
    assert_eq!(status(&answer), 503);
    let spans = collector.exactly(5).await;
    let entry = only(&spans, |span| span.parent.is_empty());
    assert_eq!((entry.get("error.type"), entry.get("http.response.status_code")), ("connect_failed", "503"));
    let mut attempts: Vec<&Seen> = spans.iter().filter(|span| span.parent == entry.id).collect();
    attempts.sort_by_key(|span| span.get("mesh.attempt").to_owned());
    let told: Vec<_> =
        attempts.iter().map(|span| (span.get("mesh.attempt"), span.get("error.type"))).collect();
    assert_eq!(told, [("1", "connect_failed"), ("2", "connect_failed")]);
    assert_ne!(attempts[0].get("mesh.worker"), attempts[1].get("mesh.worker"));
    assert_eq!(attempts[1].get("http.request.resend_count"), "1");
}

#[tokio::test]
async fn what_the_mesh_refuses_is_an_error_of_the_span_in_grpc_too() {
    let (collector, url) = Collector::start().await;
    let nodes = mesh_traced(vec![vec![service("echo", nobody().await)]], &url).await;
    let grpc = "content-type: application/grpc\r\n";
    let answer = ask(nodes[0].ingress, "POST /api/service/echo/a.B/C", grpc, "").await;
    assert_eq!((status(&answer), header(&answer, "grpc-status")), (200, Some("12")), "{answer}");
    let spans = collector.exactly(1).await;
    assert_eq!(spans[0].get("error.type"), "protocol_mismatch", "{spans:#?}");
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_spans_of_its_request() {
    let (collector, url) = Collector::start().await;
    let silent = backend(|_| std::future::pending::<Response<Full<Bytes>>>()).await;
    let nodes = mesh_traced(vec![vec![service("silent", silent)]], &url).await;
    let mut client = TcpStream::connect(nodes[0].ingress).await.unwrap();
    client.write_all(b"GET /api/service/silent/ HTTP/1.1\r\nhost: here\r\n\r\n").await.unwrap();
    eventually("under way", || nodes[0].proxy.in_flight() == 1).await;
    drop(client);
    let spans = collector.exactly(2).await;
    assert!(spans.iter().all(|span| span.get("error.type") == "cancelled"), "{spans:#?}");
}

#[tokio::test]
async fn a_collector_that_is_down_harms_no_request() {
    let nodes =
        mesh_traced(vec![vec![service("echo", echo().await)]], &format!("http://{}", nobody().await)).await;
    let failed = || nodes[0].metrics.span_exports.get_or_create(&KindLabels { kind: "failed" }).get();
    for _ in 0..10 {
        assert_eq!(status(&ask(nodes[0].ingress, "GET /api/service/echo/", "", "").await), 200);
    }
    eventually("a failed export", || failed() > 0).await;
    assert_eq!(status(&ask(nodes[0].ingress, "GET /api/service/echo/", "", "").await), 200);
}

#[tokio::test]
async fn without_a_collector_the_headers_of_a_trace_travel_unchanged() {
    let nodes = mesh(vec![vec![], vec![service("echo", echo().await)]]).await;
    for parent in [&format!("00-{TRACE}-{CLIENT}-01"), "no trace at all"] {
        let headers = format!("traceparent: {parent}\r\ntracestate: a=1\r\ntracestate: b=2\r\n");
        let answer = ask(nodes[0].ingress, "GET /api/service/echo/", &headers, "").await;
        assert_eq!(seen_by_service(&answer, "traceparent"), [parent]);
        assert_eq!(seen_by_service(&answer, "tracestate").join(","), "a=1,b=2");
    }
}
