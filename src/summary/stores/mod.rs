//! The stores of the summary: a file, and Cloudflare Workers KV over REST.

mod cloudflare;
mod connection;
mod file;
mod location;

pub use cloudflare::{Cloudflare, InvalidApi};
pub use file::FileStore;
pub use location::{InvalidStore, StoreLocation};

use super::{StoreCall, StoreReply};
use crate::time::Duration;

/// A call that takes longer has failed.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The longest answer that is read, in bytes: far more than any value.
const MAX_ANSWER_LEN: usize = 64 * 1024;

/// Where the summary is kept.
#[derive(Debug)]
pub enum Store {
    /// A file of this machine.
    File(FileStore),
    /// A key of a Workers KV namespace.
    Cloudflare(Cloudflare),
}

impl Store {
    /// The store at `location` for the summary of `cluster`. For Cloudflare, `api` is another base URL than its
    /// own, and `token` is needed.
    pub fn open(
        location: &StoreLocation,
        cluster: &str,
        api: Option<&str>,
        token: Option<&str>,
    ) -> Result<Self, InvalidApi> {
        match location {
            StoreLocation::File(path) => Ok(Self::File(FileStore::new(path.clone()))),
            StoreLocation::Cloudflare { account, namespace } => {
                let token = token.ok_or(InvalidApi::Token)?;
                Cloudflare::new(account, namespace, cluster, api, token).map(Self::Cloudflare)
            }
        }
    }

    /// Makes one call and waits for its outcome, for not much more than 10 s.
    pub async fn call(&mut self, call: StoreCall) -> StoreReply {
        match (self, call) {
            (Self::File(file), StoreCall::Get) => file.get().await,
            (Self::File(file), StoreCall::Put { value }) => file.put(value).await,
            (Self::Cloudflare(kv), StoreCall::Get) => kv.get().await,
            (Self::Cloudflare(kv), StoreCall::Put { value }) => kv.put(&value).await,
        }
    }
}

#[cfg(test)]
mod tests;
