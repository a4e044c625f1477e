//! A stand-in for the REST API of Cloudflare Workers KV, with a clock of its own, counters and faults.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::header::{AUTHORIZATION, DATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::tls::Authority;

/// 2026-11-23 10:10:00 UTC: far from the end of a slot and of a day, so that no test depends on when it runs.
const CLOCK: Duration = Duration::from_secs(1_795_428_600);

/// A running fake; dropping it closes its port.
#[derive(Debug)]
pub(crate) struct FakeKv {
    url: String,
    state: Shared,
    _server: Option<AbortOnDropHandle<()>>,
}

type Shared = Arc<Mutex<Namespace>>;

#[derive(Debug, Default)]
struct Namespace {
    value: Option<String>,
    writes: Vec<Write>,
    reads: u32,
    fault: Option<StatusCode>,
    tokens: Vec<String>,
}

/// One pair of a bulk write.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    pub(crate) key: String,
    pub(crate) value: Value,
    pub(crate) expiration_ttl: u64,
}

impl FakeKv {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let state = Shared::default();
        let router = router(Arc::clone(&state));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/client/v4", listener.local_addr()?);
        let server = tokio::spawn(async move {
            // It ends only with the test.
            let _ended = axum::serve(listener, router).await;
        });
        Ok(Self { url, state, _server: Some(AbortOnDropHandle::new(server)) })
    }

    /// The same behind TLS, as the real API is; it speaks HTTP/2 as well.
    pub(crate) async fn start_tls(authority: &Authority) -> anyhow::Result<Self> {
        let state = Shared::default();
        let addr = authority.serve_router(&["h2", "http/1.1"], router(Arc::clone(&state))).await?;
        Ok(Self { url: format!("https://{addr}/client/v4"), state, _server: None })
    }

    /// For `--cloudflare-api`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// All later calls fail with this status.
    pub(crate) fn fail_with(&self, status: StatusCode) {
        lock(&self.state).fault = Some(status);
    }

    /// The writes that were applied.
    pub(crate) fn writes(&self) -> Vec<Write> {
        lock(&self.state).writes.clone()
    }

    /// How often the value was asked for.
    pub(crate) fn reads(&self) -> u32 {
        lock(&self.state).reads
    }

    /// The `Authorization` headers of all calls, without repetitions.
    pub(crate) fn tokens(&self) -> Vec<String> {
        lock(&self.state).tokens.clone()
    }
}

fn router(state: Shared) -> Router {
    let base = "/client/v4/accounts/{account}/storage/kv/namespaces/{namespace}";
    Router::new()
        .route(&format!("{base}/values/{{key}}"), get(read))
        .route(&format!("{base}/bulk"), put(write))
        .with_state(state)
}

async fn read(
    State(state): State<Shared>,
    Path((_, _, _key)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Response {
    let mut namespace = lock(&state);
    namespace.reads += 1;
    namespace.remember(&headers);
    match (namespace.fault, &namespace.value) {
        (Some(status), _) => failure(status, 10_000),
        (None, None) => failure(StatusCode::NOT_FOUND, 10_009),
        (None, Some(value)) => dated(StatusCode::OK, value.clone()),
    }
}

async fn write(State(state): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let mut namespace = lock(&state);
    namespace.remember(&headers);
    if let Some(status) = namespace.fault {
        return failure(status, 10_000);
    }
    let Ok(pairs) = serde_json::from_slice::<Vec<Value>>(&body) else {
        return failure(StatusCode::BAD_REQUEST, 10_001);
    };
    for pair in &pairs {
        let value = pair["value"].as_str().unwrap_or_default();
        namespace.value = Some(value.to_owned());
        namespace.writes.push(Write {
            key: pair["key"].as_str().unwrap_or_default().to_owned(),
            value: serde_json::from_str(value).unwrap_or_default(),
            expiration_ttl: pair["expiration_ttl"].as_u64().unwrap_or_default(),
        });
    }
    let result = json!({"successful_key_count": pairs.len(), "unsuccessful_keys": []});
    dated(
        StatusCode::OK,
        json!({"success": true, "errors": [], "messages": [], "result": result}).to_string(),
    )
}

impl Namespace {
    fn remember(&mut self, headers: &HeaderMap) {
        let token = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !self.tokens.iter().any(|known| known == token) {
            self.tokens.push(token.to_owned());
        }
    }
}

fn failure(status: StatusCode, code: u32) -> Response {
    let errors = json!([{"code": code, "message": "made up by a test"}]);
    dated(status, json!({"success": false, "errors": errors, "messages": [], "result": null}).to_string())
}

/// An answer with the fake's own clock.
fn dated(status: StatusCode, body: String) -> Response {
    let date = httpdate::fmt_http_date(std::time::UNIX_EPOCH + CLOCK);
    (status, [(DATE, date)], body).into_response()
}

fn lock(state: &Mutex<Namespace>) -> std::sync::MutexGuard<'_, Namespace> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
