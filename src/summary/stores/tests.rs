//! The stores against a directory and against a small API on the loopback interface.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;
use crate::summary::StoreFailure;
use crate::time::Duration;

const DATE: &str = "Sun, 22 Nov 2026 06:00:07 GMT";
const DATE_UNIX: u64 = 1_795_327_207;
const VALUE: &str = r#"{"v":1,"term":3,"seq":9,"rest":"of it"}"#;

/// What the API answers to one request.
struct Reply {
    status: u16,
    headers: Vec<(&'static str, &'static str)>,
    body: String,
    /// Closes the connection after the answer, without saying so before.
    hang_up: bool,
    /// Reads the request and closes the connection instead of answering.
    silent: bool,
}

fn reply(status: u16, body: &str) -> Reply {
    Reply { status, headers: vec![("date", DATE)], body: body.to_owned(), hang_up: false, silent: false }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    connection: usize,
    line: String,
    authorization: String,
    body: String,
}

/// An API that answers from a list and notes what it was asked.
struct Api {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Drop for Api {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Api {
    async fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let replies = Arc::new(Mutex::new(VecDeque::from(replies)));
        let task = tokio::spawn({
            let seen = Arc::clone(&seen);
            async move {
                for connection in 0.. {
                    let (tcp, _) = listener.accept().await.unwrap();
                    serve(TokioIo::new(tcp), connection, Arc::clone(&seen), Arc::clone(&replies)).await;
                }
            }
        });
        Self { address, seen, task }
    }

