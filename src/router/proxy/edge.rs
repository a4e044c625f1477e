//! Signatures of edges: what comes through a tunnel must be signed with a secret that this node shares.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};

use super::backend::locked;
use super::headers;
use super::reply::Failure;

/// For how many seconds a signature is valid, before and after.
const VALID_FOR: u64 = 60;

/// The most nonces that are remembered; beyond, signed requests are refused until older ones expire.
const MAX_NONCES: usize = 1 << 18;

/// The longest nonce.
const MAX_NONCE_LEN: usize = 64;

/// The shortest secret, in bytes.
const MIN_SECRET_LEN: usize = 16;

/// The secrets that edges sign with, and the nonces that were used. Cloning shares them.
#[derive(Clone)]
pub struct EdgeSecrets {
    keys: Arc<ArcSwap<BTreeMap<String, hmac::Key>>>,
    seen: Arc<Mutex<Nonces>>,
}

/// The secrets of edges cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEdgeSecrets {
    /// A line is not `kid:base64`.
    #[error(
        "line {line}: expected kid:base64, with a kid of a-z, A-Z, 0-9, '-' and '_', and a secret of at least 16 bytes"
    )]
    Line {
        /// Counted from 1.
        line: usize,
    },
    /// A key id is there twice.
    #[error("line {line}: the kid '{kid}' is there already")]
    Repeated {
        /// Counted from 1.
        line: usize,
        /// The key id.
        kid: String,
    },
    /// There is none.
    #[error("there is no secret; expected one kid:base64 a line")]
    Empty,
}

impl EdgeSecrets {
    /// Reads secrets, one `kid:base64` a line; blank lines and those that start with `#` are skipped.
    pub fn parse(text: &str) -> Result<Self, InvalidEdgeSecrets> {
        Ok(Self { keys: Arc::new(ArcSwap::from_pointee(keys(text)?)), seen: Arc::default() })
    }

    /// Takes over other secrets, which hold from the next request on. Nonces that were used stay used. Returns the key
    /// ids that hold now.
    pub fn replace(&self, text: &str) -> Result<Vec<String>, InvalidEdgeSecrets> {
        let keys = keys(text)?;
        let kids = keys.keys().cloned().collect();
        self.keys.store(Arc::new(keys));
        Ok(kids)
    }

    /// Checks the signature of a request, and returns the address of the client for which the edge asks.
    pub(crate) fn verify<B>(
        &self,
        request: &Request<B>,
        host: &str,
        unix_now: u64,
    ) -> Result<IpAddr, Failure> {
        let claim = Claim::of(request.headers()).ok_or_else(unsigned)?;
        let keys = self.keys.load();
        let key = keys.get(claim.kid).ok_or_else(unsigned)?;
        let signature = unhex(claim.sig).ok_or_else(unsigned)?;
        let (method, headers) = (request.method(), request.headers());
        let target = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
        let message = message(method, target, headers, host, &claim).ok_or_else(unsigned)?;
        hmac::verify(key, message.as_bytes(), &signature).map_err(|_| unsigned())?;
        let ip = claim.ip.parse().map_err(|_| unsigned())?;
        let at: u64 = claim.t.parse().map_err(|_| unsigned())?;
        if at.abs_diff(unix_now) > VALID_FOR {
            let message = "the signature is too old, or from the future";
            return Err(Failure::unstarted(StatusCode::FORBIDDEN, "edge_clock", message));
        }
        locked(&self.seen).admit(claim.kid, claim.n, at + VALID_FOR, unix_now)?;
        Ok(ip)
    }
}

/// The secret that an edge signs with.
pub(crate) struct EdgeSigner {
    kid: String,
    key: hmac::Key,
}

impl EdgeSigner {
    /// The first of the secrets in a file of them.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidEdgeSecrets> {
        let (kid, key) = lines(text)?.into_iter().next().ok_or(InvalidEdgeSecrets::Empty)?;
        Ok(Self { kid, key })
    }

    /// The value of `x-mesh-edge` for a request to `target` at `host`, with the `nonce` of this one try; `None` when a
    /// header that is signed is there twice, or no text.
    pub(crate) fn sign(
        &self,
        method: &Method,
        target: &str,
        headers: &HeaderMap,
        host: &str,
        stamp: &Stamp<'_>,
    ) -> Option<HeaderValue> {
        let Self { kid, key } = self;
        let Stamp { ip, t, nonce } = *stamp;
        let claim = Claim { kid, t, n: nonce, ip, sig: "" };
        let tag = hmac::sign(key, message(method, target, headers, host, &claim)?.as_bytes());
        let parts = ["kid=", kid, ",t=", t, ",n=", nonce, ",ip=", ip, ",sig="];
        let length = parts.iter().map(|part| part.len()).sum::<usize>() + 2 * tag.as_ref().len();
        let mut value = Vec::with_capacity(length);
        for part in parts {
            value.extend_from_slice(part.as_bytes());
        }
        for byte in tag.as_ref() {
            value.extend_from_slice(&hex(*byte));
        }
        HeaderValue::from_maybe_shared(Bytes::from(value)).ok()
    }
}

