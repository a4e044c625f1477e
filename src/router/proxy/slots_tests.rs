//! Tests of the places at a service.

use super::Slots;
use crate::time::Duration;

const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(10);

#[tokio::test(start_paused = true)]
async fn who_waits_gets_the_place_of_who_ends() {
    let slots = Slots::new(1, 1);
    let first = slots.take(LONG).await.unwrap();
    let waiting = tokio::spawn({
        let slots = slots.clone();
        async move { slots.take(LONG).await.is_some() }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    drop(first);
    assert!(waiting.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_at_once_and_a_waiting_one_gives_up_in_time() {
    let slots = Slots::new(1, 1);
    let first = slots.take(LONG).await.unwrap();
    let waiting = tokio::spawn({
        let slots = slots.clone();
        async move { slots.take(SHORT).await.is_none() }
    });
    tokio::task::yield_now().await;
    let begun = tokio::time::Instant::now();
    assert!(slots.take(LONG).await.is_none());
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert!(waiting.await.unwrap());
    assert_eq!(begun.elapsed(), SHORT);
    drop(first);
    assert!(slots.take(SHORT).await.is_some());
    assert_eq!(slots.busy(), 0);
}

#[tokio::test]
async fn no_limit_is_no_limit() {
    let slots = Slots::new(0, 0);
    let mut taken = Vec::new();
    for _ in 0..1000 {
        taken.push(slots.take(SHORT).await.unwrap());
    }
    assert_eq!(slots.busy(), 1000);
}
