//! A view of four members in the four states, for tests.

use std::sync::Arc;

use crate::id::{Identity, ManifestVersion, NodeId, Version};
use crate::manifest::{
    Capabilities, Gpu, Health, HostPolicy, Manifest, Protocol, Service, Standing, Timeouts,
};
use crate::time::{Duration, Instant};
use crate::view::{LeaderView, Load, MemberView, Status, SummaryStatus, View};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// The wall clock at which the tests look at the view, 2026-11-23T08:00:00Z.
pub(crate) const UNIX: Duration = Duration::from_secs(1_795_420_800);

pub(crate) fn id(n: u8) -> NodeId {
    Identity::from_secret(&[n; 32]).id()
}

pub(crate) fn at(seconds: u64) -> Instant {
    Instant::ORIGIN + SECOND * u32::try_from(seconds).unwrap()
}

/// `one` is alive and leads, `two` is suspect, `three` is dead, of `four` only the leave is known.
pub(crate) fn view() -> View {
    let mut one = member(1, "one", Status::Alive);
    one.rtt = None;
    let mut two = member(2, "two", Status::Suspect);
    two.unroutable = true;
    two.load = None;
    edit(&mut two, |manifest| {
        manifest.draining = true;
        manifest.services[0].version = "1.5.0".to_owned();
        manifest.services[0].health = Health::Unhealthy;
        manifest.zone.clear();
        manifest.public_url.clear();
    });
    let three = member(3, "three", Status::Dead);
    let mut four = member(4, "four", Status::Left);
    (four.manifest, four.addr, four.rtt, four.load) = (None, None, None, None);
    let mut members: Vec<_> = [one, two, three, four].into_iter().map(Arc::new).collect();
    members.sort_by_key(|member| member.id);
    View { version: 7, local: id(1), members, leader: leader(), ready: true, draining: false }
}

pub(crate) fn edit(member: &mut MemberView, change: impl FnOnce(&mut Manifest)) {
    change(Arc::make_mut(member.manifest.as_mut().unwrap()));
}

/// Changes the member `n` of `view`.
pub(crate) fn edit_member(view: &mut View, n: u8, change: impl FnOnce(&mut MemberView)) {
    let at = view.members.binary_search_by(|member| member.id.cmp(&id(n))).unwrap();
    change(Arc::make_mut(&mut view.members[at]));
}

fn leader() -> LeaderView {
    LeaderView {
        leader: Some(id(1)),
        term: 12,
        since: Some(at(40)),
        candidates: vec![id(1), id(2)],
        summary: SummaryStatus {
            warm: true,
            store_ok: true,
            writes_today: 4,
            budget_left: Some(26),
            last_write: Some(1_795_420_740),
            next_slot: Some(1_795_424_400),
            stored: Some((12, 4711)),
            cluster_id: 1,
            last_error: None,
        },
    }
}

fn member(n: u8, name: &str, status: Status) -> MemberView {
    let id = id(n);
    MemberView {
        id,
        hash: id.hash(),
        status,
        unroutable: false,
        version: Version { epoch: 1_795_328_000 + u64::from(n), incarnation: u64::from(n) },
        manifest: Some(Arc::new(manifest(n, name))),
        addr: Some(format!("10.0.0.{n}:7946").parse().unwrap()),
        rtt: Some(Duration::from_micros(1_250)),
        load: Some(Load { busy: 0.25, available_memory: 6 << 30, in_flight: 3 }),
        first_seen: at(10),
        last_heard: at(99),
    }
}

fn manifest(n: u8, name: &str) -> Manifest {
    Manifest {
        cluster: "test".to_owned(),
        id: id(n),
        version: ManifestVersion { epoch: 1_795_328_000 + u64::from(n), seq: 1 },
        ttl: SECOND * 60,
        addr: None,
        name: name.to_owned(),
        zone: "eu".to_owned(),
        tier: 1,
        capabilities: Capabilities {
            cpu_cores: 8,
            memory_bytes: 16 << 30,
            os: "linux".to_owned(),
            arch: "x86_64".to_owned(),
            gpus: vec![Gpu { name: "H100".to_owned(), memory_bytes: 80 << 30 }],
        },
        services: vec![service("rag")],
        routes: Vec::new(),
        draining: false,
        public_url: format!("https://n{n}.example.com"),
        max_writes_per_day: None,
        standing: Standing::default(),
        meshnode_version: "0.1.0".to_owned(),
    }
}

pub(crate) fn service(name: &str) -> Service {
    Service {
        name: name.parse().unwrap(),
        port: 8102,
        version: "1.4.2".to_owned(),
        health: Health::Healthy,
        weight: 1,
        tags: vec!["gpu".to_owned()],
        protocol: Protocol::Http1,
        timeouts: Timeouts::default(),
        max_in_flight: 0,
        host: HostPolicy::Preserve,
    }
}

/// What a router holds of the instance of `rag` on the first member: it is kept out.
pub(crate) fn standings() -> Vec<crate::router::Standing> {
    vec![crate::router::Standing {
        service: "rag".parse().unwrap(),
        worker: id(1),
        health: Health::Healthy,
        in_flight: 7,
        latency: Some(SECOND / 4),
        ejected: Some(SECOND * 3),
        reason: Some(crate::router::Reason::Ejected),
    }]
}
