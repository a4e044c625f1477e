//! What the value says, and that it never says too much.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::super::draft;
use super::*;
use crate::id::ServiceName;

/// The value that this mesh has after its first write.
fn stored(census: Census) -> Value {
    Bench::leading(config(), census).writes.remove(0).1
}

fn updated(value: &Value, census: &Census, now: u64) -> Value {
    let mut value = value.clone();
    draft::update(&mut value, census, now);
    value
}

fn listed(value: &Value) -> Vec<(NodeId, bool)> {
    value.nodes.iter().map(|node| (node.id, node.unseen_since.is_none())).collect()
}

#[test]
fn the_value_is_byte_for_byte_the_documented_json() {
    let mut mesh = census(3);
    mesh.members[2].zone = "us".into();
    let mut bench =
        Bench::leading(PolicyConfig { cluster_id: 0x5be1_c09a_77d0_e213, ..config() }, mesh.clone());
    bench.run_to(6 * HOUR);
    mesh.members[1].status = Status::Dead;
    bench.run_to(6 * HOUR + 10);
    bench.set_census(mesh);
    let golden = include_str!("../../../tests/golden/summary.json");
    assert_eq!(json(&bench.writes.last().unwrap().1), golden.trim_end());
    assert_eq!(json(&Value::parse(golden.as_bytes()).unwrap()), golden.trim_end());
}

#[test]
fn entries_that_the_writer_does_not_see_are_kept_for_a_day() {
    let value = stored(census(3));
    // Another part of the mesh: this writer has heard of node 1's death, and never of node 2.
    let mut other = census(2);
    other.members[1].status = Status::Dead;
    let first = updated(&value, &other, MIDNIGHT + 100);
    assert_eq!(listed(&first), [(node(0), true), (node(1), false), (node(2), false)]);
    let later = updated(&first, &other, MIDNIGHT + 100 + 24 * HOUR - 1);
    assert_eq!(later.nodes[1].unseen_since, Some(UnixTime(MIDNIGHT + 100)));
    let gone = updated(&later, &other, MIDNIGHT + 100 + 24 * HOUR);
    assert_eq!(listed(&gone), [(node(0), true)]);
    let back = updated(&later, &census(3), MIDNIGHT + 200);
    assert_eq!(listed(&back), [(node(0), true), (node(1), true), (node(2), true)]);
}

#[test]
fn entries_that_left_go_at_once_unless_they_came_back_since() {
    let value = stored(census(3));
    let mut mesh = census(3);
    mesh.members[1].status = Status::Left;
    assert_eq!(listed(&updated(&value, &mesh, MIDNIGHT)), [(node(0), true), (node(2), true)]);
    let mut value = value;
    value.nodes[1].epoch += 1;
    assert_eq!(
        listed(&updated(&value, &mesh, MIDNIGHT)),
        [(node(0), true), (node(2), true), (node(1), false)]
    );
}

#[test]
fn who_says_goodbye_after_it_was_held_dead_is_taken_off_the_list() {
    let mut mesh = census(3);
    let mut bench = Bench::leading(config(), mesh.clone());
    for (at, status) in [(10, Status::Dead), (20, Status::Left)] {
        mesh.members[1].status = status;
        bench.run_to(at);
        bench.set_census(mesh.clone());
    }
    assert_eq!(bench.write_times(), [0, 10, 20]);
    assert_eq!(listed(&bench.writes[1].1), [(node(0), true), (node(2), true), (node(1), false)]);
    assert_eq!(listed(&bench.writes[2].1), [(node(0), true), (node(2), true)]);
}

#[test]
fn the_higher_version_of_an_entry_wins() {
    let mut value = stored(census(2));
    value.nodes[0].version = 9;
    value.nodes[0].url = "https://newer.example.com".into();
    value.nodes[1].epoch -= 1;
    value.nodes[1].url = "https://older.example.com".into();
    let merged = updated(&value, &census(2), MIDNIGHT);
    assert_eq!(merged.nodes[0].url, "https://newer.example.com");
    assert_eq!(merged.nodes[1].url, "https://n1.example.com");
}

