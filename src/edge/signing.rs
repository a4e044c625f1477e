//! Signs requests to nodes, by the clock that the nodes have.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use http::header::{DATE, HeaderMap};
use http::{HeaderValue, Method};

use crate::clock::unix_now;
use crate::entropy;
use crate::router::proxy::edge::{EdgeSigner, InvalidEdgeSecrets, Stamp, hex};

/// The secret, the nonces that were used, and how far this machine's clock is off.
#[derive(Debug)]
pub(super) struct Signing {
    signer: ArcSwap<EdgeSigner>,
    /// In seconds, to be added to this machine's clock.
    offset: AtomicI64,
    /// Tells the nonces of this process from those of others.
    process: [u8; 8],
    tries: AtomicU64,
}

impl Signing {
    /// Signs with the first secret of a file of them.
    pub(super) fn new(secrets: &str) -> Result<Self, InvalidEdgeSecrets> {
        Ok(Self {
            signer: ArcSwap::from_pointee(EdgeSigner::parse(secrets)?),
            offset: AtomicI64::new(0),
            process: entropy::random(),
            tries: AtomicU64::new(0),
        })
    }

    /// Signs with another file's first secret from now on.
    pub(super) fn replace(&self, secrets: &str) -> Result<(), InvalidEdgeSecrets> {
        self.signer.store(Arc::new(EdgeSigner::parse(secrets)?));
        Ok(())
    }

    /// The signature of one try of a request by the client at `ip`; `None` when a header that is signed is there twice, or
    /// is no text.
    pub(super) fn sign(
        &self,
        method: &Method,
        target: &str,
        headers: &HeaderMap,
        host: &str,
        ip: &str,
    ) -> Option<HeaderValue> {
        let now = unix_now().as_secs().saturating_add_signed(self.offset.load(Ordering::Relaxed));
        let (t, nonce) = (now.to_string(), self.nonce());
        let stamp = Stamp { ip, t: &t, nonce: str::from_utf8(&nonce).ok()? };
        self.signer.load().sign(method, target, headers, host, &stamp)
    }

    fn nonce(&self) -> [u8; 32] {
        let number = self.tries.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let mut nonce = [0; 32];
        for (digits, byte) in nonce.chunks_exact_mut(2).zip(self.process.iter().chain(&number)) {
            digits.copy_from_slice(&hex(*byte));
        }
        nonce
    }

    /// Takes over the clock of a node that refused a signature for its time.
    pub(super) fn correct(&self, answer: &HeaderMap) {
        let date = answer.get(DATE).and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
        let there = date.and_then(|date| date.duration_since(SystemTime::UNIX_EPOCH).ok());
        let Some(there) = there.and_then(|there| i64::try_from(there.as_secs()).ok()) else { return };
        let here = i64::try_from(unix_now().as_secs()).unwrap_or(i64::MAX);
        let offset = there.saturating_sub(here);
        let before = self.offset.swap(offset, Ordering::Relaxed);
        if before == 0 && offset != 0 {
            tracing::warn!(offset_s = offset, "this machine's clock differs from that of a node");
        } else if before != offset {
            tracing::debug!(offset_s = offset, "the clocks of nodes differ");
        }
    }
}
