//! Digest, store, load and sync by themselves; stories of whole meshes are in `mesh`.

use std::net::SocketAddr;

use super::{Gossip, Leaf, Loads, Offer, Output, Peer, QuantisedLoad, Since, Store};
use crate::id::{Identity, ManifestVersion, NodeId, Version};
use crate::manifest::{Capabilities, Manifest, Standing};
use crate::time::{Duration, Instant};
use crate::view::Load;
use crate::wire::link::{Ask, EntryState, Reply};
use crate::wire::manifest::SignedManifest;

fn identity(n: u8) -> Identity {
    Identity::from_secret(&[n; 32])
}

fn id(n: u8) -> NodeId {
    identity(n).id()
}

fn at(seconds: u64) -> Instant {
    Instant::ORIGIN + Duration::from_secs(seconds)
}

fn signed(n: u8, epoch: u64, seq: u64) -> SignedManifest {
    let manifest = Manifest {
        cluster: "test".into(),
        id: id(n),
        version: ManifestVersion { epoch, seq },
        ttl: Duration::from_secs(7200),
        addr: Some(SocketAddr::from(([127, 0, 0, 1], 1))),
        name: format!("n{n}"),
        zone: String::new(),
        tier: 3,
        capabilities: Capabilities::default(),
        services: Vec::new(),
        routes: Vec::new(),
        draining: false,
        public_url: String::new(),
        max_writes_per_day: None,
        standing: Standing::default(),
        meshnode_version: "test".into(),
    };
    SignedManifest::sign(manifest, &identity(n)).unwrap()
}

fn leaf(n: u8, epoch: u64, state: EntryState, seq: u64) -> Leaf {
    let since = Since { noted: at(0), age: Duration::ZERO };
    Leaf { id: id(n), version: Version { epoch, incarnation: 0 }, state, seq, since }
}

/// A machine of node `own` that holds these members alive, with their manifests.
fn holding(own: u8, members: &[(u8, u64)]) -> Gossip {
    let mut gossip = Gossip::new(id(own).hash(), "test", at(0));
    for (member, seq) in members {
        gossip.store.offer(id(*member).hash(), signed(*member, 1, *seq), Duration::ZERO, at(0));
        gossip.digest.set(id(*member).hash(), Some(&leaf(*member, 1, EntryState::Alive, *seq)));
    }
    gossip
}

/// Lets `a` ask `b` until it is silent, and mirrors what both learn into their digests as the mesh does.
fn sync(a: &mut Gossip, b: &mut Gossip, b_id: u8) -> usize {
    a.start_sync(Peer::Contact { id: id(b_id), addr: SocketAddr::from(([127, 0, 0, 1], 2)) }, at(1));
    let mut questions = 0;
    while let Some(output) = a.poll_output() {
        if let Output::Ask { token, ask, .. } = output {
            questions += 1;
            let reply = b.handle_ask(id(1), &ask, at(1));
            absorb(b);
            a.handle_reply(token, reply, at(1));
        } else {
            apply(a, &output);
        }
    }
    questions
}

fn absorb(gossip: &mut Gossip) {
    let outputs: Vec<Output> = std::iter::from_fn(|| gossip.poll_output()).collect();
    for output in &outputs {
        apply(gossip, output);
    }
}

fn apply(gossip: &mut Gossip, output: &Output) {
    match output {
        Output::Manifest { manifest, .. } => {
            let leaf = Leaf {
                id: manifest.id,
                version: Version { epoch: manifest.version.epoch, incarnation: 0 },
                state: EntryState::Alive,
                seq: manifest.version.seq,
                since: Since { noted: at(1), age: Duration::ZERO },
            };
            let held = gossip.digest.leaf(manifest.id.hash()).copied();
            if held.is_none_or(|held| (held.version, held.state) <= (leaf.version, leaf.state)) {
                gossip.digest.set(manifest.id.hash(), Some(&leaf));
            }
        }
        Output::Claim { id, version, state, age, .. } => {
            let held = gossip.digest.leaf(id.hash()).copied();
            if held.is_none_or(|held| (*version, *state) > (held.version, held.state)) {
                let seq = gossip.store.version(id.hash()).map_or(0, |version| version.seq);
                let since = Since { noted: at(1), age: *age };
                gossip
                    .digest
                    .set(id.hash(), Some(&Leaf { id: *id, version: *version, state: *state, seq, since }));
            }
        }
        Output::Ask { .. } | Output::Matched(_) | Output::Compared(_) | Output::Refused(_) => {}
    }
}

