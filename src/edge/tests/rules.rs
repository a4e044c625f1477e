//! When another node is tried: the table of `docs/edge.md`, line by line.

use http::{HeaderMap, HeaderValue, Method, StatusCode};

use crate::edge::rule::{Freedom, Mishap, Step, is_repeatable};
use crate::router::proxy::headers::{Sender, to_node};

const REPEATABLE: Freedom = Freedom { is_repeatable: true, is_whole: true };
const KEPT: Freedom = Freedom { is_repeatable: false, is_whole: true };
const STREAMED: Freedom = Freedom { is_repeatable: false, is_whole: false };

fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    fields.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
}

fn mishap(status: u16, fields: &[(&'static str, &'static str)]) -> Option<Mishap> {
    Mishap::of(StatusCode::from_u16(status).unwrap(), &headers(fields))
}

#[test]
fn nothing_that_may_have_been_started_is_sent_twice() {
    let gateway = |status| Mishap::Gateway(StatusCode::from_u16(status).unwrap());
    for (what, repeatable, kept, streamed) in [
        (Mishap::Unreached, Step::Next, Step::Next, Step::GiveUp),
        (Mishap::Broken, Step::Next, Step::Broken, Step::Broken),
        (gateway(521), Step::Next, Step::Next, Step::GiveUp),
        (gateway(530), Step::Next, Step::Next, Step::GiveUp),
        (gateway(520), Step::Next, Step::Broken, Step::Broken),
        (gateway(524), Step::Next, Step::Broken, Step::Broken),
        (gateway(500), Step::Next, Step::Broken, Step::Broken),
        (Mishap::Edge, Step::Next, Step::Broken, Step::Broken),
        (Mishap::Loop, Step::Next, Step::Next, Step::GiveUp),
        (Mishap::Unstarted, Step::Next, Step::Next, Step::Pass),
        (Mishap::Signature, Step::Next, Step::Next, Step::GiveUp),
        (Mishap::Clock, Step::Again, Step::Again, Step::GiveUp),
        (Mishap::Silent, Step::Next, Step::TimedOut, Step::TimedOut),
    ] {
        let steps = [REPEATABLE, KEPT, STREAMED].map(|freedom| what.step(freedom));
        assert_eq!(steps, [repeatable, kept, streamed], "{what:?}");
    }
}

#[test]
fn an_answer_is_told_from_that_of_something_in_front_of_the_node() {
    for status in [500, 502, 503, 521, 599] {
        let gateway = Some(Mishap::Gateway(StatusCode::from_u16(status).unwrap()));
        assert_eq!(mishap(status, &[]), gateway);
        assert_eq!(mishap(status, &[("x-mesh-worker", "12D3")]), None, "a service's own {status}");
        assert_eq!(mishap(status, &[("x-mesh-error", "timeout")]), None, "the mesh's own {status}");
        assert_eq!(mishap(status, &[("x-mesh-retry", "1")]), gateway, "not the word of a node");
    }
    let retry = ("x-mesh-retry", "1");
    assert_eq!(mishap(503, &[("x-mesh-error", "saturated"), retry]), Some(Mishap::Unstarted));
    assert_eq!(mishap(502, &[("x-mesh-error", "broken"), retry]), None);
    assert_eq!(mishap(403, &[("x-mesh-error", "edge_signature"), retry]), Some(Mishap::Signature));
    assert_eq!(mishap(403, &[("x-mesh-error", "edge_signature")]), None);
    assert_eq!(mishap(403, &[("x-mesh-error", "edge_clock"), retry]), Some(Mishap::Clock));
    for status in [200, 204, 301, 400, 403, 404, 429] {
        assert_eq!(mishap(status, &[]), None, "{status}");
    }
}

#[test]
fn an_answer_of_another_edge_is_none_of_a_node() {
    let tries = ("x-mesh-tries", "1");
    for status in [200, 404, 500, 503] {
        let fields = [tries, ("x-mesh-worker", "12D3"), ("x-mesh-retry", "1"), ("x-mesh-error", "no_node")];
        assert_eq!(mishap(status, &fields), Some(Mishap::Edge), "{status}");
    }
    assert_eq!(mishap(508, &[tries, ("x-mesh-error", "loop")]), Some(Mishap::Loop));
    assert_eq!(mishap(508, &[("x-mesh-worker", "12D3")]), None, "a service's own");
}

#[test]
fn methods_are_repeatable_when_twice_is_as_good_as_once() {
    for (method, repeatable) in [
        (Method::GET, true),
        (Method::HEAD, true),
        (Method::OPTIONS, true),
        (Method::PUT, true),
        (Method::DELETE, true),
        (Method::POST, false),
        (Method::PATCH, false),
        (Method::TRACE, false),
    ] {
        assert_eq!(is_repeatable(&method), repeatable, "{method}");
    }
}

#[test]
fn blanks_around_what_is_signed_go_as_http1_would_take_them_off() {
    let mut headers =
        headers(&[("x-mesh-service", "rag "), ("x-mesh-worker", "\ta b\t"), ("x-other", " x ")]);
    let sender = Sender { ip: [192, 0, 2, 7].into(), scheme: "https" };
    to_node(&mut headers, &sender, "www.example.com");
    assert_eq!(
        (headers["x-mesh-service"].as_bytes(), headers["x-mesh-worker"].as_bytes()),
        (&b"rag"[..], &b"a b"[..])
    );
    assert_eq!(headers["x-other"], " x ");
}

#[test]
fn a_refusal_is_no_failure_of_the_node() {
    for mishap in [Mishap::Unstarted, Mishap::Clock, Mishap::Signature] {
        assert!(!mishap.is_failure(), "{mishap:?}");
    }
}