#[test]
fn entries_are_those_with_a_url_spread_over_the_zones_the_longest_running_first() {
    let mut mesh = census(6);
    mesh.members[0].url.clear();
    mesh.members[3].zone = "us".into();
    mesh.members[5].zone = "us".into();
    mesh.members[4].status = Status::Dead;
    let order: Vec<_> = mesh.entries().iter().map(|member| member.id).collect();
    assert_eq!(order, [1, 3, 2, 5].map(node));
    for member in &mut mesh.members {
        member.url.clear();
    }
    assert_eq!(mesh.entries().len(), 5, "without any URL all are shown");
}

#[test]
fn counters_merge_across_histories_and_the_stored_history_is_kept() {
    let mut other = stored(census(1));
    other.cluster_id = ClusterId(0xabc);
    other.term = 40;
    other.seq = 90;
    let writer = "00000000000000aa".to_owned();
    other.writes = BTreeMap::from([
        ("2026-11-22".to_owned(), BTreeMap::from([(writer.clone(), 5), ("not hex".to_owned(), 9)])),
        ("2026-11-21".to_owned(), BTreeMap::from([(writer.clone(), 3)])),
        ("2026-11-20".to_owned(), BTreeMap::from([(writer.clone(), 2)])),
        ("tomorrow".to_owned(), BTreeMap::from([(writer, 1)])),
    ]);
    let mut bench = Bench::new(config());
    bench.value = Some(other.to_json());
    bench.policy.handle_census(census(2), bench.now);
    bench.policy.handle_lead(7, bench.now);
    bench.drain();
    let written = &bench.writes[0].1;
    assert_eq!((written.term, written.seq, written.cluster_id), (40, 91, ClusterId(0xabc)));
    let own = node(0).hash().to_string();
    let expected = format!(
        r#"{{"2026-11-21":{{"00000000000000aa":3}},"2026-11-22":{{"00000000000000aa":5,"{own}":1}}}}"#
    );
    assert_eq!(serde_json::to_string(&written.writes).unwrap(), expected);
    assert_eq!(bench.policy.status(bench.now).writes_today, 6);
}

/// A mesh of `members` in three zones with `services` services whose names and URLs have these lengths.
fn large(members: u16, services: usize, name: usize, url: usize) -> Census {
    let mut mesh = census(members);
    for (i, member) in mesh.members.iter_mut().enumerate() {
        member.zone = ["eu", "us", "ap"][i % 3].into();
        member.url = format!("{}{}", member.url, "x".repeat(url.saturating_sub(member.url.len())));
    }
    mesh.services = (0..services)
        .map(|i| {
            (format!("{i:03}{}", "s".repeat(name - 3)).parse::<ServiceName>().unwrap(), (i as u32, 9_999))
        })
        .collect();
    mesh
}

#[test]
fn a_thousand_members_with_300_services_fit() {
    let value = stored(large(1_000, 300, 63, 128));
    let length = value.to_json().len();
    assert!(length <= MAX_VALUE_LEN && length > MAX_VALUE_LEN - 120, "{length} bytes");
    assert_eq!((value.nodes.len(), value.workers, value.services_truncated), (16, 1_000, true));
    let small = stored(large(1_000, 20, 8, 30));
    assert_eq!((small.nodes.len(), small.services.len(), small.services_truncated), (24, 20, false));
}

