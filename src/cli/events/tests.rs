//! Tests of the decoder and of the lines.

use std::io;

use tokio_util::sync::CancellationToken;

use super::sse::TooLong;
use super::*;
use crate::admin::fixture::{UNIX, id, view};
use crate::cli::tests::{Served, query};
use crate::mesh::Event;

const STREAM: &[u8] =
    b": hello\r\n\r\nid: 1\nevent: dead\ndata: {\"a\":1}\n\ndata:x\ndata: y\r\n\r\nid: 2\n\n";

fn check(expected: &str, data: &str) {
    assert_eq!(line(data), expected);
}

#[test]
fn events_are_whole_however_the_bytes_are_cut() {
    let expected = ["{\"a\":1}", "x\ny"];
    for cut in 0..STREAM.len() {
        let mut decoder = Decoder::default();
        let mut events = decoder.push(&STREAM[..cut]).unwrap();
        events.extend(decoder.push(&STREAM[cut..]).unwrap());
        assert_eq!(events, expected, "cut at {cut}");
    }
}

#[test]
fn an_endless_event_is_refused() {
    let mut decoder = Decoder::default();
    let mut pushes = std::iter::repeat_with(|| decoder.push(&[b'x'; 4096]));
    assert_eq!(pushes.by_ref().take(300).find_map(Result::err), Some(TooLong));
    let mut decoder = Decoder::default();
    let mut pushes = std::iter::repeat_with(|| decoder.push(b"data: 0123456789\n"));
    assert_eq!(pushes.by_ref().take(200_000).find_map(Result::err), Some(TooLong));
}

#[test]
fn an_event_is_one_line_with_what_is_known_of_it() {
    check(
        "2026-11-23T08:00:00Z      dead        two",
        r#"{"id":1,"at":"2026-11-23T08:00:00Z","type":"dead","worker_id":"12D3","name":"two"}"#,
    );
    check(
        "2026-11-23T08:00:00.125Z  health      12D3              health=degraded service=rag",
        r#"{"id":1,"at":"2026-11-23T08:00:00.125Z","type":"health","worker_id":"12D3","name":"","service":"rag","health":"degraded"}"#,
    );
    check(
        "2026-11-23T08:00:00Z      leader      -                 term=3",
        r#"{"id":1,"at":"2026-11-23T08:00:00Z","type":"leader","worker_id":null,"name":null,"term":3}"#,
    );
    check(
        "-                         lagged      -                 missed=44",
        r#"{"type":"lagged","missed":44}"#,
    );
}

#[test]
fn what_is_no_event_is_shown_without_what_steers_the_terminal() {
    check("a\u{fffd}[2Jb", "a\u{1b}[2Jb");
    check("-                         x\u{fffd}y         -", "{\"type\":\"x\\u001by\"}");
}

/// Ends the node when the first line is printed.
struct Printed {
    text: Vec<u8>,
    node: CancellationToken,
}

impl Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.node.cancel();
        Ok(())
    }
}

#[tokio::test]
async fn events_are_printed_as_they_come_and_the_end_of_the_node_is_a_failure() {
    for json in [false, true] {
        let served = Served::start(view(), None).await;
        let client = query(&["events", "--admin", &served.url]).client().unwrap();
        let mut printed = Printed { text: Vec::new(), node: served.stop.clone() };
        let happen = async {
            while !served.stop.is_cancelled() {
                served.journal.record(&Event::Dead(id(2)), UNIX);
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        let (error, ()) = tokio::join!(follow(&client, json, &mut printed), happen);
        let text = String::from_utf8(printed.text).unwrap();
        let first = text.lines().next().unwrap();
        if json {
            assert!(first.starts_with(r#"{"id":"#) && first.ends_with(r#""name":"two"}"#), "{first}");
        } else {
            assert_eq!(first, "2026-11-23T08:00:00Z      dead        two");
        }
        let error = error.unwrap_err().to_string();
        assert!(error.starts_with(&served.url) && error.contains("broke off"), "{error}");
    }
}
