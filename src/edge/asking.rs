//! Questions of the edge's own to a node: what it knows of the mesh, and whether it is there at all.

use std::sync::Arc;

use bytes::BytesMut;
use http::header::{HOST, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout};

use super::Edge;
use super::attempt::http1;
use super::nodes::Node;
use super::rule::Mishap;
use crate::router::proxy::body::{ProxyBody, empty};
use crate::router::proxy::headers;
use crate::router::proxy::http1::AnswerBody;
use crate::time::Duration;

/// For a node's summary.
pub(super) const SUMMARY_WITHIN: Duration = Duration::from_millis(1500);

/// For a node's word that it is there.
const HEALTH_WITHIN: Duration = Duration::from_secs(1);

/// The largest summary that is read, in bytes.
const MAX_SUMMARY: usize = 64 * 1024;

/// Who asks, when it is the edge itself.
const OWN_IP: &str = "127.0.0.1";

/// What a node says when it is asked for its summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// One that was taken over, or is known already.
    Summary,
    /// One of another history of the cluster.
    Foreign,
    /// It does not believe the signature.
    Refused(Mishap),
    /// It did not say anything of use, in time.
    Failed,
}

impl Edge {
    /// Asks a node for its summary, and takes it over.
    pub(super) async fn ask(&self, node: &Arc<Node>) -> Asked {
        let asked = timeout(SUMMARY_WITHIN, self.ask_twice(node)).await.unwrap_or(Asked::Failed);
        match asked {
            Asked::Summary => self.directory.answered(node),
            Asked::Foreign => {}
            Asked::Refused(_) | Asked::Failed => {
                tracing::debug!(node = node.url.authority, ?asked, "a node gives no summary");
                self.directory.failed(node);
            }
        }
        asked
    }

    /// Once more, when only the clock was wrong.
    async fn ask_twice(&self, node: &Arc<Node>) -> Asked {
        let asked = self.ask_once(node).await;
        if asked == Asked::Refused(Mishap::Clock) { self.ask_once(node).await } else { asked }
    }

    async fn ask_once(&self, node: &Arc<Node>) -> Asked {
        let Some(answer) = self.get(node, "/.mesh/summary", true).await else { return Asked::Failed };
        let (head, body) = answer.into_parts();
        if head.status != StatusCode::OK {
            return match Mishap::of(head.status, &head.headers) {
                Some(Mishap::Clock) => {
                    self.correct_clock(&head.headers);
                    Asked::Refused(Mishap::Clock)
                }
                Some(Mishap::Signature) => Asked::Refused(Mishap::Signature),
                _ => Asked::Failed,
            };
        }
        let Some(told) = whole(body).await else { return Asked::Failed };
        match self.directory.adopt(&told).await {
            Some(true) => Asked::Summary,
            Some(false) => Asked::Foreign,
            None => Asked::Failed,
        }
    }

    /// Whether a node answers for itself; that it drains is an answer too. Many requests that wait for one node ask once.
    pub(super) async fn is_there(&self, node: &Arc<Node>) -> bool {
        let wondered = Instant::now();
        let mut word = node.word.lock().await;
        if node.is_heard() {
            return true;
        }
        if let Some((at, is_there)) = *word
            && at >= wondered
        {
            return is_there;
        }
        let answer = timeout(HEALTH_WITHIN, self.get(node, "/health", false)).await;
        let status = answer.ok().flatten().map(|answer| answer.status());
        let is_there = matches!(status, Some(StatusCode::OK | StatusCode::SERVICE_UNAVAILABLE));
        if is_there {
            node.heard();
        }
        *word = Some((Instant::now(), is_there));
        is_there
    }

    /// One GET, answered by a node and not by an edge. That a kept connection was closed by its node says nothing of the node.
    async fn get(&self, node: &Arc<Node>, path: &str, signed: bool) -> Option<Response<ProxyBody>> {
        let mut connected = node.connections.connect_apart().await;
        loop {
            let mut connection = http1(node, connected).ok()?;
            match connection.exchange(self.question(node, path, signed)?).await {
                Ok(answer) if answer.headers().contains_key(headers::TRIES) => {
                    tracing::warn!(node = node.url.authority, "an edge answers in the place of a node");
                    return None;
                }
                Ok(answer) => {
                    let connections = node.connections.clone();
                    let give_back = move |connection| connections.put_back(connection);
                    return Some(
                        answer.map(|body| AnswerBody::new(body, connection, give_back).boxed_unsync()),
                    );
                }
                Err(_) if connection.reused => connected = node.connections.connect_anew().await,
                Err(failure) => {
                    let error = failure.into_error();
                    tracing::debug!(node = node.url.authority, %error, "a node did not answer");
                    return None;
                }
            }
        }
    }

    fn question(&self, node: &Node, path: &str, signed: bool) -> Option<Request<ProxyBody>> {
        let target = format!("{}{path}", node.url.base);
        let mut request = Request::new(empty());
        let headers = request.headers_mut();
        headers.insert(HOST, node.host.clone());
        let agent = concat!("meshedge/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        if let (true, Some(signing)) = (signed, &self.signing) {
            let signature = signing.sign(&Method::GET, &target, headers, &node.url.authority, OWN_IP)?;
            headers.insert(headers::EDGE, signature);
        }
        *request.uri_mut() = Uri::from(PathAndQuery::try_from(target).ok()?);
        Some(request)
    }

    pub(super) fn correct_clock(&self, answer: &http::HeaderMap) {
        if let Some(signing) = &self.signing {
            signing.correct(answer);
        }
    }
}

/// A body that is not too long for a summary.
async fn whole(mut body: ProxyBody) -> Option<BytesMut> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let piece = frame.ok()?.into_data().unwrap_or_default();
        if whole.len() + piece.len() > MAX_SUMMARY {
            return None;
        }
        whole.extend_from_slice(&piece);
    }
    Some(whole)
}
