//! Digest, store, load and sync by themselves; stories of whole meshes are in `mesh`.

use std::net::SocketAddr;

use super::{Gossip, Loads, Output, Peer, QuantisedLoad};
use crate::id::{Identity, ManifestVersion, NodeId, Version};
use crate::manifest::{Capabilities, Manifest, Standing};
use crate::members::{Claim, Member, Members};
use crate::time::{Duration, Instant};
use crate::view::{Load, Status};
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

/// A machine of node `own`, and the members that it holds alive, with their manifests.
struct Node {
    own: NodeId,
    gossip: Gossip,
    members: Members,
}

fn holding(own: u8, members: &[(u8, u64)]) -> Node {
    let own = id(own);
    let mut node =
        Node { own, gossip: Gossip::new(own.hash(), "test", at(0)), members: Members::new("test") };
    members.iter().for_each(|(member, seq)| node.take(signed(*member, 1, *seq), Duration::ZERO, at(0)));
    node
}

impl Node {
    /// Holds a manifest, as the mesh would.
    fn take(&mut self, signed: SignedManifest, age: Duration, now: Instant) {
        let version = Version { epoch: signed.manifest().version.epoch, incarnation: 0 };
        let claim = Claim { version, status: Status::Alive };
        if signed.owner() == self.own.hash() {
            self.members.set_own(claim, &signed, now);
            return;
        }
        match self.members.get(&signed.owner()) {
            None => self.members.insert(Member::new(signed.manifest().id, claim, None, now), now),
            Some(held) if claim.supersedes(held.claim) => {
                self.hold(signed.manifest().id, claim, Duration::ZERO)
            }
            Some(_) => {}
        }
        self.members.offer(signed, age, now);
    }

    /// Holds a claim if it supersedes what is held, as the mesh would.
    fn hold(&mut self, id: NodeId, claim: Claim, age: Duration) {
        let Some(held) = self.members.get(&id.hash()) else {
            let mut tombstone = Member::new(id, Claim { status: Status::Alive, ..claim }, None, at(1));
            tombstone.hold(claim, age, at(1));
            self.members.insert(tombstone, at(1));
            return;
        };
        if claim.supersedes(held.claim) {
            self.members.update(&id.hash(), |member| member.hold(claim, age, at(1)));
        }
    }

    fn die(&mut self, n: u8, age: Duration) {
        let claim = Claim { version: Version { epoch: 1, incarnation: 0 }, status: Status::Dead };
        self.hold(id(n), claim, age);
    }

    fn want(&mut self, n: u8, version: ManifestVersion, teller: u8, now: Instant) {
        self.gossip.want(id(n).hash(), version, id(teller).hash(), &self.members, now);
    }

    fn handle_root(&mut self, peer: u8, root: u64, now: Instant) {
        self.gossip.handle_root(id(peer).hash(), root, &self.members, now);
    }

    fn start_sync(&mut self, with: &Self) {
        let peer = Peer::Contact { id: with.own, addr: SocketAddr::from(([127, 0, 0, 1], 2)) };
        self.gossip.start_sync(peer, &self.members, at(1));
    }

    fn answer(&mut self, from: NodeId, ask: &Ask) -> Option<Reply> {
        let reply = self.gossip.handle_ask(from, ask, &self.members, at(1));
        while let Some(output) = self.gossip.poll_output() {
            self.apply(output);
        }
        reply
    }

    fn apply(&mut self, output: Output) {
        match output {
            Output::Manifest { signed, age } => self.take(signed, age, at(1)),
            Output::Claim { id, version, state, age, .. } => {
                let status = match state {
                    EntryState::Dead => Status::Dead,
                    EntryState::Left => Status::Left,
                    EntryState::Alive | EntryState::Unknown => Status::Alive,
                };
                self.hold(id, Claim { version, status }, age);
            }
            Output::Ask { .. } | Output::Matched(_) | Output::Compared(_) | Output::Refused(_) => {}
        }
    }
}

/// Lets `a` ask `b` until it is silent, and has both hold what they learn. Returns what `a` asked, and whether it matched.
fn sync(a: &mut Node, b: &mut Node) -> (Vec<Ask>, bool) {
    a.start_sync(b);
    let (mut asked, mut matched) = (Vec::new(), false);
    while let Some(output) = a.gossip.poll_output() {
        matched |= matches!(output, Output::Matched(_));
        if let Output::Ask { token, ask, .. } = output {
            let reply = b.answer(a.own, &ask);
            a.gossip.handle_reply(token, reply, &a.members, at(1));
            asked.push(ask);
        } else {
            a.apply(output);
        }
    }
    (asked, matched)
}

