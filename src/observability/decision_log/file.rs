//! The file of the decision log: rotated by size, and opened again where others have moved it.

use std::{
    ffi::OsString,
    fs::{self, File, Metadata, OpenOptions},
    io::{self, ErrorKind, Write},
    os::{
        fd::AsFd,
        unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
};

use super::{
    LogTarget,
    writer::{LineSink, Outcome, Trouble},
};

/// What is written to.
pub(super) struct LogFile {
    /// Not buffered: what it takes has been written.
    file: File,
    /// `None`: standard output, which nobody moves.
    place: Option<LogPlace>,
    /// The last line ends in the middle: there was no room for the rest.
    is_torn: bool,
}

/// Where the file is.
#[derive(Clone)]
struct LogPlace {
    path: PathBuf,
    max_bytes: u64,
    kept: usize,
}

impl LogFile {
    pub(super) fn open(target: LogTarget) -> io::Result<Self> {
        match target {
            LogTarget::Stdout => {
                let file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
                Ok(Self { file, place: None, is_torn: false })
            }
            LogTarget::File { path, max_bytes, kept } => {
                Self::open_at(LogPlace { path, max_bytes, kept })
            }
        }
    }

    fn open_at(place: LogPlace) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        // It shows who uses what: readable by the owner only.
        let file = options.append(true).create(true).mode(0o600).open(&place.path)?;
        let is_torn = ends_in_the_middle(&place.path).unwrap_or_default();
        Ok(Self { file, place: Some(place), is_torn })
    }

    /// Writes as much as possible.
    fn write(&mut self, bytes: &[u8]) -> (usize, io::Result<()>) {
        let (mut rest, mut outcome) = (bytes, Ok(()));
        while outcome.is_ok() && !rest.is_empty() {
            match self.file.write(rest) {
                Ok(0) => outcome = Err(ErrorKind::WriteZero.into()),
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => outcome = Err(error),
            }
        }
        let written = bytes.len() - rest.len();
        if let Some(last) = written.checked_sub(1) {
            self.is_torn = bytes[last] != b'\n';
        }
        (written, outcome)
    }

    /// Puts the file aside if it would become too large, and begins a new one.
    fn make_room(&mut self, bytes: usize) -> io::Result<()> {
        let Some(place) = &self.place else { return Ok(()) };
        let metadata = self.file.metadata()?;
        let fits = metadata.len().saturating_add(bytes as u64) <= place.max_bytes;
        if fits || metadata.len() == 0 || !metadata.is_file() {
            return Ok(());
        }
        place.put_aside()?;
        *self = Self::open_at(place.clone())?;
        Ok(())
    }

    /// Is the open file the one at its path?
    fn is_in_place(&self, path: &Path) -> bool {
        let identity = |metadata: Metadata| (metadata.dev(), metadata.ino());
        let there = fs::metadata(path).map(identity).ok();
        there.is_some() && there == self.file.metadata().map(identity).ok()
    }

    /// Was the open file removed? What is written to it, nobody can read.
    fn is_removed(&self) -> bool {
        self.file.metadata().is_ok_and(|metadata| metadata.nlink() == 0)
    }
}

impl LineSink for LogFile {
    fn write_lines(&mut self, lines: &[u8]) -> Outcome {
        let mut trouble = match self.follow(false) {
            Err(trouble) if self.is_removed() => {
                return Outcome { written: 0, trouble: Some(trouble) };
            }
            Err(trouble) => Some(trouble),
            // A file that was moved stays as it is: another one is at its path by then.
            Ok(()) => self.make_room(lines.len()).map_err(Trouble::Rotate).err(),
        };
        if self.is_torn
            && let (_, Err(error)) = self.write(b"\n")
        {
            return Outcome { written: 0, trouble: Some(Trouble::Write(error)) };
        }
        let (written, outcome) = self.write(lines);
        if let Err(error) = outcome {
            trouble = Some(Trouble::Write(error));
        }
        Outcome { written, trouble }
    }

    fn follow(&mut self, anew: bool) -> Result<(), Trouble> {
        let Some(place) = &self.place else { return Ok(()) };
        if !anew && self.is_in_place(&place.path) {
            return Ok(());
        }
        *self = Self::open_at(place.clone()).map_err(Trouble::Open)?;
        tracing::info!("the decision log was opened again");
        Ok(())
    }
}

impl LogPlace {
    fn aside(&self, number: usize) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(format!(".{number}"));
        name.into()
    }

    /// Renames the file to `FILE.1`, that to `FILE.2`, and so on up to the first name that is free.
    /// So an attempt that fails, and is repeated, pushes nothing out.
    fn put_aside(&self) -> io::Result<()> {
        let is_free = |number: &usize| fs::symlink_metadata(self.aside(*number)).is_err();
        let free = (1..self.kept).find(is_free).unwrap_or(self.kept);
        for number in (1..free).rev() {
            fs::rename(self.aside(number), self.aside(number + 1))?;
        }
        fs::rename(&self.path, self.aside(1))
    }
}

/// Does the last line of a file lack its end? Whoever wrote it found no room for it, or was killed.
fn ends_in_the_middle(path: &Path) -> io::Result<bool> {
    // A pipe would wait for whoever writes to it.
    if !fs::metadata(path)?.is_file() {
        return Ok(false);
    }
    let file = File::open(path)?;
    let Some(last) = file.metadata()?.len().checked_sub(1) else { return Ok(false) };
    let mut byte = [0];
    file.read_exact_at(&mut byte, last)?;
    Ok(byte != *b"\n")
}
