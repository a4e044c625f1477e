//! What the API shows of a view.

use serde_json::json;

use super::super::fixture::{UNIX, at, edit, edit_member, id, service};
use super::*;
use crate::manifest::{Route, Split, Standing};
use crate::membership::Claim;
use crate::mesh::{Event, Inquiry, Waiting};
use crate::time::Duration;
use crate::view::{LeaderView, Status};
use crate::wire::packet::Seen;

fn moment() -> Moment {
    Moment { now: at(100), unix: UNIX }
}

fn route(rev: u64, percent: u8) -> Route {
    let split = vec![Split { version: "^2".to_owned(), percent }];
    Route { rev, split, ..Route::default_of("rag".parse().unwrap()) }
}

#[test]
fn workers_are_shown_field_by_field() {
    let golden: Value = serde_json::from_str(include_str!("../../../tests/golden/workers.json")).unwrap();
    let workers = report::workers(&view(), moment());
    // By way of text: a number must look the same on the wire, not only be equal.
    let shown = serde_json::to_string_pretty(&workers).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), golden, "{shown}");
    assert_eq!(serde_json::from_str::<Vec<model::Worker>>(&shown).unwrap(), workers);
}

#[test]
fn services_list_only_instances_on_live_workers() {
    let rag = &report::services(&view(), &[])[&"rag".parse::<ServiceName>().unwrap()];
    let mut workers: Vec<_> = rag.workers.iter().map(|instance| instance.name.as_str()).collect();
    workers.sort_unstable();
    assert_eq!(workers, ["one", "two"], "the dead one is gone, the draining one is not");
    assert_eq!(json!(rag.versions), json!({"1.4.2": 1, "1.5.0": 1}));
    assert!(rag.version_drift);
    assert_eq!(rag.route, None);
}

#[test]
fn a_version_that_is_not_known_yet_is_no_drift() {
    let mut view = view();
    edit_member(&mut view, 2, |two| edit(two, |manifest| manifest.services[0].version.clear()));
    let rag = &report::services(&view, &[])["rag"];
    assert_eq!(json!(rag.versions), json!({"1.4.2": 1, "": 1}));
    assert!(!rag.version_drift);
}

#[test]
fn the_highest_revision_rules_and_only_equal_ones_conflict() {
    let check = |one: Route, two: Route, expected: (u64, u8, bool)| {
        let mut view = view();
        edit_member(&mut view, 1, |member| edit(member, |manifest| manifest.routes = vec![one]));
        edit_member(&mut view, 2, |member| edit(member, |manifest| manifest.routes = vec![two]));
        edit_member(&mut view, 3, |dead| edit(dead, |manifest| manifest.routes = vec![route(9, 99)]));
        let rag = &report::services(&view, &[])["rag"];
        let route = rag.route.clone().unwrap();
        assert_eq!((route.rev, route.split[0].percent, rag.route_conflict), expected);
    };
    check(route(2, 10), route(3, 20), (3, 20, false));
    check(route(3, 10), route(3, 10), (3, 10, false));
    let winner = if id(1) > id(2) { 10 } else { 20 };
    check(route(3, 10), route(3, 20), (3, winner, true));
}

#[test]
fn a_route_is_shown_as_it_is_written_in_the_configuration() {
    let mut view = view();
    edit_member(&mut view, 1, |one| edit(one, |manifest| manifest.routes = vec![route(3, 10)]));
    let shown = serde_json::to_value(&report::services(&view, &[])["rag"].route).unwrap();
    assert_eq!(
        shown,
        json!({"worker_id": id(1), "rev": 3, "split": [{"version": "^2", "percent": 10}],
            "retry_budget": {"percent": 20, "min_per_second": 3}, "hedge_after": "0s", "affinity_header": ""})
    );
}

#[test]
fn the_leader_is_shown_field_by_field() {
    let shown = serde_json::to_value(report::leader(&view(), "file:/x", moment())).unwrap();
    assert_eq!(
        shown,
        json!({"worker_id": id(1), "name": "one", "term": 12, "since": "2026-11-23T07:59:00Z",
            "is_self": true, "warm": true, "candidates": [id(1), id(2)], "store": "file:/x",
            "store_ok": true, "writes_today": 4, "budget_left": 26, "last_write": "2026-11-23T07:59:00Z",
            "next_slot": "2026-11-23T09:00:00Z", "last_error": null})
    );
}

