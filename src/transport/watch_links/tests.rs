//! What watch links rest on: goodbyes, silence, and what the kernel knows.

use std::io::{ErrorKind, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use tokio::io::AsyncWriteExt as _;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::super::metered::Metered;
use super::farewell::Frames;
use super::keeper::{DEAD_AFTER, fall_silent};
use super::unacknowledged::unacknowledged;
use crate::metrics::Metrics;
use crate::time::Duration;

#[test]
fn a_go_away_is_found_however_the_bytes_are_cut() {
    let settings: &[u8] = &[0, 0, 6, 4, 0, 0, 0, 0, 0, 7, 7, 7, 7, 7, 7];
    let empty: &[u8] = &[0, 0, 0, 4, 1, 0, 0, 0, 0];
    let go_away: &[u8] = &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let without = [settings, empty, settings].concat();
    let with = [settings, empty, go_away, empty].concat();
    for size in 1..=with.len() {
        let found = |bytes: &[u8]| {
            let mut frames = Frames::default();
            bytes.chunks(size).fold(false, |found, chunk| frames.has_go_away(chunk) | found)
        };
        assert!(!found(&without), "in pieces of {size}");
        assert!(found(&with), "in pieces of {size}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_a_link_on_which_a_ping_was_lost_and_nothing_is_heard_any_more_leads_nowhere() {
    let (near, mut far) = tokio::io::duplex(64);
    let mut near = Metered::new(near, &Metrics::new());
    let (doubted, began) = (Arc::<Notify>::default(), Instant::now());
    let mut silent = tokio::spawn(fall_silent(doubted.clone(), near.traffic()));
    let untouched = tokio::time::timeout(Duration::from_secs(3600), &mut silent).await;
    assert!(untouched.is_err(), "an idle link is not doubted");

    doubted.notify_one();
    tokio::time::sleep(DEAD_AFTER / 2).await;
    far.write_all(b"late").await.unwrap();
    tokio::io::AsyncReadExt::read(&mut near, &mut [0; 4]).await.unwrap();
    let heard = tokio::time::timeout(DEAD_AFTER, &mut silent).await;
    assert!(heard.is_err(), "it answered late");

    doubted.notify_one();
    let before = Instant::now();
    silent.await.unwrap();
    assert_eq!(before.elapsed(), DEAD_AFTER, "since {began:?}");
}

fn check(at: &str) {
    let listener = TcpListener::bind(at).unwrap();
    let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    let (local, remote) = (near.local_addr().unwrap(), near.peer_addr().unwrap());
    near.write_all(&[0; 100]).unwrap();
    assert_eq!(unacknowledged(local, remote).unwrap(), 0, "the kernel takes what nobody reads");

    near.set_nonblocking(true).unwrap();
    while near.write(&[0; 1 << 16]).is_ok() {}
    assert!(unacknowledged(local, remote).unwrap() > 0, "beyond its buffer it does not");
    drop((near, far));
    let elsewhere = listener.local_addr().unwrap();
    assert_eq!(unacknowledged(elsewhere, elsewhere).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
#[cfg(target_os = "linux")]
fn what_the_far_kernel_took_is_known_for_both_families() {
    check("127.0.0.1:0");
    check("[::1]:0");
}
