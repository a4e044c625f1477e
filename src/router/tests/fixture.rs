//! A mesh as its router sees it, made by hand.

use std::sync::Arc;

use crate::id::{ManifestVersion, NodeId, Version};
use crate::manifest::{
    Capabilities, Health, HostPolicy, Manifest, Protocol, Route, Service, Standing, Timeouts,
};
use crate::router::{Ask, Outcome, Pick, Reason, Router, Tried, Unavailable};
use crate::time::{Duration, Instant};
use crate::view::{LeaderView, MemberView, Status, View};

/// The node whose router is tested.
pub(super) const LOCAL: u8 = 0;

pub(super) fn id(n: u8) -> NodeId {
    NodeId::from_public_key([n; 32])
}

pub(super) fn at(seconds: f64) -> Instant {
    Instant::ORIGIN + Duration::from_secs_f64(seconds)
}

pub(super) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(super) fn service(name: &str, version: &str) -> Service {
    Service {
        name: name.parse().unwrap(),
        port: 80,
        version: version.to_owned(),
        health: Health::Healthy,
        weight: 1,
        tags: Vec::new(),
        protocol: Protocol::Http1,
        timeouts: Timeouts::default(),
        max_in_flight: 0,
        host: HostPolicy::Preserve,
    }
}

pub(super) fn member(n: u8, services: Vec<Service>) -> MemberView {
    let addr = format!("10.0.0.{n}:7946").parse().ok();
    MemberView {
        id: id(n),
        hash: id(n).hash(),
        status: Status::Alive,
        unroutable: false,
        version: Version { epoch: 1, incarnation: 0 },
        manifest: Some(Arc::new(manifest(n, services))),
        addr,
        rtt: None,
        load: None,
        first_seen: Instant::ORIGIN,
        last_heard: Instant::ORIGIN,
    }
}

/// A worker with one healthy `rag` of version 1.0.0.
pub(super) fn worker(n: u8) -> MemberView {
    member(n, vec![service("rag", "1.0.0")])
}

/// A worker with one `rag` that `change` has changed.
pub(super) fn worker_with(n: u8, change: impl FnOnce(&mut Service)) -> MemberView {
    let mut rag = service("rag", "1.0.0");
    change(&mut rag);
    member(n, vec![rag])
}

pub(super) fn with_manifest(mut member: MemberView, change: impl FnOnce(&mut Manifest)) -> MemberView {
    let mut manifest = member.manifest.as_deref().unwrap().clone();
    change(&mut manifest);
    member.manifest = Some(Arc::new(manifest));
    member
}

pub(super) fn with_route(member: MemberView, change: impl FnOnce(&mut Route)) -> MemberView {
    let mut route = Route::default_of("rag".parse().unwrap());
    route.rev = 1;
    change(&mut route);
    with_manifest(member, |manifest| manifest.routes = vec![route])
}

fn manifest(n: u8, services: Vec<Service>) -> Manifest {
    Manifest {
        cluster: "test".to_owned(),
        id: id(n),
        version: ManifestVersion { epoch: 1, seq: 1 },
        ttl: Duration::from_secs(7200),
        addr: None,
        name: format!("n{n}"),
        zone: String::new(),
        tier: 3,
        capabilities: Capabilities::default(),
        services,
        routes: Vec::new(),
        draining: false,
        public_url: String::new(),
        max_writes_per_day: None,
        standing: Standing::default(),
        meshnode_version: "0.1.0".to_owned(),
    }
}

pub(super) fn view(members: impl IntoIterator<Item = MemberView>) -> View {
    let mut members: Vec<_> = members.into_iter().map(Arc::new).collect();
    members.sort_by_key(|member| member.id);
    View {
        version: 1,
        local: id(LOCAL),
        members,
        leader: LeaderView::default(),
        ready: true,
        draining: false,
    }
}

pub(super) fn router(members: impl IntoIterator<Item = MemberView>) -> Router {
    seeded_router(7, members)
}

pub(super) fn seeded_router(seed: u8, members: impl IntoIterator<Item = MemberView>) -> Router {
    let mut router = Router::new(id(LOCAL), [seed; 32]);
    router.apply(&view(members), Instant::ORIGIN);
    router
}

pub(super) fn tried(n: u8, reason: Reason) -> Tried {
    Tried { worker: id(n), reason }
}

pub(super) fn pick(router: &mut Router, now: Instant) -> Pick {
    router.pick(&Ask::of("rag"), &[], now).unwrap()
}

/// A pick of exactly this worker.
pub(super) fn pick_of(router: &mut Router, n: u8, now: Instant) -> Result<Pick, Box<Unavailable>> {
    router.pick(&Ask { worker: Some(id(n)), ..Ask::of("rag") }, &[], now)
}

/// One whole request to the worker that is picked for it. Returns for how long that ejected it.
pub(super) fn request(router: &mut Router, n: u8, outcome: Outcome, now: Instant) -> Option<Duration> {
    let pick = pick_of(router, n, now).unwrap();
    router.begin(&pick, now);
    router.finish(&pick, outcome, now)
}

pub(super) fn ok() -> Outcome {
    Outcome::Answered { status: 200, first_byte: ms(10) }
}

pub(super) fn failure() -> Outcome {
    Outcome::Answered { status: 500, first_byte: ms(1) }
}

/// Who gets `count` requests that come one after the other and take no time.
pub(super) fn shares(router: &mut Router, ask: &Ask<'_>, count: u32, now: Instant) -> [u32; 256] {
    let mut shares = [0; 256];
    for _ in 0..count {
        let pick = router.pick(ask, &[], now).unwrap();
        shares[usize::from(pick.worker.public_key()[0])] += 1;
    }
    shares
}
