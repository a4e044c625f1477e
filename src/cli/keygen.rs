//! `meshnode keygen`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::node::entropy;

/// A fresh cluster key: 32 bytes in base64.
pub(super) fn keygen() -> String {
    STANDARD.encode(entropy::random::<32>())
}
