//! The table tells what was put in, and its digest is a function of what it holds.

use std::net::SocketAddr;

use proptest::prelude::*;

use super::slot::Slot;
use super::{Claim, Member, Members, Offer};
use crate::id::{Identity, ManifestVersion, NodeId, Version};
use crate::manifest::{Capabilities, Manifest, Standing};
use crate::time::{Duration, Instant};
use crate::view::Status;
use crate::wire::digest::DigestKey;
use crate::wire::link::BUCKETS;
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
        addr: Some(SocketAddr::from(([127, 0, 0, 1], u16::from(n)))),
        name: String::new(),
        zone: String::new(),
        tier: 3,
        capabilities: Capabilities::default(),
        services: Vec::new(),
        routes: Vec::new(),
        draining: false,
        public_url: String::new(),
        max_writes_per_day: None,
        standing: Standing::default(),
        meshnode_version: String::new(),
    };
    SignedManifest::sign(manifest, &identity(n)).unwrap()
}

fn claim(epoch: u64, incarnation: u64, status: Status) -> Claim {
    Claim { version: Version { epoch, incarnation }, status }
}

fn alive(n: u8) -> Member {
    Member::new(id(n), claim(1, 0, Status::Alive), None, at(0))
}

/// The sums as they follow from what the table says of each member.
fn recomputed(members: &Members) -> Vec<u64> {
    let key = DigestKey::new("test");
    let mut buckets = vec![0_u64; BUCKETS];
    for (bucket, member) in members.covered_in(|_| true) {
        assert_eq!(bucket, key.bucket(&member.id));
        let version = members.version(member.hash).unwrap_or_default();
        let seq = if version.epoch == member.claim.version.epoch { version.seq } else { 0 };
        if !members.is_faded(member.hash) {
            let sum = &mut buckets[usize::from(bucket)];
            *sum = sum.wrapping_add(key.leaf(&member.id, member.claim.version, member.state(), seq));
        }
    }
    buckets
}

/// What can happen to a table.
#[derive(Debug, Clone)]
enum Step {
    Insert(u8, Claim),
    InsertKnown(u8, u64, u64),
    Hold(u8, Claim),
    Move(u8),
    Offer(u8, u64, u64, u64),
    Fade(u8, bool),
    Remove(u8),
    Own(Claim, u64, u64),
}

fn any_claim() -> impl Strategy<Value = Claim> {
    let status = prop::sample::select(vec![Status::Alive, Status::Suspect, Status::Dead, Status::Left]);
    let incarnation = prop_oneof![0..3_u64, Just(u64::from(u32::MAX)), Just(1 << 40)];
    (1..4_u64, incarnation, status).prop_map(|(epoch, incarnation, status)| claim(epoch, incarnation, status))
}

fn any_step() -> impl Strategy<Value = Step> {
    let n = 1..6_u8;
    prop_oneof![
        (n.clone(), any_claim()).prop_map(|(n, claim)| Step::Insert(n, claim)),
        (n.clone(), 1..4_u64, 1..4_u64).prop_map(|(n, epoch, seq)| Step::InsertKnown(n, epoch, seq)),
        (n.clone(), any_claim()).prop_map(|(n, claim)| Step::Hold(n, claim)),
        n.clone().prop_map(Step::Move),
        (n.clone(), 1..4_u64, 1..4_u64, 0..9_000_u64).prop_map(|(n, e, s, age)| Step::Offer(n, e, s, age)),
        (n.clone(), any::<bool>()).prop_map(|(n, faded)| Step::Fade(n, faded)),
        n.prop_map(Step::Remove),
        (any_claim(), 1..4_u64, 1..4_u64).prop_map(|(claim, epoch, seq)| Step::Own(claim, epoch, seq)),
    ]
}

