//! The words between the policy and the store.

/// What the policy asks of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreCall {
    /// Read the value.
    Get,
    /// Write the value, on the connection of the last `Get`, within 5 s of it, once.
    Put {
        /// The value, JSON of at most 8,000 bytes.
        value: Vec<u8>,
    },
}

/// What the store answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreReply {
    /// The value was read.
    Found {
        /// The value.
        value: Vec<u8>,
        /// The store's clock, in unix seconds.
        now: u64,
    },
    /// There is no value.
    NotFound {
        /// The store's clock, in unix seconds.
        now: u64,
    },
    /// The value was not read.
    GetFailed(StoreFailure),
    /// The value was written.
    Stored,
    /// The value was surely not written, or nobody knows.
    PutFailed(StoreFailure),
}

/// Why a call of the store failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreFailure {
    /// It asks for patience (429).
    #[error("rate limited, retry after {retry_after_s} s")]
    Limited {
        /// Seconds to wait.
        retry_after_s: u64,
    },
    /// It cannot be used as configured or does not answer (401, 403, unknown namespace, 5xx, no answer).
    #[error("{0}")]
    Failed(String),
    /// The request was sent, but what became of it is not known.
    #[error("outcome unknown: {0}")]
    Unknown(String),
    /// More than 5 s passed since the read, or its connection is gone; nothing was sent.
    #[error("too late to write")]
    TooLate,
}