#[test]
fn the_root_tells_what_is_held_and_not_in_which_order_it_came() {
    let (mut a, mut b) = (holding(1, &[(1, 1), (2, 5), (3, 1)]), holding(9, &[(3, 1), (2, 4), (1, 1)]));
    assert_ne!(a.digest.root(), b.digest.root());
    b.digest.set(id(2).hash(), Some(&leaf(2, 1, EntryState::Alive, 5)));
    assert_eq!(a.digest.root(), b.digest.root());
    a.digest.set(id(3).hash(), None);
    b.digest.set(id(3).hash(), None);
    assert_eq!(a.digest.root(), b.digest.root());
    let other = Gossip::new(id(1).hash(), "other", at(0));
    assert_ne!(other.digest.bucket(&id(2)), a.digest.bucket(&id(2)), "the cluster's name keys the digest");
}

#[test]
fn of_the_dead_only_the_tombstone_counts() {
    let (mut a, mut b) = (holding(1, &[]), holding(9, &[]));
    a.digest.set(id(2).hash(), Some(&leaf(2, 1, EntryState::Dead, 7)));
    b.digest.set(id(2).hash(), Some(&leaf(2, 1, EntryState::Dead, 0)));
    assert_eq!(a.digest.root(), b.digest.root());
}

#[test]
fn a_merge_is_idempotent_and_commutative_and_the_same_version_never_gets_younger() {
    let owner = id(2).hash();
    let offers = [(1, 3), (1, 5), (2, 1), (1, 9)];
    for start in 0..offers.len() {
        let mut store = Store::default();
        for turn in 0..offers.len() * 2 {
            let (epoch, seq) = offers[(start + turn) % offers.len()];
            store.offer(owner, signed(2, epoch, seq), Duration::from_secs(60), at(10));
        }
        assert_eq!(store.version(owner), Some(ManifestVersion { epoch: 2, seq: 1 }));
        let again = store.offer(owner, signed(2, 2, 1), Duration::ZERO, at(20));
        assert_eq!(again, Offer::Known);
        assert_eq!(store.held(owner).unwrap().age(at(20)), Duration::from_secs(70));
    }
}

#[test]
fn a_manifest_ages_on_its_way_and_does_not_route_when_its_time_is_over() {
    let mut store = Store::default();
    let owner = id(2).hash();
    assert_eq!(store.offer(owner, signed(2, 1, 1), Duration::from_secs(7200), at(0)), Offer::Expired);
    assert_eq!(store.offer(owner, signed(2, 1, 1), Duration::from_secs(7000), at(0)), Offer::Accepted);
    assert!(store.fresh(owner, at(199)).is_some());
    assert!(store.fresh(owner, at(200)).is_none());
}

#[test]
fn two_nodes_sync_both_ways_and_then_agree() {
    let mut a = holding(1, &[(1, 1), (2, 5), (3, 1)]);
    let mut b = holding(9, &[(9, 1), (2, 4), (4, 2)]);
    sync(&mut a, &mut b, 9);
    assert_eq!(a.digest.root(), b.digest.root());
    for gossip in [&a, &b] {
        assert_eq!(gossip.store.version(id(2).hash()).unwrap().seq, 5);
        assert!(gossip.store.version(id(4).hash()).is_some() && gossip.store.version(id(3).hash()).is_some());
    }
    assert_eq!(sync(&mut a, &mut b, 9), 1, "once they agree, one question shows it");
}