#[test]
fn a_value_that_is_too_long_gives_up_what_edges_miss_least() {
    let mut mesh = large(20, 100, 20, 40);
    let mut value = stored(mesh.clone());
    for extra in 20..24 {
        let gone = Node { id: node(extra), unseen_since: Some(UnixTime(MIDNIGHT)), ..value.nodes[0].clone() };
        value.nodes.push(gone);
    }
    mesh.workers = 20;
    draft::update(&mut value, &mesh, MIDNIGHT + 9);
    let mut shape = Vec::new();
    for limit in (500..9_000).rev() {
        value.fit(limit);
        let unseen = value.nodes.iter().filter(|node| node.unseen_since.is_some()).count();
        shape.push((unseen, value.nodes.len() - unseen, value.services.len(), value.services_truncated));
    }
    shape.dedup();
    let expected_order = |a: &(usize, usize, usize, bool), b: &(usize, usize, usize, bool)| {
        let fewer = [a.0 > b.0, a.1 > b.1, a.2 > b.2];
        fewer.iter().filter(|fewer| **fewer).count() <= 1
    };
    assert!(shape.windows(2).all(|pair| expected_order(&pair[0], &pair[1])), "{shape:?}");
    let services_at = |n: usize| shape.iter().find(|s| s.2 <= n).unwrap();
    assert_eq!((services_at(64).0, services_at(64).1, services_at(64).3), (0, 16, true));
    assert_eq!((services_at(0).0, services_at(0).1), (0, 16), "services go before the last entries");
    assert_eq!(shape.last().unwrap().1, 4, "four entries stay");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn no_mesh_makes_the_value_too_long_or_restless(
        members in 1_u16..120, services in 0_usize..300, name in 3_usize..63, url in 0_usize..140,
        gone in 0_usize..60,
    ) {
        let before = large(members, services, name, url);
        let mut value = stored(before.clone());
        let mut mesh = before;
        for member in mesh.members.iter_mut().take(gone) {
            member.status = Status::Dead;
        }
        draft::update(&mut value, &mesh, MIDNIGHT);
        prop_assert!(value.to_json().len() <= MAX_VALUE_LEN);
        prop_assert!(value.nodes.len() <= MAX_NODES);
        let ids: BTreeSet<_> = value.nodes.iter().map(|node| node.id).collect();
        prop_assert_eq!(ids.len(), value.nodes.len());
        prop_assert!(updated(&value, &mesh, MIDNIGHT + 9).says_the_same(&value));
    }
}

#[test]
fn a_live_summary_names_the_value_last_stored_and_when_it_was_seen() {
    let mut bench = Bench::leading(config(), census(2));
    bench.run_to(10);
    let live: serde_json::Value = serde_json::from_str(&bench.policy.live_summary(MIDNIGHT + 77)).unwrap();
    assert_eq!(live["observed_at"], "2026-11-22T00:01:17Z");
    assert_eq!(
        (&live["term"], &live["seq"], &live["at"]),
        (&3.into(), &1.into(), &"2026-11-22T00:00:00Z".into())
    );
    assert_eq!(live["nodes"].as_array().unwrap().len(), 2);

    // A follower knows it from the write record.
    let mut follower = Bench::new(PolicyConfig { id: node(1), ..config() });
    follower.policy.handle_record(&bench.policy.record(), true, follower.now);
    follower.set_census(census(2));
    let live: serde_json::Value = serde_json::from_str(&follower.policy.live_summary(MIDNIGHT)).unwrap();
    assert_eq!((&live["term"], &live["seq"]), (&3.into(), &1.into()));
    assert_eq!(live["cluster_id"], "0000000000005be1");
}

#[test]
fn a_live_summary_leaves_out_who_is_about_to_leave_and_the_stored_value_does_not() {
    let mut bench = Bench::leading(config(), census(3));
    bench.run_to(10);
    let written = bench.writes.len();
    let live = |bench: &Bench| {
        let live: serde_json::Value =
            serde_json::from_str(&bench.policy.live_summary(MIDNIGHT + 77)).unwrap();
        live["nodes"].as_array().unwrap().len()
    };
    let mut mesh = census(3);
    mesh.members[2].draining = true;
    bench.set_census(mesh.clone());
    bench.run_to(20);
    assert_eq!((live(&bench), bench.writes.len()), (2, written));
    for member in &mut mesh.members {
        member.draining = true;
    }
    bench.set_census(mesh);
    assert_eq!(live(&bench), 3, "a mesh in which all drain has no better node to offer");
}
