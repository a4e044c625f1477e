//! The data directory: what survives a node, used by one node at a time.
//!
//! | file | content |
//! |---|---|
//! | `lock` | the process id of the node that uses the directory |
//! | `identity.key` | the node's Ed25519 secret, base64; never overwritten |
//! | `cluster.key` | the cluster's keys, base64, one a line |
//! | `epoch` | the epoch of the last boot |
//! | `peers.json` | addresses of members, for rejoining |
//! | `write-record` | the summary's write record, after a hash that proves it whole |
//! | `services.json` | services that were added at run time |

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::config::{Origin, ServiceConfig, ServiceTable, Source};
use crate::transport::InvalidKeyring;

mod files;
mod keys;
#[cfg(test)]
mod tests;

const MAX_PEERS: usize = 65_536;
const MAX_RECORD_LEN: usize = 1 << 20;
const HASH_LEN: usize = 32;

/// A data directory, locked for this process until it is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// Holds the lock; the system releases it with the process, however that ends.
    _lock: File,
}

/// The data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another node uses it.
    #[error(
        "data directory {path} is in use by another node{}; stop that one, or give this one a --data-dir of its own",
        holder.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
    )]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The other node's process, if it has said so.
        holder: Option<u32>,
    },
    /// The node is to join a mesh, and does not have its key.
    #[error(
        "no cluster key, which --join needs: {path} does not exist; copy a member's (cluster.key in its data directory) there, \
         or name it with --cluster-key-file or MESHNODE_CLUSTER_KEY"
    )]
    NoClusterKey {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The operator named a file that cannot be read.
    #[error("--cluster-key-file: cannot read {path}: {error}")]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// The system's word.
        error: io::Error,
    },
    /// The cluster's key is not one.
    #[error("{place}: {reason}")]
    InvalidKey {
        /// The file, or the environment variable.
        place: String,
        /// What is wrong with it.
        reason: InvalidKeyring,
    },
    /// A file that cannot be made anew does not hold what it should.
    #[error("{path} is damaged: {reason}; restore it, or remove it {removal}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// What removing it means.
        removal: &'static str,
    },
    /// The system refused a read or a write.
    #[error("{path}: {error}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The system's word.
        error: io::Error,
    },
}

impl DataDirError {
    /// The exit code of a program that ends because of it.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Locked { .. }
            | Self::NoClusterKey { .. }
            | Self::KeyFile { .. }
            | Self::InvalidKey { .. } => 2,
            Self::Damaged { .. } | Self::Io { .. } => 1,
        }
    }

    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        |error| Self::Io { path, error }
    }
}

impl DataDir {
    /// Creates the directory if need be (for its owner alone), and locks it.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(DataDirError::io(path))?;
        Ok(Self { path: path.to_owned(), _lock: lock(path)? })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The epoch of this boot: above those of all earlier ones. It is on disk when this returns.
    pub fn next_epoch(&self, unix_now_s: u64) -> Result<u64, DataDirError> {
        let last = self.last_epoch()?;
        self.write_epoch(unix_now_s.max(last.saturating_add(1)))
    }

    /// The epoch to go on with when the mesh knows this node at `known`. It is on disk when this returns.
    pub fn raise_epoch(&self, known: u64) -> Result<u64, DataDirError> {
        let last = self.last_epoch()?;
        self.write_epoch(last.max(known).saturating_add(1))
    }

    fn last_epoch(&self) -> Result<u64, DataDirError> {
        let parse = |bytes: &[u8]| std::str::from_utf8(bytes).ok()?.trim().parse().ok();
        Ok(self.rebuildable("epoch", 64, parse)?.unwrap_or(0))
    }

    fn write_epoch(&self, epoch: u64) -> Result<u64, DataDirError> {
        self.write("epoch", format!("{epoch}\n").as_bytes())?;
        Ok(epoch)
    }

