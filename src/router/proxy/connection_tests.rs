//! When a connection is idle, in virtual time.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_connection_is_idle_a_minute_after_its_last_stream() {
    let visit = Visit::new();
    let begun = Instant::now();
    let watched = visit.clone();
    let idle = tokio::spawn(async move { rested(&watched, IDLE_FOR).await });
    sleep(IDLE_FOR / 2).await;
    let stream = visit.begin(false);
    sleep(IDLE_FOR * 10).await;
    assert!(!idle.is_finished(), "a stream is open");
    drop(stream);
    idle.await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 30 + 10 * 60 + 60);
}

async fn next_of(visit: &Arc<Visit>) -> (Next, Duration) {
    let begun = Instant::now();
    let stop = CancellationToken::new();
    (next(visit, &stop).await, begun.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_head_may_take_ten_seconds_and_rest_a_minute() {
    let visit = Visit::new();
    assert_eq!(next_of(&visit).await, (Next::Sleep, AWAKE_FOR));

    visit.heard();
    let (next, after) = next_of(&visit).await;
    assert_eq!(next, Next::TimeOut);
    assert!((HEAD_WITHIN..=HEAD_WITHIN + LOOK).contains(&after), "{after:?}");

    drop(visit.begin(true));
    assert_eq!(next_of(&visit).await, (Next::Close, IDLE_FOR), "some of a body may still come");
}

#[tokio::test(start_paused = true)]
async fn a_stopped_listeners_client_has_a_moment_for_its_next_request() {
    let (visit, stop) = (Visit::new(), CancellationToken::new());
    stop.cancel();
    let begun = Instant::now();
    assert_eq!(next(&visit, &stop).await, Next::Close);
    assert!((GRACE..GRACE + LOOK_AT_CLOSING * 2).contains(&begun.elapsed()), "{:?}", begun.elapsed());

    let turn = visit.begin(false);
    let ending = tokio::spawn(async move { next(&visit, &stop).await });
    sleep(IDLE_FOR * 2).await;
    assert!(!ending.is_finished(), "a request is under way");
    drop(turn);
    assert_eq!(ending.await.unwrap(), Next::Close);
}
