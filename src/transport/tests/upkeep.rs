//! How a link notices its end, over in-memory streams and in virtual time.

use std::sync::Arc;

use tokio::io::{DuplexStream, duplex};
use tokio::sync::watch;
use tokio::time::{Instant, advance, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::super::backoff::Backoff;
use super::super::http2;
use super::super::link::{Far, Link};
use super::super::metered::{Metered, Traffic};
use super::super::reach::Reach;
use super::{identity, key};
use crate::mesh::LinkFailure;
use crate::metrics::Metrics;
use crate::time::Duration;

fn far_end(traffic: Traffic) -> Far {
    Far { peer: identity(2).id(), key: key(1).id(), traffic, reach: Reach::new() }
}

/// A link, and the far end of its stream.
async fn link() -> (Arc<Link>, TaskTracker, DuplexStream) {
    let (near, far) = duplex(1 << 16);
    let metered = Metered::new(near, &Metrics::new());
    let (traffic, tasks) = (metered.traffic(), TaskTracker::new());
    let link = Link::establish(metered, far_end(traffic), &tasks, CancellationToken::new()).await.unwrap();
    tasks.close();
    (link, tasks, far)
}

/// Serves HTTP/2 as a peer does, until the link ends.
async fn serve(stream: DuplexStream) {
    let mut connection = http2::server().handshake::<_, bytes::Bytes>(stream).await.unwrap();
    while let Some(Ok(_)) = connection.accept().await {}
}

#[tokio::test(start_paused = true)]
async fn a_link_in_use_whose_peer_fell_silent_ends_within_ten_seconds() {
    let (link, tasks, _silent) = link().await;
    let began = Instant::now();
    let _place = link.place();
    tasks.wait().await;
    assert!(!link.stands());
    assert!(began.elapsed() <= Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_link_whose_peer_answers_stands_however_long_it_is_used() {
    let (link, tasks, far) = link().await;
    let served = tokio::spawn(serve(far));
    for _ in 0..100 {
        assert!(link.ready().await.is_ok());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(link.stands());
    drop(link);
    tasks.wait().await;
    served.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_idle_link_says_nothing() {
    let (near, far) = duplex(1 << 16);
    let (tasks, far) = (TaskTracker::new(), Metered::new(far, &Metrics::new()));
    let traffic: Traffic = far.traffic();
    let link =
        Link::establish(near, far_end(Traffic::default()), &tasks, CancellationToken::new()).await.unwrap();
    let served = tokio::spawn(async move {
        let mut connection = http2::server().handshake::<_, bytes::Bytes>(far).await.unwrap();
        while let Some(Ok(_)) = connection.accept().await {}
    });
    tokio::time::sleep(Duration::from_secs(10)).await;
    let before = traffic.received();
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert_eq!(traffic.received(), before);
    assert!(link.stands());
    drop(link);
    served.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn failed_dials_hold_longer_each_time_but_never_beyond_five_seconds() {
    let addr = "127.0.0.1:1".parse().unwrap();
    let mut backoff = Backoff::default();
    for times in 0..20 {
        backoff.fail(addr, LinkFailure::WrongPeer, Instant::now());
        let longest = Duration::from_millis(100 << times.min(6)).min(Duration::from_secs(5));
        assert_eq!(
            backoff.check(addr, Instant::now() + longest / 2 - Duration::from_millis(1)),
            Err(LinkFailure::WrongPeer)
        );
        assert_eq!(backoff.check("127.0.0.1:2".parse().unwrap(), Instant::now()), Ok(()));
        advance(longest + Duration::from_millis(1)).await;
        assert_eq!(backoff.check(addr, Instant::now()), Ok(()));
    }
    backoff.fail(addr, LinkFailure::Unreachable, Instant::now());
    backoff.clear();
    assert_eq!(backoff.check(addr, Instant::now()), Ok(()));
}

/// Serves HTTP/2 while the switch is on, and does nothing at all while it is off.
async fn serve_while(stream: DuplexStream, mut on: watch::Receiver<bool>) {
    let mut connection = http2::server().handshake::<_, bytes::Bytes>(stream).await.unwrap();
    while on.wait_for(|on| *on).await.is_ok() {
        tokio::select! {
            accepted = connection.accept() => if accepted.is_none() { return },
            _ = on.wait_for(|on| !*on) => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_owes_an_answer_is_silent_within_half_a_second_and_heard_when_it_speaks_again() {
    let (link, _tasks, far) = link().await;
    let (switch, on) = watch::channel(true);
    tokio::spawn(serve_while(far, on));
    assert!(link.ready().await.is_ok());
    let place = link.place();
    // Its service may take as long as it likes, as long as its end of the link answers.
    assert!(timeout(Duration::from_secs(60), place.silent()).await.is_err());

    switch.send_replace(false);
    let began = Instant::now();
    place.silent().await;
    let took = began.elapsed();
    assert!((Duration::from_millis(200)..Duration::from_millis(500)).contains(&took), "{took:?}");
    assert!(link.pulse().is_silent() && link.stands());

    switch.send_replace(true);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!link.pulse().is_silent());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_owes_nothing_may_say_nothing_for_a_while() {
    let (link, _tasks, far) = link().await;
    let (switch, on) = watch::channel(true);
    tokio::spawn(serve_while(far, on));
    assert!(link.ready().await.is_ok());
    let mut place = link.place();
    place.answered();
    tokio::time::sleep(Duration::from_secs(1)).await;
    switch.send_replace(false);
    assert!(timeout(Duration::from_secs(1), place.silent()).await.is_err(), "a body may pause");
    assert!(timeout(Duration::from_millis(1500), place.silent()).await.is_ok(), "but not its node");
}
