//! W3C Trace Context in headers: read strictly, so that a malformed one begins a new trace instead of breaking two.

use std::str::FromStr;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

const PARENT: HeaderName = HeaderName::from_static("traceparent");
const STATE: HeaderName = HeaderName::from_static("tracestate");

/// The length of `traceparent` in version 00; later versions may append to it.
const LENGTH: usize = 55;

/// The span that sent a request, when its headers name one as the recommendation demands.
pub(super) fn extract(headers: &HeaderMap) -> Option<SpanContext> {
    let mut lines = headers.get_all(PARENT).iter();
    let parent = lines.next()?.to_str().ok()?;
    if lines.next().is_some() {
        return None;
    }
    let (trace, span, flags) = fields(parent.trim())?;
    let context = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED,
        true,
        state(headers),
    );
    context.is_valid().then_some(context)
}

/// The trace to which a request belongs.
pub(in crate::router::proxy) fn trace_id(headers: &HeaderMap) -> Option<TraceId> {
    extract(headers).map(|context| context.trace_id())
}

/// Makes `context` the sender. The vendors' state beside it stays as it came.
pub(super) fn inject(headers: &mut HeaderMap, context: &SpanContext) {
    let sampled = u8::from(context.is_sampled());
    let parent = format!("00-{}-{}-{sampled:02x}", context.trace_id(), context.span_id());
    if let Ok(parent) = HeaderValue::from_str(&parent) {
        headers.insert(PARENT, parent);
    }
}

/// Removes what names no trace.
pub(super) fn remove(headers: &mut HeaderMap) {
    headers.remove(PARENT);
    headers.remove(STATE);
}

/// The trace, the span and the flags, still as text.
fn fields(parent: &str) -> Option<(&str, &str, &str)> {
    let is_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let (known, beyond) = parent.split_at_checked(LENGTH)?;
    let mut parts = known.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let lengths = [(version, 2), (trace, 32), (span, 16), (flags, 2)];
    let well_formed = lengths.iter().all(|(text, length)| text.len() == *length && is_hex(text));
    let version_fits = match version {
        "ff" => false,
        "00" => beyond.is_empty(),
        _ => beyond.is_empty() || beyond.starts_with('-'),
    };
    (well_formed && version_fits).then_some((trace, span, flags))
}

/// All lines are one list (RFC 9110, 5.3). What cannot be read is left out of the own spans, and travels on.
fn state(headers: &HeaderMap) -> TraceState {
    let lines: Vec<&str> = headers.get_all(STATE).iter().filter_map(|line| line.to_str().ok()).collect();
    TraceState::from_str(&lines.join(",")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn a_sender_is_read_and_written_back_as_it_was() {
        let mut headers = headers(&[("traceparent", GOOD), ("tracestate", "a=1"), ("tracestate", "b=2")]);
        let context = extract(&headers).expect("valid");
        assert_eq!(context.trace_id().to_string(), TRACE);
        assert!(context.is_sampled() && context.is_remote());
        assert_eq!(context.trace_state().header(), "a=1,b=2");
        inject(&mut headers, &context);
        assert_eq!(headers["traceparent"], GOOD);
        assert_eq!(headers.get_all("tracestate").iter().count(), 2);
    }

    #[test]
    fn a_later_version_may_say_more_and_its_unknown_flags_are_dropped() {
        let later = format!("cc-{TRACE}-b7ad6b7169203331-03-what-the-future-holds");
        let context = extract(&headers(&[("traceparent", &later)])).expect("valid");
        let mut out = HeaderMap::new();
        inject(&mut out, &context);
        assert_eq!(out["traceparent"], GOOD);
    }

    #[test]
    fn a_malformed_sender_is_none() {
        let zeros = "0".repeat(32);
        for bad in [
            "",
            "00",
            &GOOD.to_uppercase(),
            &GOOD.replace('-', "_"),
            &format!("{GOOD}-more"),
            &format!("{GOOD}0"),
            &format!("ff{}", &GOOD[2..]),
            &format!("00-{zeros}-b7ad6b7169203331-01"),
            &format!("00-{TRACE}-0000000000000000-01"),
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-1-2-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333-001",
        ] {
            assert_eq!(extract(&headers(&[("traceparent", bad)])), None, "{bad}");
        }
        assert_eq!(extract(&headers(&[("traceparent", GOOD), ("traceparent", GOOD)])), None, "two of them");
        assert_eq!(extract(&headers(&[("tracestate", "a=1")])), None, "none at all");
    }

    #[test]
    fn a_state_that_cannot_be_read_does_not_cost_the_trace() {
        let context = extract(&headers(&[("traceparent", GOOD), ("tracestate", "no list")])).expect("valid");
        assert_eq!(context.trace_state().header(), "");
    }
}
