//! The store that is a file of this machine; nodes that name the same path share it.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::super::{StoreFailure, StoreReply};
use super::{MAX_ANSWER_LEN, TIMEOUT};
use crate::{clock, entropy};

/// A summary in a file. It is replaced in one step, so readers see the old or the new one.
#[derive(Debug)]
pub struct FileStore {
    path: PathBuf,
}

impl FileStore {
    /// The store at `path`; the directory is made with the first write.
    pub const fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(super) async fn get(&self) -> StoreReply {
        let path = self.path.clone();
        let result = within_time(move || read(&path)).await;
        let now = clock::unix_now().as_secs();
        match result {
            Some(Ok(Some(value))) => StoreReply::Found { value, now },
            Some(Ok(None)) => StoreReply::NotFound { now },
            Some(Err(error)) => StoreReply::GetFailed(self.failure("read", &error)),
            None => StoreReply::GetFailed(StoreFailure::Failed(self.silence("read"))),
        }
    }

    pub(super) async fn put(&self, value: Vec<u8>) -> StoreReply {
        let path = self.path.clone();
        match within_time(move || replace(&path, &value)).await {
            Some(Ok(())) => StoreReply::Stored,
            Some(Err(error)) => StoreReply::PutFailed(self.failure("write", &error)),
            None => StoreReply::PutFailed(StoreFailure::Unknown(self.silence("write"))),
        }
    }

    fn failure(&self, what: &str, error: &io::Error) -> StoreFailure {
        StoreFailure::Failed(format!("cannot {what} {}: {error}", self.path.display()))
    }

    fn silence(&self, what: &str) -> String {
        format!("cannot {what} {}: no answer within {TIMEOUT:?}", self.path.display())
    }
}

/// What `task` comes to, unless the disk is silent: a file on a server that is gone may never answer.
async fn within_time<T: Send + 'static>(
    task: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Option<io::Result<T>> {
    let done = tokio::time::timeout(TIMEOUT, tokio::task::spawn_blocking(task)).await.ok()?;
    Some(done.unwrap_or_else(|error| Err(io::Error::other(error))))
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut value = Vec::new();
    file.take(MAX_ANSWER_LEN as u64 + 1).read_to_end(&mut value)?;
    if value.len() > MAX_ANSWER_LEN {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is too long to be a summary"));
    }
    Ok(Some(value))
}

/// Writes a new file beside the old one and renames it, with everything on the disk before success is said.
fn replace(path: &Path, value: &[u8]) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(directory)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // In containers that share a volume process ids are the same, also after a crash that left a file behind.
    let number = u64::from_be_bytes(entropy::random());
    let temporary = directory.join(format!(".{name}.{number:016x}.tmp"));
    let written = write(&temporary, value).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // Nothing more can be done about a left-over that cannot be removed either.
        drop(fs::remove_file(&temporary));
    }
    written?;
    File::open(directory)?.sync_all()
}

fn write(path: &Path, value: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(value)?;
    file.sync_all()
}