fn take(members: &mut Members, step: &Step) {
    match *step {
        Step::Insert(n, claim) => members.insert(Member::new(id(n), claim, None, at(1)), at(1)),
        Step::InsertKnown(n, epoch, seq) => members.insert_known(signed(n, epoch, seq), at(1)),
        Step::Hold(n, claim) => {
            let hash = id(n).hash();
            members.update(&hash, |member| member.hold(claim, Duration::ZERO, at(2)));
            assert!(members.get(&hash).is_none_or(|member| member.claim == claim && member.id == id(n)));
        }
        Step::Move(n) => {
            members.update(&id(n).hash(), |member| member.addr = None);
        }
        Step::Offer(n, epoch, seq, age) => {
            let (hash, before) = (id(n).hash(), members.get(&id(n).hash()).map(|member| member.claim));
            members.offer(signed(n, epoch, seq), Duration::from_secs(age), at(3));
            assert_eq!(members.get(&hash).map(|member| member.claim), before, "a manifest is no claim");
        }
        Step::Fade(n, faded) => members.set_faded(id(n).hash(), faded),
        Step::Remove(n) => {
            members.remove(&id(n).hash());
        }
        Step::Own(claim, epoch, seq) => members.set_own(claim, &signed(9, epoch, seq), at(1)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn after_any_steps_the_digest_is_the_one_that_follows_from_what_is_held(
        steps in prop::collection::vec(any_step(), 1..60),
    ) {
        let mut members = Members::new("test");
        for step in &steps {
            take(&mut members, step);
            let buckets = recomputed(&members);
            prop_assert_eq!(members.buckets(), &buckets[..]);
            prop_assert_eq!(members.root(), buckets.iter().fold(0_u64, |sum, bucket| sum.wrapping_add(*bucket)));
            prop_assert_eq!(members.len(), members.iter().count());
            prop_assert!(members.iter().is_sorted_by_key(|(hash, _)| hash));
        }
        for n in 1..6 {
            members.remove(&id(n).hash());
        }
        prop_assert!(members.exceptions.keys().all(|hash| *hash == id(9).hash()), "exceptions outlive their members");
    }
}

#[test]
fn a_member_takes_32_bytes() {
    assert_eq!(size_of::<Slot>(), 32);
}

#[test]
fn ten_thousand_members_take_at_most_40_bytes_each() {
    let mut members = Members::new("test");
    for n in 0..10_000_u64 {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&n.to_be_bytes());
        members.insert(
            Member::new(NodeId::from_public_key(key), claim(1, 0, Status::Alive), None, at(0)),
            at(0),
        );
    }
    let bytes = members.others.capacity() * size_of::<Slot>() / members.len();
    assert!(bytes <= 40, "{bytes} bytes");
}

#[test]
fn the_root_tells_what_is_held_and_not_in_which_order_it_came() {
    let (mut a, mut b) = (Members::new("test"), Members::new("test"));
    [1, 2, 3].into_iter().for_each(|n| a.insert_known(signed(n, 1, 5), at(0)));
    [(3, 5), (2, 4), (1, 5)].into_iter().for_each(|(n, seq)| b.insert_known(signed(n, 1, seq), at(0)));
    assert_ne!(a.root(), b.root());
    assert_eq!(b.offer(signed(2, 1, 5), Duration::ZERO, at(0)), Offer::Accepted);
    assert_eq!(a.root(), b.root());
    a.remove(&id(3).hash());
    b.remove(&id(3).hash());
    assert_eq!(a.root(), b.root());
    assert_ne!(DigestKey::new("other").bucket(&id(2)), DigestKey::new("test").bucket(&id(2)));
}

#[test]
fn of_the_dead_only_the_tombstone_counts() {
    let (mut a, mut b) = (Members::new("test"), Members::new("test"));
    a.insert_known(signed(2, 1, 7), at(0));
    b.insert(alive(2), at(0));
    for members in [&mut a, &mut b] {
        members.update(&id(2).hash(), |member| member.hold(claim(1, 0, Status::Dead), Duration::ZERO, at(1)));
    }
    assert_eq!(a.root(), b.root());
}

#[test]
fn a_merge_is_idempotent_and_commutative_and_the_same_version_never_gets_younger() {
    let owner = id(2).hash();
    let offers = [(1, 3), (1, 5), (2, 1), (1, 9)];
    for start in 0..offers.len() {
        let mut members = Members::new("test");
        members.insert(alive(2), at(0));
        for turn in 0..offers.len() * 2 {
            let (epoch, seq) = offers[(start + turn) % offers.len()];
            members.offer(signed(2, epoch, seq), Duration::from_secs(60), at(10));
        }
        assert_eq!(members.version(owner), Some(ManifestVersion { epoch: 2, seq: 1 }));
        assert_eq!(members.offer(signed(2, 2, 1), Duration::ZERO, at(20)), Offer::Known);
        assert_eq!(members.held(owner).unwrap().age(at(20)), Duration::from_secs(70));
    }
}

#[test]
fn a_manifest_ages_on_its_way_and_does_not_route_when_its_time_is_over() {
    let mut members = Members::new("test");
    members.insert(alive(2), at(0));
    let owner = id(2).hash();
    let mut offer = |age| members.offer(signed(2, 1, 1), Duration::from_secs(age), at(0));
    assert_eq!(offer(7200), Offer::Expired);
    assert_eq!(offer(7000), Offer::Accepted);
    assert!(members.fresh(owner, at(199)).is_some());
    assert!(members.fresh(owner, at(200)).is_none());
    assert_eq!(members.offer(signed(3, 1, 1), Duration::ZERO, at(0)), Offer::Stranger);
}

#[test]
fn what_was_seen_of_a_member_goes_with_it() {
    let mut members = Members::new("test");
    members.insert(alive(2), at(0));
    let hash = id(2).hash();
    members.note_rtt(hash, Duration::from_millis(3), at(5));
    members.update(&hash, |member| member.hold(claim(1, 0, Status::Dead), Duration::ZERO, at(9)));
    let seen = members.seen(hash).unwrap();
    assert_eq!((seen.first, seen.last, seen.rtt), (at(0), at(5), Some(Duration::from_millis(3))));
    members.remove(&hash);
    members.insert(alive(2), at(20));
    assert_eq!(members.seen(hash).unwrap().rtt, None);
}
