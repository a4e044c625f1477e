//! The access log: what a line says, of requests that went well, that were refused, and that broke off.

use std::path::Path;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::harness::*;
use crate::router::proxy::AccessLog;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_line_tells_who_asked_who_served_and_how_long_it_took() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    let log = AccessLog::open(path.to_str().unwrap()).await.unwrap();
    let nodes = mesh_logged(vec![vec![], vec![service("echo", echo().await)]], log).await;
    let headers = format!("user-agent: probe/1\r\ntraceparent: 00-{TRACE}-b7ad6b7169203331-00\r\n");
    ask(nodes[0].ingress, "POST /api/service/echo/x?secret=1", &headers, "hello").await;
    ask(nodes[0].ingress, "GET /nothing", "", "").await;
    eventually("two lines", || lines(&path).len() == 2).await;
    let lines = lines(&path);
    let line = &lines[0];
    assert_eq!(line["path"], "/api/service/echo/x", "no query: it may hold secrets");
    for (field, value) in [
        ("method", "POST"),
        ("host", "here"),
        ("protocol", "HTTP/1.1"),
        ("client", "127.0.0.1"),
        ("service", "echo"),
        ("worker", &nodes[1].id.to_string()),
        ("user_agent", "probe/1"),
        ("trace_id", TRACE),
    ] {
        assert_eq!(line[field], value, "{field}");
    }
    let number = |field: &str| line[field].as_f64().unwrap();
    assert_eq!((number("status"), number("attempts"), number("bytes_in")), (200.0, 1.0, 5.0));
    assert!(number("bytes_out") > 10.0 && line["error"].is_null(), "{line}");
    assert!(0.0 < number("ttfb_ms") && number("ttfb_ms") <= number("duration_ms"), "{line}");
    assert!(line["time"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{line}");
    assert_eq!((&lines[1]["status"], &lines[1]["error"]), (&404.into(), &"not_found".into()));
    assert!(lines[1]["service"].is_null() && lines[1]["worker"].is_null(), "{}", lines[1]);
}

#[tokio::test]
async fn a_client_that_goes_away_before_the_answer_leaves_a_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    let log = AccessLog::open(path.to_str().unwrap()).await.unwrap();
    let silent = backend(|_| std::future::pending::<Response<Full<Bytes>>>()).await;
    let nodes = mesh_logged(vec![vec![service("silent", silent)]], log).await;
    let mut client = TcpStream::connect(nodes[0].ingress).await.unwrap();
    client.write_all(b"GET /api/service/silent/ HTTP/1.1\r\nhost: here\r\n\r\n").await.unwrap();
    eventually("under way", || nodes[0].proxy.in_flight() == 1).await;
    drop(client);
    eventually("a line", || lines(&path).len() == 1).await;
    let line = &lines(&path)[0];
    assert!(line["status"].is_null() && line["error"] == "cancelled", "{line}");
}

#[tokio::test]
async fn a_log_that_was_moved_away_is_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let (path, old) = (directory.path().join("access.log"), directory.path().join("access.log.1"));
    let log = AccessLog::open(path.to_str().unwrap()).await.unwrap();
    let nodes = mesh_logged(vec![vec![]], log).await;
    ask(nodes[0].ingress, "GET /before", "", "").await;
    eventually("the first line", || lines(&path).len() == 1).await;
    std::fs::rename(&path, &old).unwrap();
    nodes[0].proxy.reopen_access_log();
    ask(nodes[0].ingress, "GET /after", "", "").await;
    eventually("a line in the new file", || lines(&path).len() == 1).await;
    assert_eq!((&lines(&old)[0]["path"], &lines(&path)[0]["path"]), (&"/before".into(), &"/after".into()));
}
