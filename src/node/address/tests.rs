//! What links teach about the own address.

use super::*;

fn guess(ip: &str) -> Address {
    Address { current: SocketAddr::new(ip.parse().expect("an address"), 7946), is_settled: false }
}

fn check(mut address: Address, reached_at: &str, expected: Option<&str>) {
    let found = address.reached_at(reached_at.parse().expect("an address"));
    assert_eq!(found, expected.map(|addr| addr.parse().expect("an address")), "{address:?} at {reached_at}");
}

#[test]
fn where_a_peer_reached_this_node_is_better_than_a_guess() {
    check(guess("192.0.2.7"), "10.0.0.7", Some("10.0.0.7:7946"));
    check(guess("127.0.0.1"), "10.0.0.7", Some("10.0.0.7:7946"));
    check(guess("10.0.0.7"), "10.0.0.7", None);
}

#[test]
fn a_peer_of_the_same_machine_does_not_hide_this_node_from_the_others() {
    check(guess("10.0.0.7"), "127.0.0.1", None);
    check(guess("10.0.0.7"), "::1", None);
    check(guess("127.0.0.1"), "127.0.0.2", Some("127.0.0.2:7946"));
}

#[test]
fn what_was_configured_stays() {
    check(Address { is_settled: true, ..guess("10.0.0.7") }, "10.0.0.8", None);
}

#[test]
fn of_several_addresses_that_reach_this_node_the_first_stays() {
    let mut address = guess("192.0.2.7");
    assert!(address.reached_at("10.0.0.7".parse().expect("an address")).is_some());
    check(address, "172.17.0.1", None);
}

#[test]
fn what_a_peer_dialled_back_stays() {
    let mut address = guess("192.0.2.7");
    address.confirm("203.0.113.5:7946".parse().expect("an address"));
    assert_eq!(address.current(), "203.0.113.5:7946".parse().expect("an address"));
    check(address, "10.0.0.8", None);
}