/// Who asks, when (in unix seconds), and what tells this try from all others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp<'a> {
    pub(crate) ip: &'a str,
    pub(crate) t: &'a str,
    pub(crate) nonce: &'a str,
}

impl fmt::Debug for EdgeSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EdgeSigner").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// A byte in two digits.
pub(crate) fn hex(byte: u8) -> [u8; 2] {
    let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    [digit(byte >> 4), digit(byte & 15)]
}

impl fmt::Debug for EdgeSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EdgeSecrets").field("kids", &self.keys.load().keys()).finish_non_exhaustive()
    }
}

/// The secrets in a file, by key id.
fn keys(text: &str) -> Result<BTreeMap<String, hmac::Key>, InvalidEdgeSecrets> {
    Ok(lines(text)?.into_iter().collect())
}

/// The secrets in a file, with their key ids, in its order.
fn lines(text: &str) -> Result<Vec<(String, hmac::Key)>, InvalidEdgeSecrets> {
    let mut keys: Vec<(String, hmac::Key)> = Vec::new();
    let lines = text.lines().map(str::trim).enumerate();
    for (index, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        let invalid = || InvalidEdgeSecrets::Line { line: index + 1 };
        let (kid, secret) = line.split_once(':').ok_or_else(invalid)?;
        let named = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if kid.is_empty() || kid.len() > 64 || !kid.bytes().all(named) {
            return Err(invalid());
        }
        let secret = STANDARD.decode(secret.trim()).map_err(|_| invalid())?;
        if secret.len() < MIN_SECRET_LEN {
            return Err(invalid());
        }
        if keys.iter().any(|(known, _)| known == kid) {
            return Err(InvalidEdgeSecrets::Repeated { line: index + 1, kid: kid.to_owned() });
        }
        keys.push((kid.to_owned(), hmac::Key::new(hmac::HMAC_SHA256, &secret)));
    }
    if keys.is_empty() {
        return Err(InvalidEdgeSecrets::Empty);
    }
    Ok(keys)
}

fn unsigned() -> Failure {
    let message = "the request is not signed by an edge that this node knows";
    Failure::unstarted(StatusCode::FORBIDDEN, "edge_signature", message)
}

/// What `x-mesh-edge` says.
#[derive(Debug, PartialEq, Eq)]
struct Claim<'a> {
    kid: &'a str,
    t: &'a str,
    n: &'a str,
    ip: &'a str,
    sig: &'a str,
}

impl<'a> Claim<'a> {
    fn of(headers: &'a HeaderMap) -> Option<Self> {
        let text = only(headers, &headers::EDGE)?;
        let mut fields = BTreeMap::new();
        for field in text.split(',') {
            let (name, value) = field.trim().split_once('=')?;
            if fields.insert(name, value).is_some() {
                return None;
            }
        }
        let mut take = |name| fields.remove(name);
        let claim =
            Self { kid: take("kid")?, t: take("t")?, n: take("n")?, ip: take("ip")?, sig: take("sig")? };
        ((1..=MAX_NONCE_LEN).contains(&claim.n.len()) && claim.t.len() <= 20).then_some(claim)
    }
}

/// The text that an edge signs; `None` when a part of it is ambiguous.
fn message(
    method: &Method,
    target: &str,
    headers: &HeaderMap,
    host: &str,
    claim: &Claim<'_>,
) -> Option<String> {
    let mut text = String::with_capacity(target.len() + host.len() + 160);
    for part in [claim.t, claim.n, method.as_str(), target, host, claim.ip] {
        text.push_str(part);
        text.push('\n');
    }
    for name in [&headers::SERVICE, &headers::VERSION, &headers::WORKER] {
        text.push_str(if headers.contains_key(name) { only(headers, name)? } else { "" });
        text.push('\n');
    }
    text.pop();
    Some(text)
}

fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

/// Nonces of valid signatures, until these expire.
#[derive(Debug, Default)]
struct Nonces {
    known: BTreeSet<(String, String)>,
    by_expiry: BTreeMap<u64, VecDeque<(String, String)>>,
}

impl Nonces {
    fn admit(&mut self, kid: &str, nonce: &str, expires: u64, now: u64) -> Result<(), Failure> {
        while let Some(oldest) = self.by_expiry.first_entry().filter(|oldest| *oldest.key() < now) {
            for nonce in oldest.remove() {
                self.known.remove(&nonce);
            }
        }
        let nonce = (kid.to_owned(), nonce.to_owned());
        if self.known.contains(&nonce) {
            return Err(unsigned());
        }
        if self.known.len() >= MAX_NONCES {
            let message = "too many signed requests within two minutes";
            return Err(Failure::unstarted(StatusCode::SERVICE_UNAVAILABLE, "saturated", message));
        }
        self.known.insert(nonce.clone());
        self.by_expiry.entry(expires).or_default().push_back(nonce);
        Ok(())
    }
}

#[cfg(test)]
#[path = "edge_tests.rs"]
mod tests;