#[test]
fn a_node_that_never_read_the_store_tells_the_next_slot_by_its_own_clock() {
    let mut view = view();
    view.leader.summary.next_slot = None;
    let shown = |view: &View| serde_json::to_value(report::leader(view, "cloudflare:a/n", moment())).unwrap();
    assert_eq!(shown(&view)["next_slot"], "2026-11-23T09:00:00Z");
    view.leader.summary.budget_left = None;
    assert_eq!(shown(&view)["next_slot"], Value::Null, "a store without a budget has no slots");
}

#[test]
fn without_a_leader_its_fields_are_null() {
    let mut view = view();
    view.leader = LeaderView { term: 3, since: Some(at(1)), ..LeaderView::default() };
    let shown = serde_json::to_value(report::leader(&view, "file:/x", moment())).unwrap();
    assert_eq!(shown["worker_id"], Value::Null);
    assert_eq!(shown["since"], Value::Null);
    assert_eq!((&shown["term"], &shown["is_self"]), (&json!(3), &json!(false)));
}

#[tokio::test]
async fn the_paths_answer_with_what_the_view_says() {
    let served = Served::start().await;
    let workers = served.get("/api/admin/workers").await;
    assert_eq!((workers.status, workers.json().as_array().unwrap().len()), (200, 4));
    assert!(workers.head.contains("content-type: application/json"), "{workers:?}");
    assert_eq!(served.get("/api/admin/services").await.json()["rag"]["version_drift"], true);
    assert_eq!(served.get("/api/admin/leader").await.json()["store"], "file:/tmp/summary.json");
    assert_eq!(served.get("/api/admin/nothing").await.status, 404);
    assert_eq!(served.change("POST", "/api/admin/workers", "").await.status, 405);

    let mut changed = view();
    edit_member(&mut changed, 1, |one| {
        edit(one, |manifest| manifest.services.push(service("upload")));
    });
    served.views.send_replace(Arc::new(changed));
    assert!(served.get("/api/admin/services").await.json()["upload"].is_object());
}

#[tokio::test]
async fn why_finds_a_worker_by_id_prefix_or_name() {
    let mut served = Served::start().await;
    // A node that is too busy to say what it waits for tells its story all the same.
    served.commands.close();
    served.journal.record(&Event::Suspect { subject: id(2), accuser: Some(id(1)) }, UNIX);
    let full = id(2).to_string();
    for worker in [full.as_str(), &full[..20], "two"] {
        let why = served.get(&format!("/api/admin/why/{worker}")).await;
        assert_eq!(why.status, 200, "{worker}: {why:?}");
        let why = why.json();
        assert_eq!((&why["worker_id"], &why["status"]), (&json!(full), &json!("suspect")));
        assert_eq!(why["evidence"][0]["text"], format!("suspected by one ({})", id(1)));
        assert_eq!(why["observer"], json!(id(1)));
    }
}

#[test]
fn why_tells_what_is_going_on_now() {
    let mut view = view();
    edit_member(&mut view, 2, |two| {
        edit(two, |manifest| manifest.standing = Standing { penalty: 28, damped: true, ..manifest.standing });
    });
    let member = why::find(&view, "two").unwrap();
    let journal = Journal::new(watch::channel(Arc::new(view.clone())).1);
    let inquiry = Inquiry {
        claim: Claim { version: member.version, status: member.status },
        held_for: Duration::from_secs(30),
        accusers: vec![id(1)],
        watchers: vec![id(1), id(3)],
        witnesses: vec![(id(1), Some(Seen::Silent)), (id(3), None)],
        timers: vec![(Waiting::Suspicion, at(104)), (Waiting::Accusation, at(99))],
    };
    let why = json!(why::why(&view, member, Some(&inquiry), &journal, moment()));
    let worker = |n: u8, name: &str| json!({"worker_id": id(n), "name": name});
    assert_eq!(why["since"], "2026-11-23T07:59:30Z");
    assert_eq!((&why["penalty"], &why["damped"]), (&json!(2.8), &json!(true)));
    assert_eq!(why["accusers"], json!([worker(1, "one")]));
    assert_eq!(why["watchers"], json!([worker(1, "one"), worker(3, "three")]));
    assert_eq!(why["witnesses"][0]["seen"], "silent");
    assert_eq!(why["witnesses"][1]["seen"], Value::Null);
    let timers = json!([{"name": "suspicion", "in_s": 4.0}, {"name": "accusation", "in_s": 0.0}]);
    assert_eq!(why["timers"], timers);
}

