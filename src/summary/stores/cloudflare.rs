//! The store that is a key of Cloudflare Workers KV, over its REST API.

use std::fmt;
use std::time::SystemTime;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HOST, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{HeaderMap, Method, Request, StatusCode};
use serde::{Deserialize, Serialize};
use url::Url;

use super::super::{StoreFailure, StoreReply};
use super::TIMEOUT;
use super::connection::{Answer, Connection, ConnectionError, authority};
use crate::clock;
use crate::time::Duration;

/// Where the API is unless configured otherwise.
const API: &str = "https://api.cloudflare.com/client/v4";

/// A value that was read longer ago is too old to be written over.
const FRESH: Duration = Duration::from_secs(5);

/// How long the store keeps a value, in seconds.
const TTL: u32 = 7 * 86_400;

/// "Key not found"; every other code of a 404 means that something is configured wrongly.
const KEY_NOT_FOUND: u64 = 10_009;

/// "Namespace not found".
const NAMESPACE_NOT_FOUND: u64 = 10_013;

/// "Authentication error".
const UNAUTHENTICATED: u64 = 10_000;

/// A summary in a Workers KV namespace.
pub struct Cloudflare {
    /// Of the namespace.
    base: Url,
    key: String,
    authorization: HeaderValue,
    read: Option<Read>,
}

/// The read before a write.
struct Read {
    connection: Connection,
    /// By a clock that runs during a suspend.
    at: Duration,
}

/// The store cannot be used as configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidApi {
    /// The base URL is none.
    #[error("'{0}' is not the base URL of an API; accepted are http and https URLs")]
    Url(String),
    /// There is no token, or one with characters that no header may have.
    #[error("CLOUDFLARE_API_TOKEN is not set to a token; accepted are printable ASCII characters")]
    Token,
}

impl Cloudflare {
    /// The key of `cluster` in this namespace; `api` is another base URL than Cloudflare's.
    pub fn new(
        account: &str,
        namespace: &str,
        cluster: &str,
        api: Option<&str>,
        token: &str,
    ) -> Result<Self, InvalidApi> {
        let api = api.unwrap_or(API);
        let invalid = || InvalidApi::Url(api.chars().take(200).collect());
        let mut base: Url = api.parse().map_err(|_| invalid())?;
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
            return Err(invalid());
        }
        base.path_segments_mut().map_err(|()| invalid())?.pop_if_empty().extend([
            "accounts",
            account,
            "storage",
            "kv",
            "namespaces",
            namespace,
        ]);
        let token = token.trim();
        let mut authorization =
            HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| InvalidApi::Token)?;
        if token.is_empty() {
            return Err(InvalidApi::Token);
        }
        authorization.set_sensitive(true);
        Ok(Self { base, key: format!("mesh:v1:{cluster}"), authorization, read: None })
    }

    pub(super) async fn get(&mut self) -> StoreReply {
        self.read = None;
        match tokio::time::timeout(TIMEOUT, self.fetch()).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(failure)) => StoreReply::GetFailed(failure),
            Err(_) => StoreReply::GetFailed(no_answer()),
        }
    }

    async fn fetch(&mut self) -> Result<StoreReply, StoreFailure> {
        let failed = |error: ConnectionError| StoreFailure::Failed(error.to_string());
        let mut connection = Connection::open(&self.base).await.map_err(failed)?;
        let at = clock::since_boot();
        let path = format!("{}/values/{}", self.base.path(), percent_encoded(&self.key));
        let request = self.request(Method::GET, &path, Bytes::new())?;
        let answer = connection.send(request).await.map_err(failed)?;
        let reply = match answer.status {
            StatusCode::OK => StoreReply::Found { now: date(&answer.headers)?, value: answer.body.to_vec() },
            StatusCode::NOT_FOUND if error_code(&answer) == Some(KEY_NOT_FOUND) => {
                StoreReply::NotFound { now: date(&answer.headers)? }
            }
            _ => return Err(failure(&answer)),
        };
        self.read = Some(Read { connection, at });
        Ok(reply)
    }

    pub(super) async fn put(&mut self, value: &[u8]) -> StoreReply {
        // The connection is used for one write at most.
        let Some(mut read) = self.read.take() else { return StoreReply::PutFailed(StoreFailure::TooLate) };
        let request = match self.bulk(value) {
            Ok(request) => request,
            Err(failure) => return StoreReply::PutFailed(failure),
        };
        if clock::since_boot().saturating_sub(read.at) > FRESH {
            return StoreReply::PutFailed(StoreFailure::TooLate);
        }
        match tokio::time::timeout(TIMEOUT, read.connection.send(request)).await {
            Ok(Ok(answer)) => written(&answer),
            Ok(Err(ConnectionError::NotSent | ConnectionError::NotConnected { .. })) => {
                StoreReply::PutFailed(StoreFailure::TooLate)
            }
            Ok(Err(ConnectionError::NoAnswer(reason))) => {
                StoreReply::PutFailed(StoreFailure::Unknown(reason))
            }
            Err(_) => StoreReply::PutFailed(StoreFailure::Unknown(format!("no answer within {TIMEOUT:?}"))),
        }
    }

    fn bulk(&self, value: &[u8]) -> Result<Request<Full<Bytes>>, StoreFailure> {
        let text = str::from_utf8(value).map_err(|e| StoreFailure::Failed(e.to_string()))?;
        let metadata = serde_json::from_slice(value).ok();
        let items = [Item { key: &self.key, value: text, expiration_ttl: TTL, metadata }];
        let body = serde_json::to_vec(&items).map_err(|e| StoreFailure::Failed(e.to_string()))?;
        self.request(Method::PUT, &format!("{}/bulk", self.base.path()), body.into())
    }

    fn request(&self, method: Method, path: &str, body: Bytes) -> Result<Request<Full<Bytes>>, StoreFailure> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, authority(&self.base))
            .header(USER_AGENT, concat!("meshnode/", env!("CARGO_PKG_VERSION")))
            .header(AUTHORIZATION, self.authorization.clone());
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        request.body(Full::new(body)).map_err(|e| StoreFailure::Failed(e.to_string()))
    }

    #[cfg(test)]
    pub(super) fn is_disconnected(&self) -> bool {
        self.read.as_ref().is_none_or(|read| read.connection.is_closed())
    }

    /// Lets the last read look older than it is.
    #[cfg(test)]
    pub(super) fn age_read(&mut self, by: Duration) {
        if let Some(read) = &mut self.read {
            read.at = read.at.saturating_sub(by);
        }
    }
}

