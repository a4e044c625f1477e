//! `meshnode keygen`.

use crate::transport::ClusterKey;

/// A fresh cluster key: 32 bytes in base64.
pub(super) fn keygen() -> String {
    ClusterKey::random().to_base64()
}
