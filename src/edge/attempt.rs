//! One try of a request at one node.

use std::pin::pin;
use std::sync::Arc;

use http::response::Parts;
use http::{Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::sleep;

use super::Edge;
use super::nodes::Node;
use super::outbound::Outbound;
use super::rule::Mishap;
use crate::router::proxy::body::ProxyBody;
use crate::router::proxy::connections::Connections;
use crate::router::proxy::dial::{ConnectFailure, Connection};
use crate::router::proxy::http1::{AnswerBody, Http1};
use crate::router::proxy::reply::Failure;
use crate::router::proxy::socket::Presence;
use crate::router::proxy::stream;
use crate::time::Duration;

/// Fresh connections that are tried for a request of which nothing was sent.
const ANEW_MAX: u32 = 2;

/// After so much silence a node is asked whether it is there, and again after pauses, each twice as long as the last.
const FIRST_SILENCE: Duration = Duration::from_secs(1);

/// The longest of these pauses.
const MAX_SILENCE: Duration = Duration::from_secs(16);

/// The head of an answer, and where its body comes from.
pub(super) struct Answer {
    pub(super) head: Parts,
    pub(super) source: Source,
}

/// Where the body of an answer comes from.
pub(super) enum Source {
    /// A connection of HTTP/1.1, and those among which it is kept afterwards.
    Http1 { body: Incoming, connection: Http1, connections: Arc<Connections> },
    /// A stream of HTTP/2.
    Http2(ProxyBody),
}

impl Answer {
    /// The whole answer.
    pub(super) fn into_response(self) -> Response<ProxyBody> {
        let body = match self.source {
            Source::Http1 { body, connection, connections } => {
                let give_back = move |connection| connections.put_back(connection);
                AnswerBody::new(body, connection, give_back).boxed_unsync()
            }
            Source::Http2(body) => body,
        };
        Response::from_parts(self.head, body)
    }
}

/// Why there is no answer.
pub(super) enum NoAnswer {
    /// Something went wrong on the way.
    Mishap(Mishap),
    /// The request cannot be sent to anybody.
    Refused(Failure),
}

impl From<Failure> for NoAnswer {
    fn from(failure: Failure) -> Self {
        Self::Refused(failure)
    }
}

const UNREACHED: NoAnswer = NoAnswer::Mishap(Mishap::Unreached);
const BROKEN: NoAnswer = NoAnswer::Mishap(Mishap::Broken);

impl Edge {
    /// Sends a request to a node, and waits for the head of its answer.
    pub(super) async fn try_at(
        &self,
        node: &Arc<Node>,
        outbound: &Outbound,
        presence: &Presence,
    ) -> Result<Answer, NoAnswer> {
        if outbound.is_grpc {
            return Box::pin(self.try_stream(node, outbound, presence)).await;
        }
        let mut connection = http1(node, node.connections.connect().await)?;
        let mut request = outbound.request(node, self.signing.as_ref())?;
        for _ in 0..=ANEW_MAX {
            let exchange = connection.exchange(request);
            let answered = self.unless_silent(node, outbound, presence, exchange).await?;
            let mut failure = match answered {
                Ok(response) if is_unasked(&response, outbound) => return Err(BROKEN),
                Ok(response) => {
                    let (head, body) = response.into_parts();
                    let connections = node.connections.clone();
                    return Ok(Answer { head, source: Source::Http1 { body, connection, connections } });
                }
                Err(failure) => failure,
            };
            let Some(unsent) = failure.take_message() else {
                let error = failure.into_error();
                tracing::debug!(node = node.url.authority, %error, "a node broke off before it answered");
                return Err(BROKEN);
            };
            // The node closed the kept connection at the moment of its reuse: a fresh one tells the truth.
            request = unsent;
            match http1(node, node.connections.connect_anew().await) {
                Ok(fresh) => connection = fresh,
                Err(_) => break,
            }
        }
        outbound.upload.put_back(request.into_body());
        Err(UNREACHED)
    }

    /// The same over HTTP/2, for gRPC: its bodies and trailers go both ways at the same time.
    async fn try_stream(
        &self,
        node: &Arc<Node>,
        outbound: &Outbound,
        presence: &Presence,
    ) -> Result<Answer, NoAnswer> {
        let Connection::Http2(mut sender) = connected(node, node.streams.connect().await)? else {
            tracing::debug!(node = node.url.authority, "a node speaks no HTTP/2");
            return Err(UNREACHED);
        };
        let (head, body) = outbound.stream_request(node, self.signing.as_ref())?;
        let has_body = outbound.upload.exists();
        let opened = match stream::open(&mut sender, head, has_body) {
            Ok(opened) => opened,
            Err(error) => {
                tracing::debug!(node = node.url.authority, %error, "a node takes no stream");
                outbound.upload.put_back(body);
                return Err(UNREACHED);
            }
        };
        let exchange = opened.exchange(has_body.then_some(body));
        match self.unless_silent(node, outbound, presence, exchange).await? {
            Ok(response) => {
                let (head, body) = response.into_parts();
                Ok(Answer { head, source: Source::Http2(body) })
            }
            Err(error) => {
                tracing::debug!(node = node.url.authority, %error, "a node broke off before it answered");
                Err(if stream::surely_unseen(&error) { UNREACHED } else { BROKEN })
            }
        }
    }

    /// Does `work`, for as long as the node answers it or at least for itself.
    async fn unless_silent<T>(
        &self,
        node: &Arc<Node>,
        outbound: &Outbound,
        presence: &Presence,
        work: impl Future<Output = T>,
    ) -> Result<T, NoAnswer> {
        let mut work = pin!(work);
        let mut silence = FIRST_SILENCE;
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                () = sleep(silence) => {}
            }
            if outbound.progress.is_held_back() {
                presence.doubt();
            }
            // Boxed, because most requests are answered before.
            let is_there = Box::pin(self.is_there(node));
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                is_there = is_there => if !is_there {
                    tracing::debug!(node = node.url.authority, "a node is silent");
                    return Err(NoAnswer::Mishap(Mishap::Silent));
                },
            }
            silence = (silence * 2).min(MAX_SILENCE);
        }
    }
}

fn connected(node: &Node, connected: Result<Connection, ConnectFailure>) -> Result<Connection, NoAnswer> {
    connected.map_err(|error| {
        tracing::debug!(node = node.url.authority, %error, "a node cannot be reached");
        UNREACHED
    })
}

/// A connection of HTTP/1.1; the log says why there is none.
pub(super) fn http1(node: &Node, result: Result<Connection, ConnectFailure>) -> Result<Http1, NoAnswer> {
    match connected(node, result)? {
        Connection::Http1(connection) => Ok(connection),
        Connection::Http2(_) => Err(UNREACHED),
    }
}

/// Nobody but a WebSocket's client asked to switch protocols.
fn is_unasked(response: &Response<Incoming>, outbound: &Outbound) -> bool {
    response.status() == StatusCode::SWITCHING_PROTOCOLS && !outbound.is_tunnel
}
