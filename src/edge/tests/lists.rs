//! Which nodes are known, read from what may be damaged, and in which order they are tried.

use std::sync::Arc;

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::edge::nodes::{Adoption, Book, Diallers, Node, Roster};
use crate::edge::summary::{NodeUrl, Summary};
use crate::time::{Duration, Instant};

fn read(value: &Value) -> Option<Summary> {
    Summary::read(value.to_string().as_bytes(), "it")
}

/// A summary whose entries are these hosts; those that end with `?` are unseen.
fn summary(cluster_id: &str, term: u64, hosts: &[&str]) -> Summary {
    let entry = |host: &&str| {
        let name = host.trim_end_matches('?');
        json!({"url": format!("http://{name}"), "unseen_since": host.ends_with('?').then_some("2026-11-22T06:00:00Z")})
    };
    let nodes: Vec<Value> = hosts.iter().map(entry).collect();
    read(&json!({"cluster": "it", "cluster_id": cluster_id, "term": term, "nodes": nodes})).unwrap()
}

fn book(seeds: &[&str]) -> Book {
    let seeds = seeds.iter().map(|seed| NodeUrl::parse(seed).unwrap()).collect();
    Book::new(seeds, Diallers::new().unwrap(), Clock::start())
}

/// All nodes in an order in which they would be tried.
fn order(roster: &Roster, now: Instant, seed: u64) -> Vec<Arc<Node>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut tried = Vec::new();
    while let Some(node) = roster.pick(&tried, || now, &mut rng) {
        tried.push(node);
    }
    tried
}

fn names(nodes: &[Arc<Node>]) -> Vec<&str> {
    nodes.iter().map(|node| node.url.authority.as_str()).collect()
}

#[test]
fn a_damaged_summary_costs_only_what_is_damaged() {
    let good = json!({"url": "https://n1.example.com/base/", "later": {"field": [1]}});
    let odd = [
        json!("text"),
        json!({"id": "no url"}),
        json!({"url": 5}),
        json!({"url": "ftp://n2.example.com"}),
        json!({"url": "https://user@n2.example.com"}),
        json!({"url": format!("https://n2.example.com/{}", "x".repeat(120))}),
    ];
    let nodes: Vec<&Value> = odd.iter().chain([&good]).collect();
    let strange = json!({"v": 99, "nodes": nodes, "term": null, "seq": "new", "services": [1]});
    let summary = read(&strange).unwrap();
    assert_eq!((summary.term, summary.cluster_id.as_str(), summary.services.len()), (0, "", 0));
    let [listed] = summary.nodes.as_slice() else { panic!("{:?}", summary.nodes) };
    assert_eq!((listed.url.authority.as_str(), listed.url.base.as_str()), ("n1.example.com", "/base"));
    assert!(!listed.unseen);
}

#[test]
fn what_is_no_summary_of_the_cluster_counts_as_none() {
    let node = json!([{"url": "http://n1"}]);
    for none in [
        json!({"cluster": "it"}),
        json!({"cluster": "it", "nodes": "all"}),
        json!({"cluster": "other", "nodes": node}),
        json!({"cluster": 1, "nodes": node}),
        json!([]),
    ] {
        assert_eq!(read(&none), None, "{none}");
    }
    for garbage in [&b"\x00garbage {"[..], b"", b"{\"nodes\":[", &[0xff; 64]] {
        assert_eq!(Summary::read(garbage, "it"), None);
    }
    assert!(read(&json!({"nodes": node})).is_some(), "no name is no other name");
}

#[test]
fn services_are_told_in_order() {
    let value = json!({"nodes": [{"url": "http://n1"}], "services": {"rag": {}, "notes": 5}});
    assert_eq!(read(&value).unwrap().services, ["notes", "rag"]);
}