#[test]
fn anti_entropy_cannot_resurrect_the_dead() {
    let mut a = holding(1, &[(1, 1), (2, 5)]);
    let mut b = holding(9, &[(9, 1), (2, 5)]);
    a.digest.set(id(2).hash(), Some(&leaf(2, 1, EntryState::Dead, 0)));
    sync(&mut b, &mut a, 1);
    assert_eq!(b.digest.leaf(id(2).hash()).unwrap().state, EntryState::Dead);
    assert_eq!(a.digest.leaf(id(2).hash()).unwrap().state, EntryState::Dead);
}

#[test]
fn a_tombstone_travels_with_its_age() {
    let mut a = holding(1, &[(1, 1)]);
    let since = Since { noted: at(0), age: Duration::from_secs(3600) };
    a.digest.set(id(2).hash(), Some(&Leaf { since, ..leaf(2, 1, EntryState::Dead, 0) }));
    let mut b = holding(9, &[(9, 1)]);
    sync(&mut b, &mut a, 1);
    assert!(b.digest.leaf(id(2).hash()).unwrap().since.elapsed(at(1)) >= Duration::from_secs(3601));
}

#[test]
fn a_manifest_of_another_cluster_or_with_a_broken_signature_is_refused() {
    let mut gossip = Gossip::new(id(1).hash(), "other", at(0));
    gossip.handle_manifest(signed(2, 1, 1).bytes(), Duration::ZERO, at(0));
    let mut gossip_too = holding(1, &[]);
    let mut bytes = signed(2, 1, 1).bytes().to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    gossip_too.handle_manifest(&bytes, Duration::ZERO, at(0));
    for gossip in [&mut gossip, &mut gossip_too] {
        assert!(matches!(gossip.poll_output(), Some(Output::Refused(_))));
        assert!(gossip.store.held(id(2).hash()).is_none());
    }
}

#[test]
fn differing_roots_are_left_alone_while_there_is_news() {
    let mut gossip = holding(1, &[(1, 1)]);
    gossip.note_news(at(10));
    gossip.handle_root(id(2).hash(), 99, at(11));
    assert!(gossip.poll_output().is_none());
    gossip.handle_root(id(2).hash(), 99, at(12));
    assert!(matches!(gossip.poll_output(), Some(Output::Ask { ask: Ask::Digest(_), .. })));
}

#[test]
fn a_wanted_manifest_is_fetched_from_another_teller_when_the_first_fails_and_given_up_in_the_end() {
    let mut gossip = holding(1, &[(1, 1)]);
    let wanted = ManifestVersion { epoch: 1, seq: 1 };
    gossip.want(id(5).hash(), wanted, id(2).hash(), at(0));
    gossip.want(id(5).hash(), wanted, id(3).hash(), at(0));
    let mut asked = Vec::new();
    for second in 1..60 {
        gossip.handle_timeout(at(second));
        while let Some(Output::Ask { to, token, .. }) = gossip.poll_output() {
            asked.push(to.hash());
            gossip.handle_reply(token, None, at(second));
        }
    }
    assert_eq!(asked.len(), 5);
    assert!(asked.contains(&id(2).hash()) && asked.contains(&id(3).hash()));
    assert_eq!(gossip.poll_timeout(), None, "nothing is left to do");
}

#[test]
fn an_answer_never_exceeds_the_bound_on_a_message() {
    let mut gossip = Gossip::new(id(1).hash(), "test", at(0));
    for n in 0..5_000_u64 {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&n.to_be_bytes());
        let id = NodeId::from_public_key(key);
        gossip.digest.set(id.hash(), Some(&Leaf { id, ..leaf(2, 1_800_000_000, EntryState::Dead, 0) }));
    }
    let buckets = vec![0; 256];
    let ask = Ask::Digest(crate::wire::link::DigestRequest { buckets, ..Default::default() });
    let Some(Reply::Digest(answer)) = gossip.handle_ask(id(2), &ask, at(0)) else { panic!("no answer") };
    assert!(answer.next_bucket < 256 && answer.entries.len() <= 4_096);
    let bytes = prost::Message::encoded_len(&answer);
    assert!(bytes < crate::wire::MAX_LINK_BODY_LEN, "{bytes}");
}