    fn store(&self) -> Store {
        let location = "cloudflare:acct1/ns-1".parse().unwrap();
        let api = format!("http://{}/client/v4", self.address);
        Store::open(&location, "prod", Some(&api), Some("secret")).unwrap()
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(
    io: TokioIo<tokio::net::TcpStream>,
    connection: usize,
    seen: Arc<Mutex<Vec<Seen>>>,
    replies: Arc<Mutex<VecDeque<Reply>>>,
) {
    let hang_up = Arc::new(tokio::sync::Notify::new());
    let service = service_fn(|request: Request<Incoming>| {
        let (seen, replies, hang_up) = (Arc::clone(&seen), Arc::clone(&replies), Arc::clone(&hang_up));
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            seen.lock().unwrap().push(Seen {
                connection,
                line: format!("{} {}", head.method, head.uri),
                authorization: head.headers["authorization"].to_str().unwrap().to_owned(),
                body: String::from_utf8(body.to_vec()).unwrap(),
            });
            let reply = replies.lock().unwrap().pop_front().unwrap();
            if reply.silent {
                return Err("no answer");
            }
            if reply.hang_up {
                hang_up.notify_one();
            }
            let mut response = Response::builder().status(reply.status);
            for (name, value) in reply.headers {
                response = response.header(name, value);
            }
            Ok(response.body(Full::new(Bytes::from(reply.body))).unwrap())
        }
    });
    let served =
        hyper::server::conn::http1::Builder::new().auto_date_header(false).serve_connection(io, service);
    tokio::pin!(served);
    tokio::select! {
        // Whether the client or the service ended it does not matter here.
        _ended = &mut served => {}
        () = hang_up.notified() => {
            served.as_mut().graceful_shutdown();
            drop(served.await);
        }
    }
}

fn put() -> StoreCall {
    StoreCall::Put { value: VALUE.into() }
}

const WRITTEN: &str = r#"{"success":true,"errors":[],"messages":[],"result":{"successful_key_count":1,"unsuccessful_keys":[]}}"#;

#[tokio::test]
async fn a_write_follows_its_read_on_one_connection() {
    let api = Api::start(vec![reply(200, VALUE), reply(200, WRITTEN)]).await;
    let mut store = api.store();
    assert_eq!(store.call(StoreCall::Get).await, StoreReply::Found { value: VALUE.into(), now: DATE_UNIX });
    assert_eq!(store.call(put()).await, StoreReply::Stored);

    let base = "/client/v4/accounts/acct1/storage/kv/namespaces/ns-1";
    let seen = api.seen();
    assert_eq!(seen[0].line, format!("GET {base}/values/mesh%3Av1%3Aprod"));
    assert_eq!(seen[1].line, format!("PUT {base}/bulk"));
    assert_eq!((seen[0].connection, seen[1].connection), (0, 0));
    assert_eq!(seen[1].authorization, "Bearer secret");
    let sent: serde_json::Value = serde_json::from_str(&seen[1].body).unwrap();
    let expected = serde_json::json!([{
        "key": "mesh:v1:prod", "value": VALUE, "expiration_ttl": 604_800,
        "metadata": {"v": 1, "term": 3, "seq": 9},
    }]);
    assert_eq!(sent, expected);
}

#[tokio::test]
async fn one_read_allows_one_write() {
    let api = Api::start(vec![reply(200, VALUE), reply(200, WRITTEN)]).await;
    let mut store = api.store();
    assert_eq!(store.call(put()).await, StoreReply::PutFailed(StoreFailure::TooLate));
    store.call(StoreCall::Get).await;
    store.call(put()).await;
    assert_eq!(store.call(put()).await, StoreReply::PutFailed(StoreFailure::TooLate));
    assert_eq!(api.seen().len(), 2);
}

#[tokio::test]
async fn a_read_tells_apart_absence_patience_and_failure() {
    async fn check(reply: Reply, expected: Result<StoreReply, &str>) {
        let api = Api::start(vec![reply]).await;
        match (api.store().call(StoreCall::Get).await, expected) {
            (StoreReply::GetFailed(StoreFailure::Failed(reason)), Err(part)) => {
                assert!(reason.contains(part), "{reason}");
            }
            (seen, expected) => assert_eq!(Ok(seen), expected),
        }
    }
    let errors = |code: u64| {
        format!(r#"{{"success":false,"errors":[{{"code":{code},"message":"why"}}],"result":null}}"#)
    };
    let limited = |retry_after_s| Ok(StoreReply::GetFailed(StoreFailure::Limited { retry_after_s }));

    check(reply(404, &errors(10_009)), Ok(StoreReply::NotFound { now: DATE_UNIX })).await;
    check(
        reply(404, &errors(10_013)),
        Err("404 Not Found, why (10013); --store cloudflare:ACCOUNT/NAMESPACE"),
    )
    .await;
    check(reply(404, "<html>"), Err("404")).await;
    check(reply(403, &errors(10_000)), Err("403 Forbidden, why (10000); CLOUDFLARE_API_TOKEN needs")).await;
    check(reply(400, &errors(10_000)), Err("CLOUDFLARE_API_TOKEN needs")).await;
    check(reply(401, ""), Err("CLOUDFLARE_API_TOKEN needs")).await;
    check(reply(503, ""), Err("503")).await;
    check(reply(302, ""), Err("302")).await;
    check(reply(429, ""), limited(1)).await;
    check(Reply { headers: vec![("retry-after", "7")], ..reply(429, "") }, limited(7)).await;
    let later = ("retry-after", "Sun, 22 Nov 2026 06:05:07 GMT");
    check(Reply { headers: vec![("date", DATE), later], ..reply(429, "") }, limited(300)).await;
    check(Reply { headers: vec![later], ..reply(429, "") }, limited(1)).await;
    check(Reply { headers: vec![("retry-after", "soon")], ..reply(429, "") }, limited(1)).await;
    check(Reply { headers: vec![], ..reply(200, VALUE) }, Err("no Date")).await;
    check(reply(200, &"x".repeat(MAX_ANSWER_LEN + 1)), Err("length limit")).await;
    check(Reply { silent: true, ..reply(200, "") }, Err("")).await;
}

#[tokio::test]
async fn a_failed_write_tells_apart_patience_refusal_and_doubt() {
    async fn check(answer: Reply, expected: &str) {
        let api = Api::start(vec![reply(200, VALUE), answer]).await;
        let mut store = api.store();
        store.call(StoreCall::Get).await;
        let StoreReply::PutFailed(failure) = store.call(put()).await else { panic!("not {expected}") };
        let text = format!("{failure:?}");
        assert!(text.starts_with(expected), "{text}, not {expected}");
        assert_eq!(api.seen().len(), 2, "no write is sent twice");
    }
    let unsuccessful = WRITTEN.replace("_keys\":[", "_keys\":[\"mesh:v1:prod\"");
    check(reply(200, &unsuccessful), "Limited { retry_after_s: 1 }").await;
    check(
        Reply { headers: vec![("retry-after", "300")], ..reply(429, "") },
        "Limited { retry_after_s: 300 }",
    )
    .await;
    check(reply(200, r#"{"success":false,"errors":[],"result":null}"#), "Failed").await;
    check(reply(403, ""), "Failed").await;
    check(reply(500, ""), "Failed").await;
    check(reply(200, "<html>"), "Unknown").await;
    check(Reply { silent: true, ..reply(200, "") }, "Unknown").await;
}

#[tokio::test]
async fn nothing_is_written_5_s_after_the_read() {
    let api = Api::start(vec![reply(200, VALUE), reply(200, WRITTEN)]).await;
    let Store::Cloudflare(mut kv) = api.store() else { panic!("not Cloudflare") };
    kv.get().await;
    kv.age_read(Duration::from_secs(6));
    assert_eq!(kv.put(VALUE.as_bytes()).await, StoreReply::PutFailed(StoreFailure::TooLate));
    assert_eq!(api.seen().len(), 1);
}

#[tokio::test]
async fn nothing_is_written_over_another_connection() {
    let api = Api::start(vec![Reply { hang_up: true, ..reply(200, VALUE) }, reply(200, WRITTEN)]).await;
    let Store::Cloudflare(mut kv) = api.store() else { panic!("not Cloudflare") };
    assert!(matches!(kv.get().await, StoreReply::Found { .. }));
    let closed = async {
        while !kv.is_disconnected() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), closed).await.unwrap();
    assert_eq!(kv.put(VALUE.as_bytes()).await, StoreReply::PutFailed(StoreFailure::TooLate));
    assert_eq!(api.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_api_that_never_answers_has_failed_after_10_s() {
    // The kernel completes the connection, and nobody ever reads from it.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let api = format!("http://{}", listener.local_addr().unwrap());
    let location = "cloudflare:a/n".parse().unwrap();
    let mut store = Store::open(&location, "prod", Some(&api), Some("secret")).unwrap();
    let reply = store.call(StoreCall::Get).await;
    assert_eq!(reply, StoreReply::GetFailed(StoreFailure::Failed("no answer within 10s".into())));
}

#[tokio::test]
async fn a_closed_port_is_a_failure_that_names_it() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let location = "cloudflare:a/n".parse().unwrap();
    let mut store =
        Store::open(&location, "prod", Some(&format!("http://{address}")), Some("secret")).unwrap();
    let StoreReply::GetFailed(StoreFailure::Failed(reason)) = store.call(StoreCall::Get).await else {
        panic!("it did not fail")
    };
    assert!(reason.contains(&address.to_string()), "{reason}");
}

#[test]
fn the_token_is_not_shown() {
    let location = "cloudflare:a/n".parse().unwrap();
    let store = Store::open(&location, "prod", None, Some("secret")).unwrap();
    assert!(!format!("{store:?}").contains("secret"));
}

#[test]
fn a_wrong_base_url_or_token_is_named() {
    let check = |api: Option<&str>, token: Option<&str>, expected: &str| {
        let location = "cloudflare:a/n".parse().unwrap();
        let error = Store::open(&location, "prod", api, token).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(None, None, "CLOUDFLARE_API_TOKEN");
    check(None, Some(" \n"), "CLOUDFLARE_API_TOKEN");
    check(None, Some("a\nb"), "CLOUDFLARE_API_TOKEN");
    check(Some("ftp://x"), Some("t"), "ftp://x");
    check(Some("mailto:x"), Some("t"), "mailto:x");
}

#[tokio::test]
async fn a_file_is_absent_then_holds_what_was_written_last() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("new").join("summary.json");
    let mut store = Store::open(&StoreLocation::File(path.clone()), "prod", None, None).unwrap();
    let before = clock_seconds();
    let StoreReply::NotFound { now } = store.call(StoreCall::Get).await else { panic!("it is there") };
    assert!((before..=clock_seconds()).contains(&now));
    for value in ["first", "second"] {
        assert_eq!(store.call(StoreCall::Put { value: value.into() }).await, StoreReply::Stored);
        let StoreReply::Found { value: found, .. } = store.call(StoreCall::Get).await else { panic!("gone") };
        assert_eq!(found, value.as_bytes());
    }
    let left: Vec<_> = std::fs::read_dir(path.parent().unwrap()).unwrap().collect();
    assert_eq!(left.len(), 1, "temporary files stay behind: {left:?}");
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let mut store =
        Store::open(&StoreLocation::File(directory.path().to_owned()), "prod", None, None).unwrap();
    let path = directory.path().display().to_string();
    for call in [StoreCall::Get, put()] {
        let (StoreReply::GetFailed(failure) | StoreReply::PutFailed(failure)) = store.call(call).await else {
            panic!("a directory was taken for a file")
        };
        assert!(failure.to_string().contains(&path), "{failure}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_that_never_answers_has_failed_after_10_s() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).unwrap();
    let mut store = Store::open(&StoreLocation::File(path.clone()), "prod", None, None).unwrap();
    // While a thread is at work, time that is paused does not go on by itself.
    let time = async {
        tokio::task::yield_now().await;
        tokio::time::advance(TIMEOUT).await;
    };
    let (reply, ()) = tokio::join!(store.call(StoreCall::Get), time);
    // Lets the thread that reads go on, or the test would not end.
    drop(std::fs::OpenOptions::new().write(true).open(&path).unwrap());
    let StoreReply::GetFailed(failure) = reply else { panic!("{reply:?}") };
    assert!(failure.to_string().contains("no answer within 10s"), "{failure}");
}

#[test]
fn a_location_is_read_and_a_wrong_one_is_refused_with_what_is_accepted() {
    let good = |text: &str, remote: bool| {
        let location: StoreLocation = text.parse().unwrap();
        assert_eq!((location.to_string().as_str(), location.is_remote()), (text, remote));
    };
    good("file:/var/lib/summary.json", false);
    good("file:summary.json", false);
    good("cloudflare:0123abcd/ns", true);
    let bad = |text: &str| {
        let error = text.parse::<StoreLocation>().unwrap_err().to_string();
        assert!(error.contains(&format!("'{text}'")) && error.contains("file:PATH"), "{error}");
    };
    for text in
        ["", "file:", "file:/tmp/", "/tmp/x", "redis:x", "cloudflare:a", "cloudflare:a/", "cloudflare:a/../b"]
    {
        bad(text);
    }
}

#[test]
fn the_same_place_has_the_same_id_and_another_one_has_not() {
    let id = |text: &str| text.parse::<StoreLocation>().unwrap().id();
    let here = std::env::current_dir().unwrap();
    assert_eq!(id("file:summary.json"), id(&format!("file:{}/./summary.json", here.display())));
    assert_ne!(id("file:/tmp/a"), id("file:/tmp/b"));
    assert_eq!(id("cloudflare:a/b"), id("cloudflare:a/b"));
    assert_ne!(id("cloudflare:a/b"), id("cloudflare:a/c"));
}

fn clock_seconds() -> u64 {
    crate::clock::unix_now().as_secs()
}

#[test]
fn the_date_of_the_tests_is_what_it_says() {
    let time = httpdate::parse_http_date(DATE).unwrap();
    assert_eq!(time.duration_since(UNIX_EPOCH).unwrap().as_secs(), DATE_UNIX);
}