#[test]
fn live_nodes_come_first_then_unseen_ones_then_the_stored_and_seeds_and_the_penalised_last() {
    let mut book = book(&["http://seed", "http://live1"]);
    book.stored(summary("a", 1, &["stored", "live2", "gone?"]));
    assert_eq!(book.heard(summary("a", 1, &["live1", "live2", "live3", "doubtful?"])), Adoption::Adopted);
    let roster = book.roster();
    for seed in 0..20 {
        let order = order(&roster, Instant::ORIGIN, seed);
        let names = names(&order);
        let sorted = |range: std::ops::Range<usize>| {
            let mut part = names[range].to_vec();
            part.sort_unstable();
            part
        };
        assert_eq!(sorted(0..3), ["live1", "live2", "live3"]);
        assert_eq!((names[3], sorted(4..6), names[6]), ("doubtful", vec!["seed", "stored"], "gone"));
        assert_eq!(names.len(), 7);
    }

    let now = Instant::ORIGIN + Duration::from_secs(100);
    let first = order(&roster, now, 1)[0].clone();
    first.failed(now);
    assert_eq!(names(&order(&roster, now, 2)).last(), Some(&first.url.authority.as_str()));
    let later = now + Duration::from_secs(10);
    let is_early =
        |now| names(&order(&roster, now, 2)).iter().position(|name| *name == first.url.authority) < Some(3);
    assert!(!is_early(later.before(Duration::from_millis(1))) && is_early(later));
    first.failed(later);
    first.answered();
    assert!(is_early(later), "an answer ends a penalty");
}

#[test]
fn the_first_choice_is_random() {
    let mut book = book(&[]);
    book.stored(summary("a", 1, &["n1", "n2", "n3", "n4"]));
    let roster = book.roster();
    let mut counts = std::collections::BTreeMap::new();
    for seed in 0..400 {
        *counts.entry(names(&order(&roster, Instant::ORIGIN, seed))[0].to_owned()).or_insert(0) += 1;
    }
    assert!(counts.len() == 4 && counts.values().all(|count| (60..140).contains(count)), "{counts:?}");
}

#[test]
fn a_live_answer_is_taken_over_only_of_the_same_history_and_no_lower_term() {
    let mut book = book(&["http://seed"]);
    assert_eq!(book.heard(summary("b", 7, &["n1"])), Adoption::Adopted, "any, when none is known");
    assert_eq!(book.heard(summary("b", 6, &["n2"])), Adoption::Kept);
    book.stored(summary("a", 9, &["n3"]));
    assert_eq!(book.heard(summary("b", 8, &["n2"])), Adoption::Foreign);
    assert_eq!(
        book.heard(summary("a", 3, &["n4"])),
        Adoption::Adopted,
        "terms of another history do not count"
    );
    assert_eq!(book.heard(summary("a", 2, &["n5"])), Adoption::Kept);
    assert_eq!(names(&order(&book.roster(), Instant::ORIGIN, 0))[0], "n4");
}

#[test]
fn any_live_answer_is_taken_over_when_the_store_tells_of_no_history() {
    let mut book = book(&[]);
    book.stored(summary("", 3, &["a"]));
    assert_eq!(book.heard(summary("5be1", 3, &["b"])), Adoption::Adopted);
}

#[test]
fn nodes_that_list_nobody_are_good_enough_as_seeds() {
    let mut book = book(&["http://seed"]);
    assert_eq!(book.heard(summary("a", 5, &[])), Adoption::Adopted);
    let roster = book.roster();
    assert_eq!((roster.is_live, names(&order(&roster, Instant::ORIGIN, 0))), (true, vec!["seed"]));
    book.heard(summary("a", 5, &["n1"]));
    assert_eq!(book.heard(summary("a", 6, &[])), Adoption::Kept);
}

#[test]
fn a_node_keeps_its_connections_and_its_penalty_whatever_list_names_it() {
    let mut book = book(&[]);
    book.stored(summary("a", 1, &["n1"]));
    let before = order(&book.roster(), Instant::ORIGIN, 0)[0].clone();
    book.heard(summary("a", 1, &["n1", "n2"]));
    let roster = book.roster();
    assert!(order(&roster, Instant::ORIGIN, 0).iter().any(|node| Arc::ptr_eq(node, &before)));
}
