//! One of the files.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

/// The maximum size of a file of settings; a larger one is a mistake, for example a device.
/// Revocation lists are the largest.
const MAX_BYTES: u64 = 16 << 20;

/// A file, or what it held where it cannot be read again.
pub(super) struct Source {
    path: PathBuf,
    /// What a pipe or a device held at the start. Reading it again would wait for a writer, or
    /// give something else.
    kept: Option<Vec<u8>>,
}

impl Source {
    /// What is no regular file is read here, once. The error is a predicate of the setting.
    pub(super) fn open(setting: &str, path: PathBuf) -> Result<Self, String> {
        let mut source = Self { path, kept: None };
        if is_irregular(&source.path) {
            source.kept = Some(read(&source.path)?);
            tracing::warn!(
                "{setting} names {}, which is no regular file: it was read once, and is not followed",
                source.name()
            );
        }
        Ok(source)
    }

    pub(super) fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// What it holds now.
    pub(super) fn text(&self) -> Result<Vec<u8>, String> {
        if let Some(kept) = &self.kept {
            return Ok(kept.clone());
        }
        // Opening a pipe waits for its writer.
        if is_irregular(&self.path) {
            return Err(format!("names {}, which is no regular file", self.name()));
        }
        read(&self.path)
    }
}

/// Reads a file. The error is a predicate of the setting.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    match File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut text)) {
        Ok(read) if read as u64 > MAX_BYTES => {
            Err(format!("names {}, which holds more than {MAX_BYTES} bytes", path.display()))
        }
        Ok(_) => Ok(text),
        Err(error) => Err(format!("names {}, which cannot be read: {error}", path.display())),
    }
}

fn is_irregular(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir())
}
