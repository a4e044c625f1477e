//! Tests of the metrics: what is counted where, and that the text names it.

use super::*;
use crate::id::Identity;

fn check(metrics: &Metrics, line: &str) {
    let text = metrics.encode().unwrap();
    assert!(text.lines().any(|l| l == line), "no line '{line}' in:\n{text}");
}

#[test]
fn answers_are_counted_by_service_worker_and_code() {
    let metrics = Metrics::new();
    let rag = metrics.request("rag", "w1");
    rag.observe(200, Duration::from_millis(3));
    rag.observe(200, Duration::from_millis(30));
    rag.observe(418, Duration::ZERO);
    metrics.observe_request("rag", "w1", 200, Duration::ZERO);
    check(&metrics, r#"meshnode_requests_total{service="rag",worker="w1",code="200"} 3"#);
    check(&metrics, r#"meshnode_requests_total{service="rag",worker="w1",code="418"} 1"#);
    check(&metrics, r#"meshnode_request_errors_total{service="rag",worker="w1"} 0"#);
    check(&metrics, r#"meshnode_request_duration_seconds_count{service="rag",worker="w1"} 4"#);
    check(&metrics, r#"meshnode_request_duration_seconds_bucket{le="0.005",service="rag",worker="w1"} 3"#);
}

#[test]
fn server_errors_and_failed_attempts_count_as_errors_of_the_instance() {
    let metrics = Metrics::new();
    let rag = metrics.request("rag", "w1");
    rag.observe(503, Duration::ZERO);
    rag.observe(599, Duration::ZERO);
    rag.observe(404, Duration::ZERO);
    rag.observe_failed_attempt();
    check(&metrics, r#"meshnode_request_errors_total{service="rag",worker="w1"} 3"#);
}

#[test]
fn refusals_are_counted_apart_from_events() {
    let metrics = Metrics::new();
    let worker = Identity::from_secret(&[1; 32]).id();
    metrics.observe_event(&Event::Dead(worker));
    metrics.observe_event(&Event::Refused { what: Refused::Claim, reason: "a jump".to_owned() });
    check(&metrics, r#"meshnode_events_total{kind="dead"} 1"#);
    check(&metrics, r#"meshnode_refused_total{kind="claim"} 1"#);
}

#[test]
fn a_label_cannot_break_out_of_its_quotes() {
    let metrics = Metrics::new();
    metrics.request("a\"b\\c\nd", "").observe(200, Duration::ZERO);
    check(&metrics, r#"meshnode_requests_total{service="a\"b\\c\nd",worker="",code="200"} 1"#);
}
