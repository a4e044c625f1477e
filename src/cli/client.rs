//! The client of the admin API.

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::crypto::aws_lc_rs;
use tokio::time::timeout;
use url::Url;

use super::connection::Connection;
use super::table::printable;
use crate::admin::model::ApiError;
use crate::admin::{Token, TokenError};

/// For the connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// For a whole answer, or the head of a stream.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// The largest answer, in bytes: ten thousand workers with a few services each.
const MAX_ANSWER_LEN: usize = 64 << 20;

/// The node did not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The flags are no good.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// No root certificates are found on this machine.
    #[error("--admin {url}: cannot use https: {error}")]
    Tls {
        /// The node.
        url: Url,
        /// Why.
        error: std::io::Error,
    },
    /// Nobody listens there.
    #[error("no node answers at {url}; is `meshnode run` up? see --admin ({reason})")]
    Unreachable {
        /// The node.
        url: Url,
        /// Why.
        reason: String,
    },
    /// The connection broke, or what came was no HTTP.
    #[error("{url} broke off: {reason}")]
    BrokenOff {
        /// The node.
        url: Url,
        /// Why.
        reason: String,
    },
    /// It took too long.
    #[error("{url} did not answer within {} s", ANSWER_TIMEOUT.as_secs())]
    TimedOut {
        /// The node.
        url: Url,
    },
    /// The node said no.
    #[error("{url} answered {status}: {error}")]
    Refused {
        /// The node.
        url: Url,
        /// The status.
        status: StatusCode,
        /// What it says.
        error: String,
    },
    /// The answer is not what this release expects.
    #[error("cannot read the node's answer ({0}); is --admin a meshnode of this version? see --json")]
    Unreadable(serde_json::Error),
}

impl ClientError {
    /// 2 when the flags are to blame, else 1.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Token(_) => 2,
            Self::Tls { .. }
            | Self::Unreachable { .. }
            | Self::BrokenOff { .. }
            | Self::TimedOut { .. }
            | Self::Refused { .. }
            | Self::Unreadable(_) => 1,
        }
    }
}

/// The client of one node's admin API.
#[derive(Debug)]
pub(super) struct Client {
    url: Url,
    token: Option<Token>,
    http: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Client {
    pub(super) fn new(connection: &Connection) -> Result<Self, ClientError> {
        let url = connection.admin.clone();
        let token = connection.admin_token_file.as_deref().map(Token::read).transpose()?;
        let connector = connector(&url).map_err(|error| ClientError::Tls { url: url.clone(), error })?;
        let http = legacy::Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { url, token, http })
    }

    /// The JSON at `/api/admin/` and these segments.
    pub(super) async fn get(&self, path: &[&str]) -> Result<Bytes, ClientError> {
        self.answer(self.request(Method::GET, path)).await
    }

    /// The answer to a change without a body.
    pub(super) async fn post(&self, path: &[&str]) -> Result<Bytes, ClientError> {
        let mut request = self.request(Method::POST, path);
        if let Ok(request) = request.as_mut() {
            request.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
        }
        self.answer(request).await
    }

    /// The body of an answer that goes on.
    pub(super) async fn stream(&self, path: &[&str]) -> Result<Incoming, ClientError> {
        let response = self.in_time(self.send(self.request(Method::GET, path))).await?;
        Ok(response.into_body())
    }

    /// Why a stream broke off.
    pub(super) fn broken_off(&self, reason: &(dyn std::error::Error + 'static)) -> ClientError {
        ClientError::BrokenOff { url: self.url.clone(), reason: root_cause(reason) }
    }

    fn request(&self, method: Method, path: &[&str]) -> http::Result<Request<Full<Bytes>>> {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "admin"]).extend(path);
        }
        let mut request = Request::builder().method(method).uri(url.as_str());
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token.authorization());
        }
        request.body(Full::default())
    }

    async fn answer(&self, request: http::Result<Request<Full<Bytes>>>) -> Result<Bytes, ClientError> {
        let whole = async { self.collect(self.send(request).await?).await };
        self.in_time(whole).await
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, ClientError>>) -> Result<T, ClientError> {
        let late = |_| ClientError::TimedOut { url: self.url.clone() };
        timeout(ANSWER_TIMEOUT, work).await.map_err(late)?
    }

    async fn send(
        &self,
        request: http::Result<Request<Full<Bytes>>>,
    ) -> Result<Response<Incoming>, ClientError> {
        let request = request.map_err(|error| self.broken_off(&error))?;
        let response = self.http.request(request).await.map_err(|error| {
            if error.is_connect() {
                ClientError::Unreachable { url: self.url.clone(), reason: root_cause(&error) }
            } else {
                self.broken_off(&error)
            }
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = self.collect(response).await?;
        let error = match serde_json::from_slice::<ApiError>(&body) {
            Ok(answer) => printable(&answer.error),
            Err(_) => "this does not look like a meshnode's admin API; see --admin".to_owned(),
        };
        Err(ClientError::Refused { url: self.url.clone(), status, error })
    }

    async fn collect(&self, response: Response<Incoming>) -> Result<Bytes, ClientError> {
        let body = Limited::new(response.into_body(), MAX_ANSWER_LEN).collect().await;
        Ok(body.map_err(|error| self.broken_off(&*error))?.to_bytes())
    }
}

/// Reads the machine's root certificates only when they are needed.
fn connector(url: &Url) -> std::io::Result<HttpsConnector<HttpConnector>> {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_connect_timeout(Some(CONNECT_TIMEOUT));
    let provider = aws_lc_rs::default_provider();
    let builder = HttpsConnectorBuilder::new();
    let builder = if url.scheme() == "https" {
        builder.with_provider_and_native_roots(provider)?
    } else {
        let config = rustls::ClientConfig::builder_with_provider(provider.into());
        let config = config.with_safe_default_protocol_versions().map_err(std::io::Error::other)?;
        let config = config.with_root_certificates(rustls::RootCertStore::empty());
        builder.with_tls_config(config.with_no_client_auth())
    };
    Ok(builder.https_or_http().enable_http1().wrap_connector(http))
}

/// The innermost cause, which names what happened ("connection refused") and not where.
fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
