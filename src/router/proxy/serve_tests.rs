//! When a connection is idle, in virtual time.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_connection_is_idle_a_minute_after_its_last_stream() {
    let open = watch::Sender::new(0);
    let begun = tokio::time::Instant::now();
    let idle = tokio::spawn(idle(open.subscribe()));
    sleep(IDLE_FOR / 2).await;
    let stream = OpenStream::begin(&open);
    sleep(IDLE_FOR * 10).await;
    assert!(!idle.is_finished(), "a stream is open");
    drop(stream);
    idle.await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 30 + 10 * 60 + 60);
}
