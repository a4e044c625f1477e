//! Tests of the metrics: what is counted where, and that the text names it.

use std::time::Duration;

use super::*;
use crate::admin::fixture::{id, view};

fn check(metrics: &Metrics, line: &str) {
    let text = metrics.encode().unwrap();
    assert!(text.lines().any(|l| l == line), "no line '{line}' in:\n{text}");
}

fn rag() -> ServiceName {
    "rag".parse().unwrap()
}

#[test]
fn answers_are_counted_by_service_worker_and_code() {
    let metrics = Metrics::new();
    metrics.instance(&rag(), id(1)).observe(200, Duration::from_millis(3));
    metrics.instance(&rag(), id(1)).observe(200, Duration::from_millis(30));
    metrics.instance(&rag(), id(1)).observe(418, Duration::ZERO);
    metrics.instance(&rag(), id(1)).observe(200, Duration::ZERO);
    let of = format!("service=\"rag\",worker=\"{}\"", id(1));
    check(&metrics, &format!("meshnode_requests_total{{{of},code=\"200\"}} 3"));
    check(&metrics, &format!("meshnode_requests_total{{{of},code=\"418\"}} 1"));
    check(&metrics, &format!("meshnode_request_errors_total{{{of}}} 0"));
    check(&metrics, &format!("meshnode_request_duration_seconds_count{{{of}}} 4"));
    check(&metrics, &format!("meshnode_request_duration_seconds_bucket{{le=\"0.005\",{of}}} 3"));
}

#[test]
fn server_errors_and_failed_attempts_count_as_errors_of_the_instance() {
    let metrics = Metrics::new();
    let instance = metrics.instance(&rag(), id(1));
    instance.observe(503, Duration::ZERO);
    instance.observe(599, Duration::ZERO);
    instance.observe(404, Duration::ZERO);
    instance.observe_failed_attempt();
    check(&metrics, &format!("meshnode_request_errors_total{{service=\"rag\",worker=\"{}\"}} 3", id(1)));
}

#[test]
fn a_worker_that_nobody_remembers_leaves_no_series() {
    let metrics = Metrics::new();
    for n in [1, 9] {
        let instance = metrics.instance(&rag(), id(n));
        instance.observe(200, Duration::ZERO);
        instance.observe(418, Duration::ZERO);
        instance.in_flight().inc();
    }
    metrics.observe_view(&view());
    let text = metrics.encode().unwrap();
    assert!(text.contains(&id(1).to_string()), "{text}");
    assert!(!text.contains(&id(9).to_string()), "{text}");
}

#[test]
fn a_service_that_a_worker_offers_no_more_leaves_no_series() {
    let metrics = Metrics::new();
    metrics.instance(&"gone".parse().unwrap(), id(1)).observe(200, Duration::ZERO);
    metrics.instance(&rag(), id(1)).observe(200, Duration::ZERO);
    metrics.observe_view(&view());
    let text = metrics.encode().unwrap();
    assert!(text.contains("service=\"rag\"") && !text.contains("service=\"gone\""), "{text}");
}

#[test]
fn gauges_of_instances_and_services_go_with_them() {
    let metrics = Metrics::new();
    let standing = crate::router::Standing {
        service: rag(),
        worker: id(1),
        health: crate::manifest::Health::Healthy,
        in_flight: 0,
        latency: None,
        ejected: Some(Duration::from_secs(3)),
        reason: None,
    };
    metrics.observe_instances(&[standing]);
    metrics.observe_occupancy(&[Occupancy { service: rag(), in_flight: 3, waiting: 2 }]);
    check(&metrics, r#"meshnode_instances{service="rag",health="healthy"} 1"#);
    check(&metrics, &format!("meshnode_instance_ejected{{service=\"rag\",worker=\"{}\"}} 1", id(1)));
    check(&metrics, r#"meshnode_service_in_flight{service="rag"} 3"#);
    check(&metrics, r#"meshnode_service_waiting{service="rag"} 2"#);
    metrics.observe_instances(&[]);
    metrics.observe_occupancy(&[]);
    assert!(!metrics.encode().unwrap().contains("service=\"rag\""));
}

#[test]
fn refusals_are_counted_apart_from_events() {
    let metrics = Metrics::new();
    metrics.observe_event(&Event::Dead(id(1)));
    metrics.observe_event(&Event::Refused { what: Refused::Claim, reason: "a jump".to_owned() });
    check(&metrics, r#"meshnode_events_total{kind="dead"} 1"#);
    check(&metrics, r#"meshnode_refused_total{kind="claim"} 1"#);
}

#[test]
fn a_label_cannot_break_out_of_its_quotes() {
    let metrics = Metrics::new();
    let service = "a\"b\\c\nd".to_owned();
    metrics.requests.get_or_create(&RequestLabels { service, worker: String::new(), code: 200 }).inc();
    check(&metrics, r#"meshnode_requests_total{service="a\"b\\c\nd",worker="",code="200"} 1"#);
}

#[test]
fn the_condition_of_the_mesh_is_shown() {
    let metrics = Metrics::new();
    metrics.observe_vitals(Vitals { health_score: 3, facts_waiting: 17, questions_waiting: 2 });
    let text = metrics.encode().unwrap();
    for line in ["meshnode_health_score 3", "meshnode_facts_waiting 17", "meshnode_questions_waiting 2"] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
}

#[test]
fn the_budget_and_the_last_error_of_the_summary_are_shown() {
    let metrics = Metrics::new();
    let mut view = view();
    let status = crate::view::SummaryStatus {
        store_ok: false,
        writes_today: 7,
        budget_left: Some(21),
        last_write: Some(1_795_327_207),
        next_slot: Some(1_795_330_800),
        last_error: Some("the API answered 403 Forbidden".into()),
        ..Default::default()
    };
    view.leader.summary = status.clone();
    metrics.observe_view(&view);
    check(&metrics, "meshnode_store_ok 0");
    check(&metrics, "meshnode_summary_writes_today 7");
    check(&metrics, "meshnode_summary_budget_left 21");
    check(&metrics, "meshnode_summary_last_write_timestamp_seconds 1795327207");
    check(&metrics, "meshnode_summary_next_slot_timestamp_seconds 1795330800");
    check(&metrics, r#"meshnode_summary_last_error{error="the API answered 403 Forbidden"} 1"#);

    view.leader.summary = crate::view::SummaryStatus { last_error: None, budget_left: None, ..status };
    metrics.observe_view(&view);
    check(&metrics, "meshnode_summary_budget_left -1");
    assert!(!metrics.encode().unwrap().contains("403"));
}