#[tokio::test]
async fn an_ambiguous_worker_is_refused_with_those_it_could_be() {
    let served = Served::start().await;
    let answer = served.get("/api/admin/why/12D3KooW").await;
    assert_eq!(answer.status, 400);
    assert!(answer.error().contains("any of 4 workers"), "{answer:?}");
    assert!(answer.error().contains(&format!("{} (two)", id(2))), "{answer:?}");

    let mut twins = view();
    edit_member(&mut twins, 2, |two| edit(two, |manifest| manifest.name = "one".to_owned()));
    served.views.send_replace(Arc::new(twins));
    assert!(served.get("/api/admin/why/one").await.error().contains("any of 2 workers"));
}

#[tokio::test]
async fn an_unknown_worker_or_too_short_a_prefix_is_not_found() {
    let served = Served::start().await;
    for worker in ["nobody", "12D3Koo", "0OIl-no-base58", "%ff", "a%2Fb"] {
        let answer = served.get(&format!("/api/admin/why/{worker}")).await;
        assert!(matches!(answer.status, 400 | 404), "{worker}: {answer:?}");
    }
    let answer = served.get("/api/admin/why/12D3Koo").await;
    assert_eq!(answer.status, 404);
    assert!(answer.error().contains("8 or more characters"), "{answer:?}");
}

#[tokio::test]
async fn metrics_are_openmetrics_text_with_the_members_of_the_view() {
    let served = Served::start().await;
    let answer = served.get("/metrics").await;
    assert!(answer.head.contains("content-type: application/openmetrics-text; version=1.0.0"));
    for status in [Status::Alive, Status::Suspect, Status::Dead, Status::Left] {
        let line = format!("meshnode_members{{status=\"{}\"}} 1", status.as_str());
        assert!(answer.body.lines().any(|l| l == line), "{line} in {}", answer.body);
    }
    assert!(answer.body.ends_with("# EOF\n"));
    for line in answer.body.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert!(series.starts_with("meshnode_") && value.parse::<f64>().is_ok(), "{line}");
    }
}

#[tokio::test]
async fn ready_is_said_only_while_joined_and_not_draining() {
    let served = Served::start_with(None, metrics_router).await;
    let check = async |ready, draining, expected: u16| {
        served.views.send_replace(Arc::new(View { ready, draining, ..view() }));
        assert_eq!(served.get("/readyz").await.status, expected, "ready {ready}, draining {draining}");
        assert_eq!(served.get("/healthz").await.status, 200);
    };
    check(true, false, 200).await;
    check(false, false, 503).await;
    check(true, true, 503).await;
    assert_eq!(served.get("/metrics").await.status, 200);
    assert_eq!(served.get("/api/admin/workers").await.status, 404);
}

#[tokio::test]
async fn the_edge_s_router_only_reads_under_any_host() {
    let served = Served::start_with(None, read_only_router).await;
    let foreign = "host: n1.example.com\r\n";
    assert_eq!(served.send("GET", "/api/admin/workers", foreign, "").await.status, 200);
    assert_eq!(served.send("GET", "/api/admin/services", foreign, "").await.status, 200);
    for path in ["/api/admin/leader", "/api/admin/events", "/api/admin/leave", "/metrics"] {
        assert_eq!(served.send("GET", path, foreign, "").await.status, 404, "{path}");
    }
}

#[test]
fn an_instance_shows_what_the_router_holds_of_it() {
    let services = report::services(&view(), &fixture::standings());
    let of = |name: &str| services["rag"].workers.iter().find(|it| it.name == name).unwrap();
    let (one, two) = (of("one"), of("two"));
    assert_eq!((one.in_flight, one.latency_ms), (Some(7), Some(250.0)));
    assert_eq!((one.ejected, one.reason.as_deref()), (true, Some("ejected")));
    assert_eq!(
        (two.in_flight, two.ejected, &two.reason),
        (None, false, &None),
        "the router knows it not yet"
    );
}
