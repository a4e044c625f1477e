//! The keys of a node: its own identity, and that of its cluster.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use aws_lc_rs::hkdf;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{DataDir, DataDirError, files};
use crate::config::{ClusterKeySource, Config, IdentitySource, Secret};
use crate::entropy;
use crate::id::Identity;
use crate::transport::{ClusterKey, Keyring};

const IDENTITY_SALT: &[u8] = b"meshnode/1 identity";

impl DataDir {
    /// The node's identity: the one in the file, made at the first start, or the one derived from a seed.
    pub fn identity(&self, config: &Config) -> Result<Identity, DataDirError> {
        match &config.identity {
            IdentitySource::File => self.identity_in_file(),
            IdentitySource::Derived { seed } => Ok(derived(seed, &config.cluster, &config.name)),
        }
    }

    fn identity_in_file(&self) -> Result<Identity, DataDirError> {
        let path = self.path.join("identity.key");
        let Some(text) = files::read(&path, 1024).map_err(DataDirError::io(&path))? else {
            let secret = entropy::random();
            self.write("identity.key", format!("{}\n", STANDARD.encode(secret)).as_bytes())?;
            return Ok(Identity::from_secret(&secret));
        };
        let secret = STANDARD.decode(text.trim_ascii()).ok().and_then(|secret| secret.try_into().ok());
        let secret: [u8; 32] = secret.ok_or_else(|| DataDirError::Damaged {
            path: path.clone(),
            reason: "it is not 32 bytes in base64".to_owned(),
            removal: "to become another worker",
        })?;
        warn_if_others_may_read(&path);
        Ok(Identity::from_secret(&secret))
    }

    /// The cluster's keys. They are made only when the node has nobody to join: then it is the first of its cluster.
    pub fn cluster_key(&self, config: &Config) -> Result<Keyring, DataDirError> {
        match &config.cluster_key {
            ClusterKeySource::Given(text) => keyring(text.expose(), "MESHNODE_CLUSTER_KEY"),
            ClusterKeySource::File(path) => keyring_in(path),
            ClusterKeySource::DataDir => {
                let path = self.path.join("cluster.key");
                if path.try_exists().map_err(DataDirError::io(&path))? {
                    keyring_in(&path)
                } else if config.has_discovery() {
                    Err(DataDirError::NoClusterKey { path })
                } else {
                    self.create_cluster_key()
                }
            }
        }
    }

    /// The cluster's keys as they are now, for a node that runs: none is made.
    pub fn cluster_key_again(&self, config: &Config) -> Result<Keyring, DataDirError> {
        match &config.cluster_key {
            ClusterKeySource::Given(text) => keyring(text.expose(), "MESHNODE_CLUSTER_KEY"),
            ClusterKeySource::File(path) => keyring_in(path),
            ClusterKeySource::DataDir => keyring_in(&self.path.join("cluster.key")),
        }
    }

    fn create_cluster_key(&self) -> Result<Keyring, DataDirError> {
        let key = ClusterKey::random();
        self.write("cluster.key", format!("{}\n", key.to_base64()).as_bytes())?;
        tracing::info!(dir = %self.path.display(), "a new cluster key was made; others need it to join");
        Ok(Keyring::of(key))
    }
}

fn keyring_in(path: &Path) -> Result<Keyring, DataDirError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| DataDirError::KeyFile { path: path.to_owned(), error })?;
    warn_if_others_may_read(path);
    keyring(&text, &path.display().to_string())
}

fn keyring(text: &str, place: &str) -> Result<Keyring, DataDirError> {
    Keyring::parse(text).map_err(|reason| DataDirError::InvalidKey { place: place.to_owned(), reason })
}

/// HKDF-SHA256 of the seed. The cluster's name and the node's hold no NUL, so that the two cannot run together.
fn derived(seed: &Secret, cluster: &str, name: &str) -> Identity {
    let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, IDENTITY_SALT);
    let mut secret = [0; 32];
    let key = salt.extract(seed.expose().as_bytes());
    let info = [cluster.as_bytes(), b"\0", name.as_bytes()];
    #[expect(clippy::expect_used, reason = "32 bytes are within what HKDF-SHA256 gives")]
    key.expand(&info, hkdf::HKDF_SHA256).and_then(|okm| okm.fill(&mut secret)).expect("one block of output");
    Identity::from_secret(&secret)
}

fn warn_if_others_may_read(path: &Path) {
    let mode = std::fs::metadata(path).map(|metadata| metadata.permissions().mode());
    if mode.is_ok_and(|mode| mode & 0o077 != 0) {
        tracing::warn!(path = %path.display(), "other users may read this secret; chmod 600 ends that");
    }
}