    /// Addresses of members of earlier boots.
    pub fn peers(&self) -> Result<Vec<SocketAddr>, DataDirError> {
        let parse = |bytes: &[u8]| serde_json::from_slice(bytes).ok();
        let mut peers: Vec<SocketAddr> =
            self.rebuildable("peers.json", MAX_PEERS * 64, parse)?.unwrap_or_default();
        peers.truncate(MAX_PEERS);
        Ok(peers)
    }

    /// Replaces the addresses of members.
    pub fn write_peers(&self, peers: &[SocketAddr]) -> Result<(), DataDirError> {
        self.write_json("peers.json", &peers[..peers.len().min(MAX_PEERS)])
    }

    /// The summary's write record, encoded, of earlier boots.
    pub fn write_record(&self) -> Result<Option<Vec<u8>>, DataDirError> {
        self.rebuildable("write-record", MAX_RECORD_LEN + HASH_LEN, |bytes| {
            let (hash, record) = bytes.split_at_checked(HASH_LEN)?;
            (blake3::hash(record).as_bytes() == hash).then(|| record.to_vec())
        })
    }

    /// Replaces the write record. It is on disk when this returns.
    pub fn set_write_record(&self, record: &[u8]) -> Result<(), DataDirError> {
        self.write("write-record", &[blake3::hash(record).as_bytes().as_slice(), record].concat())
    }

    /// The services that were added at run time.
    pub fn services(&self) -> Result<Vec<ServiceConfig>, DataDirError> {
        let path = self.path.join("services.json");
        let Some(bytes) = files::read(&path, 4 << 20).map_err(DataDirError::io(&path))? else {
            return Ok(Vec::new());
        };
        let damaged = |reason: String| DataDirError::Damaged {
            path: path.clone(),
            reason,
            removal: "to forget the services that were added at run time",
        };
        let tables: Vec<ServiceTable> =
            serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        let origin = |table: &ServiceTable| Origin { key: table.name.clone(), source: Source::Request };
        let resolve =
            |table: &ServiceTable| table.resolve(&origin(table)).map_err(|error| damaged(error.to_string()));
        tables.iter().map(resolve).collect()
    }

    /// Replaces the services that were added at run time.
    pub fn write_services(&self, services: &[ServiceConfig]) -> Result<(), DataDirError> {
        let tables: Vec<ServiceTable> = services.iter().map(ServiceTable::from).collect();
        self.write_json("services.json", &tables)
    }

    fn write_json<T: serde::Serialize + ?Sized>(&self, name: &str, value: &T) -> Result<(), DataDirError> {
        let bytes = serde_json::to_vec(value).map_err(io::Error::other);
        self.write(name, &bytes.map_err(DataDirError::io(&self.path.join(name)))?)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), DataDirError> {
        files::replace(&self.path, name, bytes).map_err(DataDirError::io(&self.path.join(name)))
    }

    /// Reads a file that a node can do without; one that is damaged is as good as none.
    fn rebuildable<T>(
        &self,
        name: &str,
        max_len: usize,
        parse: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<Option<T>, DataDirError> {
        let path = self.path.join(name);
        let parsed = match files::read(&path, max_len) {
            Ok(None) => return Ok(None),
            Ok(Some(bytes)) => parse(&bytes),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => None,
            Err(error) => return Err(DataDirError::io(&path)(error)),
        };
        if parsed.is_none() {
            tracing::warn!(path = %path.display(), "the file is damaged and will be made anew");
        }
        Ok(parsed)
    }
}

fn lock(dir: &Path) -> Result<File, DataDirError> {
    let path = dir.join("lock");
    let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    let mut file = open.map_err(DataDirError::io(&path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let holder = std::fs::read_to_string(&path).ok().and_then(|pid| pid.trim().parse().ok());
            return Err(DataDirError::Locked { path: dir.to_owned(), holder });
        }
        Err(TryLockError::Error(error)) => return Err(DataDirError::io(&path)(error)),
    }
    let write = |file: &mut File| {
        file.set_len(0)?;
        file.write_all(format!("{}\n", std::process::id()).as_bytes())
    };
    write(&mut file).map_err(DataDirError::io(&path))?;
    Ok(file)
}