#[test]
fn two_nodes_sync_both_ways_and_then_agree() {
    let mut a = holding(1, &[(1, 1), (2, 5), (3, 1)]);
    let mut b = holding(9, &[(9, 1), (2, 4), (4, 2)]);
    sync(&mut a, &mut b);
    assert_eq!(a.members.root(), b.members.root());
    for node in [&a, &b] {
        assert_eq!(node.members.version(id(2).hash()).unwrap().seq, 5);
        assert!(node.members.version(id(4).hash()).is_some() && node.members.version(id(3).hash()).is_some());
    }
    assert_eq!(sync(&mut a, &mut b).0.len(), 1, "once they agree, one question shows it");
}

#[test]
fn anti_entropy_cannot_resurrect_the_dead() {
    let mut a = holding(1, &[(1, 1), (2, 5)]);
    let mut b = holding(9, &[(9, 1), (2, 5)]);
    a.die(2, Duration::ZERO);
    sync(&mut b, &mut a);
    for node in [&a, &b] {
        assert_eq!(node.members.get(&id(2).hash()).unwrap().claim.status, Status::Dead);
    }
}

#[test]
fn a_tombstone_travels_with_its_age() {
    let mut a = holding(1, &[(1, 1)]);
    a.die(2, Duration::from_secs(3600));
    let mut b = holding(9, &[(9, 1)]);
    sync(&mut b, &mut a);
    assert!(b.members.get(&id(2).hash()).unwrap().age(at(2)) >= Duration::from_secs(3601));
}

#[test]
fn a_manifest_of_another_cluster_or_with_a_broken_signature_is_refused() {
    let mut bytes = signed(2, 1, 1).bytes().to_vec();
    let mut gossip = Gossip::new(id(1).hash(), "other", at(0));
    gossip.handle_manifest(&bytes, Duration::ZERO, &Members::new("other"), at(0));
    let mut node = holding(1, &[]);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    node.gossip.handle_manifest(&bytes, Duration::ZERO, &node.members, at(0));
    for gossip in [&mut gossip, &mut node.gossip] {
        assert!(matches!(gossip.poll_output(), Some(Output::Refused(_))));
        assert!(gossip.poll_output().is_none());
    }
}

#[test]
fn differing_roots_are_left_alone_while_there_is_news() {
    let mut node = holding(1, &[(1, 1)]);
    node.gossip.calm_down(at(0));
    node.gossip.note_news(at(20));
    node.handle_root(2, 99, at(21));
    assert!(node.gossip.poll_output().is_none());
    node.handle_root(2, 99, at(22));
    assert!(matches!(node.gossip.poll_output(), Some(Output::Ask { ask: Ask::Digest(_), .. })));
}

#[test]
fn a_node_that_is_new_compares_at_once_until_it_agrees_with_somebody() {
    let mut node = holding(1, &[(1, 1)]);
    let compares = |node: &mut Node, second| {
        node.gossip.note_news(at(second));
        node.handle_root(2, 99, at(second));
        let asked = std::iter::from_fn(|| node.gossip.poll_output()).find_map(|output| match output {
            Output::Ask { token, .. } => Some(token),
            Output::Manifest { .. }
            | Output::Claim { .. }
            | Output::Matched(_)
            | Output::Compared(_)
            | Output::Refused(_) => None,
        });
        asked.is_some_and(|token| {
            node.gossip.handle_reply(token, None, &node.members, at(second));
            true
        })
    };
    assert!(compares(&mut node, 1) && compares(&mut node, 2));
    node.gossip.calm_down(at(2));
    assert!(compares(&mut node, 3), "much may still be missing");
    let root = node.members.root();
    node.handle_root(2, root, at(4));
    assert!(!compares(&mut node, 5));
}

