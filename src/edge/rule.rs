//! When another node is tried, and when the client is told instead: the table of `docs/edge.md`.

use http::header::HeaderMap;
use http::{Method, StatusCode};

use crate::router::proxy::headers;

/// The largest body that is kept for another try, in bytes.
pub(super) const KEEP: u64 = 256 * 1024;

/// How a try at a node went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mishap {
    /// Nothing of the request was sent.
    Unreached,
    /// The connection was lost before an answer.
    Broken,
    /// Something in front of the node answered in its place.
    Gateway(StatusCode),
    /// Another edge answered, whatever it may have done before.
    Edge,
    /// It was an edge's already, says another edge, or this one.
    Loop,
    /// The node says that it was not started.
    Unstarted,
    /// The node does not believe the signature.
    Signature,
    /// The node's clock is another one.
    Clock,
    /// There is no answer, and the node does not even answer for itself.
    Silent,
}

/// What may be done about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Freedom {
    /// It is as good done twice as once.
    pub(super) is_repeatable: bool,
    /// Nothing of its body was given away.
    pub(super) is_whole: bool,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Another node.
    Next,
    /// The same node, with a corrected clock.
    Again,
    /// What the node answered goes to the client.
    Pass,
    /// The client is told that it was not started.
    GiveUp,
    /// 502: nobody knows what came of it.
    Broken,
    /// 504: nobody knows what will come of it.
    TimedOut,
}

impl Mishap {
    /// What is wrong with an answer, if anything is.
    pub(super) fn of(status: StatusCode, headers: &HeaderMap) -> Option<Self> {
        if headers.contains_key(headers::TRIES) {
            return Some(Self::of_edge(status, headers));
        }
        if status != StatusCode::FORBIDDEN && !status.is_server_error() {
            return None;
        }
        let error = headers.get(headers::ERROR);
        let says_unstarted = headers.get(headers::RETRY).is_some_and(|value| value == "1");
        if status == StatusCode::FORBIDDEN {
            return match error.map(http::HeaderValue::as_bytes) {
                Some(b"edge_signature") if says_unstarted => Some(Self::Signature),
                Some(b"edge_clock") => Some(Self::Clock),
                Some(_) | None => None,
            };
        }
        if error.is_none() && !headers.contains_key(headers::WORKER) {
            return Some(Self::Gateway(status));
        }
        (status == StatusCode::SERVICE_UNAVAILABLE && says_unstarted).then_some(Self::Unstarted)
    }

    fn of_edge(status: StatusCode, headers: &HeaderMap) -> Self {
        let says_loop = headers.get(headers::ERROR).is_some_and(|error| error == "loop");
        if status == StatusCode::LOOP_DETECTED && says_loop { Self::Loop } else { Self::Edge }
    }

    /// Whether the request was surely not started.
    pub(super) fn is_unstarted(self) -> bool {
        match self {
            Self::Unreached | Self::Loop | Self::Unstarted | Self::Signature | Self::Clock => true,
            Self::Gateway(status) => never_delivered(status),
            Self::Broken | Self::Edge | Self::Silent => false,
        }
    }

    /// Whether the node is to be blamed.
    pub(super) const fn is_failure(self) -> bool {
        !matches!(self, Self::Unstarted | Self::Clock | Self::Signature)
    }

    /// What to do about it.
    pub(super) fn step(self, freedom: Freedom) -> Step {
        let Freedom { is_repeatable, is_whole } = freedom;
        match self {
            Self::Clock if is_whole => Step::Again,
            Self::Unstarted if !is_whole => Step::Pass,
            _ if is_repeatable || self.is_unstarted() && is_whole => Step::Next,
            Self::Unreached | Self::Loop | Self::Signature | Self::Clock | Self::Unstarted => Step::GiveUp,
            Self::Gateway(status) if never_delivered(status) => Step::GiveUp,
            Self::Broken | Self::Edge | Self::Gateway(_) => Step::Broken,
            Self::Silent => Step::TimedOut,
        }
    }
}

/// Gateways say so when they could not connect (521, 523), could not agree on TLS (525, 526), or know nobody (530);
/// with others, such as 520, 522 and 524, the request may have been delivered.
fn never_delivered(status: StatusCode) -> bool {
    matches!(status.as_u16(), 521 | 523 | 525 | 526 | 530)
}

/// Whether a request may be sent again although it may have been started, if its body is at hand.
pub(super) fn is_repeatable(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE)
}
