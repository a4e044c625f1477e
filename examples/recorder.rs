//! A service on hyper for the tests of real clients: records every request on standard output, and answers as its path says.

use std::convert::Infallible;
use std::io::Write as _;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// What is echoed of a body.
const KEPT: usize = 65536;

/// What is recorded of a body.
const RECORDED: usize = 1024;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    say(&listener.local_addr()?.port().to_string())?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            let mut server = auto::Builder::new(TokioExecutor::new());
            server.http1().max_buf_size(512 * 1024);
            let service = service_fn(|request| async { Ok::<_, Infallible>(answer(request).await) });
            if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
                let _ =
                    say(&json!({"server": "hyper", "event": "malformed", "code": error.to_string()})
                        .to_string());
            }
        });
    }
}

fn say(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

async fn answer(request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let headers: Vec<[String; 2]> = head
        .headers
        .iter()
        .map(|(name, value)| {
            [name.to_string(), value.as_bytes().iter().map(|byte| char::from(*byte)).collect()]
        })
        .collect();
    let case = head.headers.get("x-case").cloned().unwrap_or(HeaderValue::from_static(""));
    let target = head.uri.to_string();
    let mut note = json!({
        "server": "hyper", "event": "head", "method": head.method.as_str(), "target": target,
        "case": String::from_utf8_lossy(case.as_bytes()), "headers": headers,
    });
    let _ = say(&note.to_string());
    let Ok(body) = body.collect().await.map(|body| body.to_bytes()) else {
        return reply(StatusCode::BAD_REQUEST, Bytes::new(), case);
    };
    let kept = body.slice(..body.len().min(KEPT));
    note["event"] = "request".into();
    note["length"] = body.len().into();
    note["body"] = Value::String(kept.iter().take(RECORDED).map(|byte| char::from(*byte)).collect());
    let _ = say(&note.to_string());
    let path = head.uri.path();
    if path == "/echo" {
        return reply(StatusCode::OK, kept, case);
    }
    if let Some(status) = path.strip_prefix("/status/").and_then(|status| status.parse().ok()) {
        let is_bare =
            matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED);
        return reply(status, if is_bare { Bytes::new() } else { Bytes::from_static(b"status\n") }, case);
    }
    if path == "/empty" {
        return reply(StatusCode::OK, Bytes::new(), case);
    }
    reply(StatusCode::OK, format!("{} {target} {}\n", head.method, body.len()).into(), case)
}

fn reply(status: StatusCode, body: Bytes, case: HeaderValue) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert("x-seen", case);
    response
}
