//! Files that are read again when they change: tokens, callers, certificates.

use std::{convert::Infallible, fmt::Display, fs::File, io::Read, path::PathBuf, time::Duration};

use super::reload::Reloads;
use crate::config::UnusableSetting;

/// How often the files are checked.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The maximum size of a file of settings; a larger one is a mistake, for example a device.
/// Revocation lists are the largest.
const MAX_BYTES: u64 = 16 << 20;

/// Parses the files, or says what is wrong with them.
type Parse<T> = dyn Fn(&[Vec<u8>]) -> Result<T, String> + Send + Sync;

/// Files that are parsed into a value, and their contents when they were last read.
pub(crate) struct ReloadedFiles<T> {
    setting: &'static str,
    paths: Vec<PathBuf>,
    parse: Box<Parse<T>>,
    read: Option<Vec<Vec<u8>>>,
}

impl<T> ReloadedFiles<T> {
    /// Reads the files for the first time.
    pub(crate) fn open(
        setting: &'static str,
        paths: Vec<PathBuf>,
        parse: impl Fn(&[Vec<u8>]) -> Result<T, String> + Send + Sync + 'static,
    ) -> Result<(Self, T), UnusableSetting> {
        let mut followed = Self { setting, paths, parse: Box::new(parse), read: None };
        let unusable = |problem| UnusableSetting::new(setting, problem);
        let texts = followed.texts().map_err(unusable)?;
        let value = followed.parse(&texts).map_err(unusable)?;
        followed.read = Some(texts);
        Ok((followed, value))
    }

    /// Reads one file of text for the first time.
    pub(crate) fn open_text<E: Display>(
        setting: &'static str,
        path: PathBuf,
        parse: impl Fn(&str) -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<(Self, T), UnusableSetting> {
        let parse = move |texts: &[Vec<u8>]| {
            let text = str::from_utf8(texts.first().map(Vec::as_slice).unwrap_or_default());
            let text = text.map_err(|_| "it is no text".to_owned())?;
            parse(text).map_err(|error| error.to_string())
        };
        Self::open(setting, vec![path], parse)
    }

    fn texts(&self) -> Result<Vec<Vec<u8>>, String> {
        let read = |path: &PathBuf| {
            let mut text = Vec::new();
            let read =
                File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut text));
            match read {
                Ok(read) if read as u64 > MAX_BYTES => Err(format!(
                    "names {}, which holds more than {MAX_BYTES} bytes",
                    path.display()
                )),
                Ok(_) => Ok(text),
                Err(error) => {
                    Err(format!("names {}, which cannot be read: {error}", path.display()))
                }
            }
        };
        self.paths.iter().map(read).collect()
    }

    fn parse(&self, texts: &[Vec<u8>]) -> Result<T, String> {
        let names: Vec<String> = self.paths.iter().map(|path| path.display().to_string()).collect();
        (self.parse)(texts).map_err(|problem| format!("names {}: {problem}", names.join(", ")))
    }

    /// `None`: their contents are unchanged.
    fn read_again(&mut self) -> Result<Option<T>, String> {
        let texts = self.texts()?;
        if self.read.as_ref() == Some(&texts) {
            return Ok(None);
        }
        let value = self.parse(&texts)?;
        self.read = Some(texts);
        Ok(Some(value))
    }

    /// Reads them again and again, and whenever that is asked for. Contents that cannot be used
    /// change nothing, and are reported once, and to everybody who asks.
    pub(crate) async fn follow(
        mut self,
        mut reloads: Reloads,
        take: impl Fn(T) + Send,
    ) -> Infallible {
        let mut complaint = String::new();
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_AGAIN) => {}
                () = reloads.next() => complaint.clear(),
            }
            match self.read_again() {
                Ok(Some(value)) => {
                    take(value);
                    tracing::info!(
                        setting = self.setting,
                        "{} has changed, and is in effect from now on",
                        self.setting
                    );
                }
                Ok(None) => {}
                Err(problem) if problem == complaint => continue,
                Err(problem) => {
                    tracing::error!(
                        "{} {problem}; the previous contents stay in effect",
                        self.setting
                    );
                    complaint = problem;
                    continue;
                }
            }
            complaint.clear();
        }
    }
}
