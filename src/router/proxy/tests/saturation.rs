//! More requests than a service, or its node, takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use tokio::sync::Semaphore;

use super::harness::{ask, backend, header, mesh, mesh_with, service, status};
use crate::config::ServiceConfig;

/// A service that answers as many requests as it gets permits, and counts those that it works on at most.
async fn held(max_in_flight: u32, max_queue: u32) -> (ServiceConfig, Arc<Semaphore>, Arc<AtomicUsize>) {
    let (permits, most) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let busy = Arc::new(AtomicUsize::new(0));
    let addr = backend({
        let (permits, most) = (permits.clone(), most.clone());
        move |_| {
            let (permits, most, busy) = (permits.clone(), most.clone(), busy.clone());
            async move {
                most.fetch_max(busy.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                permits.acquire().await.unwrap().forget();
                busy.fetch_sub(1, Ordering::SeqCst);
                Response::new(Full::<Bytes>::default())
            }
        }
    })
    .await;
    (ServiceConfig { max_in_flight, max_queue, ..service("gpu", addr) }, permits, most)
}

#[tokio::test]
async fn a_burst_waits_its_turn_and_what_is_beyond_the_queue_is_told_when_to_come_back() {
    let (config, permits, most) = held(1, 2).await;
    let nodes = mesh(vec![vec![], vec![config]]).await;
    let ingress = nodes[0].ingress;
    let burst: Vec<_> = (0..4)
        .map(|_| tokio::spawn(async move { ask(ingress, "POST /api/service/gpu/", "", "x").await }))
        .collect();
    // One is refused at once; the permits of the others are there before anybody in the queue gives up.
    let mut answers = Vec::new();
    permits.add_permits(3);
    for asked in burst {
        answers.push(asked.await.unwrap());
    }
    let refused: Vec<_> = answers.iter().filter(|answer| status(answer) == 503).collect();
    assert!(refused.len() <= 1, "{answers:?}");
    for answer in refused {
        assert_eq!(
            (header(answer, "x-mesh-error"), header(answer, "retry-after")),
            (Some("saturated"), Some("1"))
        );
    }
    assert_eq!(most.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn who_waits_too_long_in_the_queue_is_told_that_nothing_was_started() {
    let (config, permits, _) = held(1, 8).await;
    let nodes = mesh(vec![vec![config]]).await;
    let ingress = nodes[0].ingress;
    let pair =
        [(); 2].map(|()| tokio::spawn(async move { ask(ingress, "POST /api/service/gpu/", "", "x").await }));
    let [a, b] = pair;
    // Whoever waits gives up first, because the other one is held until then.
    let (given_up, held) = futures_util::future::select(a, b).await.factor_first();
    permits.add_permits(1);
    let (first, second) = (given_up.unwrap(), held.await.unwrap());
    assert_eq!((status(&first), header(&first, "x-mesh-error")), (503, Some("saturated")), "{first}");
    assert_eq!(header(&first, "x-mesh-retry"), Some("1"));
    assert_eq!(status(&second), 200);
}

#[tokio::test]
async fn a_node_takes_no_more_than_its_own_limit_whatever_the_services_take() {
    let (config, permits, _) = held(100, 100).await;
    let nodes = mesh_with(vec![vec![config]], |limits| limits.max_in_flight = 1).await;
    let ingress = nodes[0].ingress;
    let pair =
        [(); 2].map(|()| tokio::spawn(async move { ask(ingress, "GET /api/service/gpu/", "", "").await }));
    let [a, b] = pair;
    let refused = futures_util::future::select(a, b).await.factor_first();
    permits.add_permits(1);
    assert_eq!(header(&refused.0.unwrap(), "x-mesh-error"), Some("saturated"));
    assert_eq!(status(&refused.1.await.unwrap()), 200);
}
