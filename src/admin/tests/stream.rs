//! Server-sent events, and the end of serving.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::time::timeout;

use super::super::fixture::{UNIX, id};
use super::*;
use crate::mesh::Event;

const SOON: Duration = Duration::from_secs(10);

/// A follower that has read the head of the answer.
struct Follower(Lines<BufReader<TcpStream>>);

impl Follower {
    async fn of(served: &Served, query: &str, headers: &str) -> Self {
        let mut stream = TcpStream::connect(served.addr).await.unwrap();
        let text = format!("GET /api/admin/events{query} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n");
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut follower = Self(BufReader::new(stream).lines());
        assert_eq!(follower.line().await.unwrap(), "HTTP/1.1 200 OK");
        while !follower.line().await.unwrap().is_empty() {}
        follower
    }

    async fn line(&mut self) -> Option<String> {
        timeout(SOON, self.0.next_line()).await.expect("the stream stalled").ok().flatten()
    }

    /// The next line that starts with `field`.
    async fn next(&mut self, field: &str) -> String {
        loop {
            let line = self.line().await.expect("the stream ended");
            if let Some(value) = line.strip_prefix(field) {
                return value.trim().to_owned();
            }
        }
    }
}

#[tokio::test]
async fn a_follower_hears_of_events_as_they_happen() {
    let served = Served::start().await;
    served.journal.record(&Event::Joined(id(3)), UNIX);
    let mut follower = Follower::of(&served, "", "").await;
    served.journal.record(&Event::Dead(id(2)), UNIX);
    assert_eq!(follower.next("id:").await, "2", "what happened before is not repeated");
    let mut again = Follower::of(&served, "", "last-event-id: 1\r\n").await;
    assert_eq!(again.next("id:").await, "2");
    let mut all = Follower::of(&served, "?after=0", "").await;
    assert_eq!(all.next("event:").await, "joined");
    let data: Value = serde_json::from_str(&all.next("data:").await).unwrap();
    assert_eq!((&data["type"], &data["id"]), (&"joined".into(), &1.into()));
}

#[tokio::test]
async fn a_start_that_is_no_id_is_refused() {
    let served = Served::start().await;
    assert_eq!(served.get("/api/admin/events?after=x").await.status, 400);
    let headers = "host: localhost\r\nlast-event-id: x\r\n";
    assert_eq!(served.send("GET", "/api/admin/events", headers, "").await.status, 400);
}

#[tokio::test]
async fn a_slow_follower_is_told_what_it_missed_and_goes_on() {
    let served = Served::start().await;
    let mut follower = Follower::of(&served, "", "").await;
    // The server's task runs only when this one waits, so that all of these are one burst to it.
    for _ in 0..300 {
        served.journal.record(&Event::Joined(id(2)), UNIX);
    }
    assert_eq!(follower.next("event:").await, "lagged");
    assert_eq!(follower.next("data:").await, r#"{"type":"lagged","missed":44}"#);
    for id in 45..=300 {
        assert_eq!(follower.next("id:").await, id.to_string());
    }
}

#[tokio::test]
async fn only_so_many_may_follow_and_a_seat_is_given_back() {
    let served = Served::start().await;
    let mut followers = Vec::new();
    for _ in 0..64 {
        followers.push(Follower::of(&served, "", "").await);
    }
    let refused = served.get("/api/admin/events").await;
    assert_eq!(refused.status, 503);
    assert!(refused.error().contains("64"), "{refused:?}");

    drop(followers.pop());
    let seat_is_free = async {
        loop {
            // The server notices a gone reader when it writes.
            served.journal.record(&Event::Joined(id(2)), UNIX);
            let mut stream = TcpStream::connect(served.addr).await.unwrap();
            stream.write_all(b"GET /api/admin/events HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
            let first = BufReader::new(stream).lines().next_line().await.unwrap().unwrap();
            if first.contains("200") {
                break;
            }
        }
    };
    timeout(SOON, seat_is_free).await.expect("a seat was never given back");
}

#[tokio::test]
async fn serving_ends_although_somebody_follows() {
    let served = Served::start().await;
    let mut follower = Follower::of(&served, "", "").await;
    served.stop.cancel();
    timeout(SOON, served.serving).await.expect("serving goes on").unwrap();
    while follower.line().await.is_some() {}
    assert!(TcpStream::connect(served.addr).await.is_err(), "the port is free");
}

#[tokio::test]
async fn a_leave_that_the_node_does_not_take_is_unavailable() {
    let mut served = Served::start().await;
    served.commands.close();
    let answer = served.change("POST", "/api/admin/leave", "").await;
    assert_eq!(answer.status, 503);
    assert!(answer.head.contains("retry-after: 1"), "{answer:?}");
}
