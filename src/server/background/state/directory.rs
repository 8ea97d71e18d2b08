//! The directory of a server's own, in which it keeps what it holds.

use std::{
    fs::{DirBuilder, File, Metadata, OpenOptions, TryLockError},
    io::{Error, ErrorKind, Result},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// The file's name.
const NAME: &str = "held.state";
/// Its name until it is whole. There is one writer at a time, so that there is one of these at most.
const UNFINISHED: &str = "held.state.new";
/// Locked by the process that writes.
const LOCK: &str = "lock";

/// The directory, which exists and is ours.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    lock: File,
}

impl Directory {
    /// Opens it. One that is missing is created, for this user alone.
    pub(super) fn open(path: &Path) -> std::result::Result<Self, String> {
        let shown = path.display();
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(format!("names {shown}, which cannot be created: {error}"));
            }
            Ok(()) | Err(_) => {}
        }
        let found = path.metadata().map_err(|error| format!("names {shown}: {error}"))?;
        if !found.is_dir() {
            return Err(format!("names {shown}, which is no directory"));
        }
        if !is_ours_alone(&found) {
            return Err(format!(
                "names {shown}, which others may write to (mode {:04o}): what they put there would be believed. \
                 Take that right from them, or name a directory in it that does not exist yet",
                found.permissions().mode() & 0o7777
            ));
        }
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.join(LOCK))
            .map_err(|error| format!("names {shown}, which cannot be written to: {error}"))?;
        Ok(Self { path: path.to_owned(), lock })
    }

    /// The file of what was held, where there is one.
    pub(super) fn file(&self) -> PathBuf {
        self.path.join(NAME)
    }

    /// Opens that file for reading; `None`: there is none.
    pub(super) fn open_file(&self) -> Result<Option<(File, Metadata)>> {
        let file = match File::open(self.file()) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() || !is_ours_alone(&metadata) {
            return Err(Error::other("others may write to it, or it is no file"));
        }
        Ok(Some((file, metadata)))
    }

    /// Begins a file that is to take its place. Only this user may read or write it, and only one
    /// process at a time makes one: the first that does keeps the others from it until it ends.
    pub(super) fn begin(&self) -> Result<File> {
        match self.lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::other("another process keeps what it holds in this directory"));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // What is there was left by a process that was killed.
        self.give_up();
        OpenOptions::new().create_new(true).write(true).mode(0o600).open(self.unfinished())
    }

    /// Puts a file in place that is whole and on the disk.
    pub(super) fn commit(&self) -> Result<()> {
        std::fs::rename(self.unfinished(), self.file())?;
        File::open(&self.path)?.sync_all()
    }

    /// Removes what was begun.
    pub(super) fn give_up(&self) {
        // Most of the time there is nothing; what cannot be removed stands in the way of the next one,
        // which says so.
        _ = std::fs::remove_file(self.unfinished());
    }

    fn unfinished(&self) -> PathBuf {
        self.path.join(UNFINISHED)
    }
}

/// May nobody write to it but this user, and root?
fn is_ours_alone(found: &Metadata) -> bool {
    let us = rustix::process::geteuid().as_raw();
    (found.uid() == us || found.uid() == 0) && found.permissions().mode() & 0o022 == 0
}
