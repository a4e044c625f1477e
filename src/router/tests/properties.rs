//! Properties that hold for any view and any ask.

use proptest::prelude::*;

use super::fixture::*;
use crate::manifest::Health;
use crate::router::{Ask, Outcome, Reason, Refusal};
use crate::time::{Duration, Instant};
use crate::view::{MemberView, Status};

/// More than are looked through for each request.
const WORKERS: u8 = 12;

#[derive(Debug, Clone)]
enum Step {
    Change { worker: u8, status: Status, health: Health, draining: bool, unroutable: bool },
    Request { tried: Vec<u8>, outcome: Outcome },
    Finish,
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let status =
        prop_oneof![Just(Status::Alive), Just(Status::Suspect), Just(Status::Dead), Just(Status::Left)];
    let health = prop_oneof![
        Just(Health::Healthy),
        Just(Health::Degraded),
        Just(Health::Unhealthy),
        Just(Health::Unknown)
    ];
    let outcome = prop_oneof![
        Just(ok()),
        Just(failure()),
        Just(Outcome::ConnectFailed),
        Just(Outcome::Timeout),
        Just(Outcome::Cancelled),
        Just(Outcome::Refused(Refusal::Saturated)),
    ];
    prop_oneof![
        1 => (0..WORKERS, status, health, any::<bool>(), any::<bool>()).prop_map(
            |(worker, status, health, draining, unroutable)| {
                Step::Change { worker, status, health, draining, unroutable }
            }
        ),
        6 => (prop::collection::vec(0..WORKERS, 0..6), outcome)
            .prop_map(|(tried, outcome)| Step::Request { tried, outcome }),
        4 => Just(Step::Finish),
        1 => (0_u64..40_000).prop_map(Step::Wait),
    ]
}

fn is_usable(member: &MemberView) -> bool {
    let manifest = member.manifest.as_ref().unwrap();
    member.status.is_live() && !manifest.draining && manifest.services[0].health >= Health::Degraded
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_happens_only_a_usable_and_untried_instance_is_picked(
        steps in prop::collection::vec(step(), 1..150),
        seed in any::<u8>(),
    ) {
        let mut members: Vec<MemberView> = (0..WORKERS).map(worker).collect();
        let mut router = seeded_router(seed, members.clone());
        let mut open = Vec::new();
        let mut now = Instant::ORIGIN;
        for step in steps {
            match step {
                Step::Wait(millis) => now += Duration::from_millis(millis),
                Step::Change { worker: n, status, health, draining, unroutable } => {
                    let changed = worker_with(n, |rag| rag.health = health);
                    let changed = with_manifest(changed, |manifest| manifest.draining = draining);
                    members[usize::from(n)] = MemberView { status, unroutable, ..changed };
                    router.apply(&view(members.clone()), now);
                }
                Step::Finish => {
                    if let Some((pick, outcome)) = open.pop() {
                        router.finish(&pick, outcome, now);
                    }
                }
                Step::Request { tried: workers, outcome } => {
                    let tried: Vec<_> = workers.iter().map(|n| tried(*n, Reason::Timeout)).collect();
                    match router.pick(&Ask::of("rag"), &tried, now) {
                        Ok(pick) => {
                            let n = pick.worker.public_key()[0];
                            prop_assert!(!workers.contains(&n), "{n} was tried");
                            prop_assert!(is_usable(&members[usize::from(n)]), "{n} is not usable");
                            router.begin(&pick, now);
                            open.push((pick, outcome));
                        }
                        Err(unavailable) => {
                            prop_assert_eq!(unavailable.instances.len(), usize::from(WORKERS));
                            prop_assert!(unavailable.retry_after > 0);
                        }
                    }
                }
            }
        }
    }
}