#[test]
fn many_manifests_that_are_missing_are_one_comparison_and_not_many_fetches() {
    let Node { mut gossip, members, .. } = holding(1, &[(1, 1)]);
    for n in 0..200 {
        let (subject, teller) = (crate::id::IdHash(n), id(2 + (n % 50) as u8).hash());
        gossip.want(subject, ManifestVersion { epoch: 1, seq: 1 }, teller, &members, at(0));
    }
    gossip.handle_timeout(&members, at(1));
    let asks: Vec<Output> = std::iter::from_fn(|| gossip.poll_output()).collect();
    assert!(matches!(asks.as_slice(), [Output::Ask { ask: Ask::Digest(_), .. }]), "{asks:?}");
    assert!(gossip.poll_timeout() > Some(at(1)), "what is put off does not wake it at once");
}

#[test]
fn what_was_refused_is_not_asked_of_the_same_peer_again() {
    let mut a = holding(1, &[(1, 1)]);
    let mut b = holding(9, &[(9, 1), (2, 1)]);
    let foreign = Manifest { cluster: "other".into(), ..(**signed(2, 1, 3).manifest()).clone() };
    b.take(SignedManifest::sign(foreign, &identity(2)).unwrap(), Duration::ZERO, at(0));
    let fetches = |asks: &[Ask]| asks.iter().filter(|ask| matches!(ask, Ask::Fetch(_))).count();
    assert_eq!(fetches(&sync(&mut a, &mut b).0), 1);
    assert_eq!(fetches(&sync(&mut a, &mut b).0), 0);
    a.want(2, ManifestVersion { epoch: 1, seq: 3 }, 9, at(2));
    assert_eq!(a.gossip.poll_timeout(), None);
    a.want(2, ManifestVersion { epoch: 1, seq: 3 }, 3, at(2));
    assert!(a.gossip.poll_timeout().is_some(), "another peer may have the true one");
}

#[test]
fn a_peer_that_knows_nobody_whom_this_node_does_not_know_counts_as_a_match() {
    let matched = |own: &[(u8, u64)], theirs: &[(u8, u64)]| {
        let (mut a, mut b) = (holding(1, own), holding(9, theirs));
        sync(&mut a, &mut b).1
    };
    assert!(matched(&[(1, 1), (9, 1), (3, 1)], &[(9, 1)]));
    assert!(matched(&[(1, 1), (9, 1)], &[(9, 4)]), "a newer manifest of somebody known");
    assert!(!matched(&[(1, 1), (9, 1)], &[(9, 1), (3, 1)]));
}

#[test]
fn a_wanted_manifest_is_fetched_from_another_teller_when_the_first_fails_and_given_up_in_the_end() {
    let mut node = holding(1, &[(1, 1)]);
    let wanted = ManifestVersion { epoch: 1, seq: 1 };
    node.want(5, wanted, 2, at(0));
    node.want(5, wanted, 3, at(0));
    let mut asked = Vec::new();
    for second in 1..60 {
        node.gossip.handle_timeout(&node.members, at(second));
        while let Some(Output::Ask { to, token, .. }) = node.gossip.poll_output() {
            asked.push(to.hash());
            node.gossip.handle_reply(token, None, &node.members, at(second));
        }
    }
    assert_eq!(asked.len(), 5);
    assert!(asked.contains(&id(2).hash()) && asked.contains(&id(3).hash()));
    assert_eq!(node.gossip.poll_timeout(), None, "nothing is left to do");
}

#[test]
fn an_answer_never_exceeds_the_bound_on_a_message() {
    let mut node = holding(1, &[]);
    for n in 0..5_000_u64 {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&n.to_be_bytes());
        let version = Version { epoch: 1_800_000_000, incarnation: 0 };
        let claim = Claim { version, status: Status::Dead };
        node.members.insert(Member::new(NodeId::from_public_key(key), claim, None, at(0)), at(0));
    }
    let buckets = vec![0; 256];
    let ask = Ask::Digest(crate::wire::link::DigestRequest { buckets, ..Default::default() });
    let Some(Reply::Digest(answer)) = node.answer(id(2), &ask) else { panic!("no answer") };
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
    let mut node = holding(1, &[(2, 1)]);
    node.gossip.calm_down(at(0));
    let mut asked = 0;
    for second in 20..120 {
        node.gossip.note_news(at(second));
        node.handle_root(2, 99, at(second));
        let outputs = std::iter::from_fn(|| node.gossip.poll_output());
        asked += outputs.filter(|output| matches!(output, Output::Ask { .. })).count();
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