impl fmt::Debug for Cloudflare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cloudflare").field("base", &self.base.as_str()).field("key", &self.key).finish()
    }
}

/// One pair of a bulk write.
#[derive(Serialize)]
struct Item<'a> {
    key: &'a str,
    value: &'a str,
    expiration_ttl: u32,
    metadata: Option<Metadata>,
}

/// The essence of a value, which a listing of the namespace shows.
#[derive(Serialize, Deserialize)]
struct Metadata {
    v: u32,
    term: u64,
    seq: u64,
}

/// The API's answers, but for values.
#[derive(Deserialize)]
struct Envelope {
    success: bool,
    #[serde(default)]
    errors: Vec<ApiError>,
    result: Option<BulkResult>,
}

#[derive(Deserialize)]
struct ApiError {
    code: u64,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct BulkResult {
    #[serde(default)]
    unsuccessful_keys: Vec<String>,
}

fn envelope(answer: &Answer) -> Option<Envelope> {
    serde_json::from_slice(&answer.body).ok()
}

fn error_code(answer: &Answer) -> Option<u64> {
    envelope(answer)?.errors.first().map(|error| error.code)
}

fn written(answer: &Answer) -> StoreReply {
    if answer.status != StatusCode::OK {
        return StoreReply::PutFailed(failure(answer));
    }
    match envelope(answer) {
        Some(Envelope { success: true, result, .. }) => {
            if result.is_none_or(|result| result.unsuccessful_keys.is_empty()) {
                StoreReply::Stored
            } else {
                // The key is written more often than once a second.
                StoreReply::PutFailed(StoreFailure::Limited { retry_after_s: 1 })
            }
        }
        Some(Envelope { success: false, .. }) => StoreReply::PutFailed(failure(answer)),
        None => StoreReply::PutFailed(StoreFailure::Unknown("the answer is not the API's".into())),
    }
}

fn failure(answer: &Answer) -> StoreFailure {
    if answer.status == StatusCode::TOO_MANY_REQUESTS {
        return StoreFailure::Limited { retry_after_s: retry_after(&answer.headers).unwrap_or(1) };
    }
    let reasons: Vec<String> = envelope(answer)
        .map(|envelope| envelope.errors)
        .unwrap_or_default()
        .into_iter()
        .take(4)
        .map(|error| format!(", {} ({})", error.message.chars().take(200).collect::<String>(), error.code))
        .collect();
    let remedy = remedy(answer.status, error_code(answer)).unwrap_or_default();
    StoreFailure::Failed(format!("the API answered {}{}{remedy}", answer.status, reasons.concat()))
}

/// What an operator can do about an answer.
const fn remedy(status: StatusCode, code: Option<u64>) -> Option<&'static str> {
    match (status, code) {
        (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) | (_, Some(UNAUTHENTICATED)) => Some(
            "; CLOUDFLARE_API_TOKEN needs the permission Workers KV Storage Write for the account in --store",
        ),
        (_, Some(NAMESPACE_NOT_FOUND)) => {
            Some("; --store cloudflare:ACCOUNT/NAMESPACE takes the namespace's id, not its name")
        }
        _ => None,
    }
}

/// Seconds to wait: a number, or a date (RFC 9110, 10.2.3), which the answer's own `Date` makes one.
fn retry_after(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    text.parse().ok().or_else(|| Some(unix(text)?.saturating_sub(date(headers).ok()?)))
}

fn no_answer() -> StoreFailure {
    StoreFailure::Failed(format!("no answer within {TIMEOUT:?}"))
}

/// The store's clock, in unix seconds.
fn date(headers: &HeaderMap) -> Result<u64, StoreFailure> {
    headers.get(DATE).and_then(|value| unix(value.to_str().ok()?)).ok_or_else(|| {
        StoreFailure::Failed("the answer has no Date, so the budget's day is not known".into())
    })
}

fn unix(http_date: &str) -> Option<u64> {
    let time = httpdate::parse_http_date(http_date).ok()?;
    Some(time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs())
}

/// Everything but unreserved characters (RFC 3986) as `%XX`.
fn percent_encoded(text: &str) -> String {
    use fmt::Write;
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _infallible = write!(out, "%{byte:02X}");
        }
        out
    })
}
