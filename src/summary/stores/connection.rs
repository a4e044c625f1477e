//! One HTTP/1.1 connection that is never reopened: the write goes over the connection of its read.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{HeaderMap, Request, StatusCode};
use hyper_rustls::ConfigBuilderExt;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use url::{Host, Url};

use super::MAX_ANSWER_LEN;

/// A connection to the store's API.
#[derive(Debug)]
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    task: JoinHandle<()>,
}

/// A complete answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    /// The request surely was not sent.
    #[error("the connection is gone")]
    NotSent,
    /// The request was sent, but the answer did not come or is not whole.
    #[error("{0}")]
    NoAnswer(String),
    /// There is no connection.
    #[error("cannot connect to {to}: {reason}")]
    NotConnected { to: String, reason: String },
}

impl Connection {
    /// Connects to the host and port of `url`, over TLS when its scheme is `https`.
    pub(super) async fn open(url: &Url) -> Result<Self, ConnectionError> {
        let failed = |reason: String| ConnectionError::NotConnected { to: authority(url), reason };
        let host = match url.host() {
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(ip)) => ip.to_string(),
            Some(Host::Ipv6(ip)) => ip.to_string(),
            None => return Err(failed("the URL has no host".into())),
        };
        let port = url.port_or_known_default().unwrap_or(443);
        let tcp = TcpStream::connect((host.as_str(), port)).await.map_err(|e| failed(e.to_string()))?;
        tcp.set_nodelay(true).map_err(|e| failed(e.to_string()))?;
        if url.scheme() == "http" {
            return Self::over(tcp).await.map_err(failed);
        }
        let config = tls_config().map_err(failed)?;
        let name = ServerName::try_from(host).map_err(|e| failed(e.to_string()))?;
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let tls = connector.connect(name, tcp).await.map_err(|e| failed(e.to_string()))?;
        Self::over(tls).await.map_err(failed)
    }

    async fn over(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Self, String> {
        let (sender, connection) = http1::handshake(TokioIo::new(io)).await.map_err(|e| e.to_string())?;
        let task = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the connection to the summary's store broke");
            }
        });
        Ok(Self { sender, task })
    }

    /// Sends one request and reads the whole answer; never tries again.
    pub(super) async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, ConnectionError> {
        if self.sender.ready().await.is_err() {
            return Err(ConnectionError::NotSent);
        }
        let response = self.sender.try_send_request(request).await.map_err(|mut error| {
            // hyper hands the request back when it did not begin to write it.
            match error.take_message() {
                Some(_) => ConnectionError::NotSent,
                None => ConnectionError::NoAnswer(error.into_error().to_string()),
            }
        })?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_ANSWER_LEN).collect().await;
        let body = body.map_err(|error| ConnectionError::NoAnswer(error.to_string()))?.to_bytes();
        Ok(Answer { status: head.status, headers: head.headers, body })
    }

    /// Whether the other side has closed it.
    #[cfg(test)]
    pub(super) fn is_closed(&self) -> bool {
        self.task.is_finished()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Host and port as the `Host` header shows them.
pub(super) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn tls_config() -> Result<rustls::ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?;
    let mut config = builder.with_native_roots().map_err(|e| e.to_string())?.with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
