//! A small HTTP client for the admin API, the ingress and the sample services.

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::de::DeserializeOwned;

use crate::admin::model::{Leader, Services, Worker};
use crate::time::Duration;

/// For one call, from the connection to the end of the answer's body.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// No answer that is looked at here comes near it.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// Calls nodes and services over HTTP/1.1. Cloning shares its connections.
#[derive(Debug, Clone)]
pub struct Client {
    inner: hyper_util::client::legacy::Client<HttpConnector, Full<Bytes>>,
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl Client {
    /// A client without connections.
    pub fn new() -> Self {
        let inner = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .build_http();
        Self { inner }
    }

    /// One GET.
    pub async fn get(&self, url: &str) -> anyhow::Result<Answer> {
        self.send(Method::GET, url, &[], Bytes::new()).await
    }

    /// One request with these headers and this body; any status is an answer.
    pub async fn send(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> anyhow::Result<Answer> {
        let mut request = Request::builder().method(method.clone()).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into()))?;
        tokio::time::timeout(CALL_TIMEOUT, self.exchange(request))
            .await
            .with_context(|| format!("{method} {url}: no answer within {} s", CALL_TIMEOUT.as_secs()))?
            .with_context(|| format!("{method} {url}"))
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> anyhow::Result<Answer> {
        let (head, body) = self.inner.request(request).await?.into_parts();
        let body = match Limited::new(body, ANSWER_BYTES_MAX).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => bail!("the answer's body: {error}"),
        };
        Ok(Answer { status: head.status, headers: head.headers, body })
    }
}

impl Answer {
    /// The body as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> anyhow::Result<T> {
        serde_json::from_slice(&self.body).with_context(|| format!("not as expected: {}", self.text()))
    }

    /// The body as text, for messages.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).chars().take(500).collect()
    }

    /// A header's value; empty when it is absent or not text.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// The admin API of one node.
#[derive(Debug, Clone)]
pub struct Admin {
    client: Client,
    url: String,
}

impl Admin {
    /// The admin API at this URL.
    pub fn new(client: Client, url: impl Into<String>) -> Self {
        Self { client, url: url.into() }
    }

    /// All workers that the node knows.
    pub async fn workers(&self) -> anyhow::Result<Vec<Worker>> {
        self.get_json("/api/admin/workers").await
    }

    /// All services that the node knows, by name.
    pub async fn services(&self) -> anyhow::Result<Services> {
        self.get_json("/api/admin/services").await
    }

    /// The leader that the node knows.
    pub async fn leader(&self) -> anyhow::Result<Leader> {
        self.get_json("/api/admin/leader").await
    }

    /// Whether the node says that it is part of its mesh and serves.
    pub async fn is_ready(&self) -> anyhow::Result<bool> {
        Ok(self.client.get(&format!("{}/readyz", self.url)).await?.status == StatusCode::OK)
    }

    /// One GET that must succeed.
    pub async fn get_json<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let answer = self.client.get(&format!("{}{path}", self.url)).await?;
        if answer.status != StatusCode::OK {
            bail!("GET {}{path}: {} {}", self.url, answer.status, answer.text());
        }
        answer.json().with_context(|| format!("GET {}{path}", self.url))
    }
}