#[test]
fn load_is_told_only_when_it_moved_a_full_bucket_and_at_most_every_five_seconds() {
    let busy = |busy| Load { busy, available_memory: 1 << 30, in_flight: 3 };
    let mut loads = Loads::default();
    assert!(loads.measure(busy(0.5), at(0)).is_some());
    assert!(loads.measure(busy(0.55), at(10)).is_none(), "within its bucket");
    assert!(loads.measure(busy(0.7), at(11)).is_some());
    assert!(loads.measure(busy(0.2), at(12)).is_none(), "too soon");
    assert!(loads.measure(busy(0.2), at(16)).is_some());
}

#[test]
fn a_quantised_load_keeps_its_magnitudes() {
    for (busy, memory, in_flight) in [(0.0, 0, 0), (1.0, 1 << 40, 100), (0.4, 3 << 30, 1)] {
        let mut loads = Loads::default();
        let (told, _) = loads.measure(Load { busy, available_memory: memory, in_flight }, at(0)).unwrap();
        let read = QuantisedLoad::from_wire(told.to_wire()).load();
        assert!((read.busy - busy).abs() <= 0.034, "{read:?}");
        assert!(read.available_memory <= memory && read.available_memory >= memory / 2, "{read:?}");
        assert!(read.in_flight <= in_flight && read.in_flight >= in_flight / 2, "{read:?}");
    }
}

#[test]
fn a_load_is_forgotten_when_it_is_no_longer_fresh() {
    let mut loads = Loads::default();
    loads.observe(id(2).hash(), QuantisedLoad::from_wire(15), at(0));
    assert!(loads.of(id(2).hash(), at(29)).is_some());
    assert!(loads.of(id(2).hash(), at(30)).is_none());
}

#[test]
fn differing_roots_are_compared_although_there_is_always_news() {
    let mut gossip = holding(1, &[(2, 1)]);
    let asks = |gossip: &mut Gossip| {
        std::iter::from_fn(|| gossip.poll_output()).filter(|o| matches!(o, Output::Ask { .. })).count()
    };
    let mut asked = 0;
    for second in 10..110 {
        gossip.note_news(at(second));
        gossip.handle_root(id(2).hash(), 99, at(second));
        asked += asks(&mut gossip);
    }
    assert!((2..=10).contains(&asked), "{asked} comparisons in 100 s");
}

#[test]
fn two_values_of_one_load_do_not_chase_each_other() {
    let (old, new) = (QuantisedLoad::from_wire(3), QuantisedLoad::from_wire(9));
    let mut loads = Loads::default();
    let of = id(2).hash();
    assert!(loads.learn(of, old, 101, at(0)));
    assert!(loads.learn(of, new, 102, at(5)));
    for seconds in 6..100 {
        assert!(!loads.learn(of, old, 101, at(seconds)), "the old telling again, after {seconds} s");
        assert!(!loads.learn(of, new, 102, at(seconds)), "the same telling again");
        loads.observe(of, old, at(seconds));
    }
}

#[test]
fn the_tellings_of_a_boot_are_higher_than_those_of_the_boot_before() {
    let idle = Load::default();
    let (mut before, mut after) = (Loads::default(), Loads::default());
    before.count_from(1_000);
    after.count_from(1_010);
    let (_, first) = before.measure(idle, at(0)).unwrap();
    let (_, second) = before.measure(Load { busy: 1.0, ..idle }, at(5)).unwrap();
    let (_, third) = after.measure(idle, at(0)).unwrap();
    assert!(first < second && second < third, "{first} {second} {third}");
}
