//! Who is too slow, in virtual time.

use std::future::poll_fn;

use tokio::time::{sleep, timeout};

use super::*;

/// Sends so many bytes after each pause; the time until it was too slow, if it was.
async fn send(rate: &mut Rate, bytes: usize, pause: Duration, pieces: usize) -> Option<Duration> {
    let begun = Instant::now();
    for _ in 0..pieces {
        if timeout(pause, poll_fn(|cx| rate.poll_too_slow(cx))).await.is_ok() {
            return Some(begun.elapsed());
        }
        rate.came(bytes);
    }
    None
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_client_that_trickles_has_a_moment_and_one_that_keeps_pace_all_the_time() {
    assert_eq!(send(&mut Rate::new(100), 1, SECOND, 1000).await.map(|after| after.as_secs()), Some(10));
    assert_eq!(send(&mut Rate::new(100), 100, SECOND, 1000).await, None);
    assert_eq!(send(&mut Rate::new(100), 900, SECOND * 9, 1000).await, None);
    assert_eq!(send(&mut Rate::new(0), 1, SECOND * 60, 1000).await, None, "no limit");
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_fast_is_not_remembered_for_ever() {
    let mut rate = Rate::new(100);
    assert_eq!(send(&mut rate, 1 << 20, SECOND, 100).await, None);
    let slow = send(&mut rate, 1, SECOND, 1000).await.map(|after| after.as_secs());
    assert!(slow.is_some_and(|after| (60..62).contains(&after)), "{slow:?}");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_does_not_read_is_not_the_clients_fault() {
    let mut rate = Rate::new(100);
    for _ in 0..1000 {
        sleep(SECOND * 30).await;
        assert_eq!(send(&mut rate, 1, SECOND / 1000, 1).await, None);
    }
}
