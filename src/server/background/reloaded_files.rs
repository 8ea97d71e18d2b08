//! Files that are read again when they change: tokens, callers, certificates.

use std::{convert::Infallible, fmt::Display, fs::File, io::Read, path::PathBuf, time::Duration};

use super::reload::Reloads;
use crate::config::UnusableSetting;

/// How often the files are checked.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What has changed counts once it has stayed the same for this long: who writes a file in place
/// leaves half of it for a moment.
const SETTLES: Duration = Duration::from_millis(100);

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
    /// What the last look found, where that was something else.
    seen: Option<Texts>,
    /// What is wrong with it, once that was logged.
    complaint: String,
}

/// The contents, or what keeps them from being read.
type Texts = Result<Vec<Vec<u8>>, String>;

/// What a look at the files has found.
enum Found<T> {
    /// What is in effect.
    TheSame,
    /// Something that may be half written.
    Moving,
    /// Something else.
    New(T),
    /// Something else that cannot be used.
    Unusable(String),
}

impl<T> ReloadedFiles<T> {
    /// Reads the files for the first time. Without any, nothing ever changes.
    pub(crate) fn open(
        setting: &'static str,
        paths: Vec<PathBuf>,
        parse: impl Fn(&[Vec<u8>]) -> Result<T, String> + Send + Sync + 'static,
    ) -> Result<(Self, T), UnusableSetting> {
        let (parse, complaint) = (Box::new(parse), String::new());
        let mut followed = Self { setting, paths, parse, read: None, seen: None, complaint };
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

    fn texts(&self) -> Texts {
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

    fn look(&mut self) -> Found<T> {
        let texts = self.texts();
        if texts.as_ref().ok() == self.read.as_ref() {
            self.seen = None;
            return Found::TheSame;
        }
        if self.seen.as_ref() != Some(&texts) {
            self.seen = Some(texts);
            return Found::Moving;
        }
        let parsed = texts.and_then(|texts| Ok((self.parse(&texts)?, texts)));
        match parsed {
            Ok((value, texts)) => {
                self.read = Some(texts);
                self.seen = None;
                Found::New(value)
            }
            Err(problem) => Found::Unusable(problem),
        }
    }

    /// Waits until they hold something else that can be used. Contents that cannot be used change
    /// nothing, and are reported once, and to everybody who asks. May be given up at any time.
    pub(crate) async fn next(&mut self, reloads: &mut Reloads) -> T {
        let mut pause = LOOK_AGAIN;
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = reloads.next() => self.complaint.clear(),
            }
            pause = LOOK_AGAIN;
            match self.look() {
                Found::TheSame => self.complaint.clear(),
                Found::Moving => pause = SETTLES,
                Found::New(value) => {
                    self.complaint.clear();
                    return value;
                }
                Found::Unusable(problem) => self.complain(problem),
            }
        }
    }

    fn complain(&mut self, problem: String) {
        if problem != self.complaint {
            tracing::error!("{} {problem}; the previous contents stay in effect", self.setting);
            self.complaint = problem;
        }
    }

    /// The flag that names them.
    pub(crate) fn setting(&self) -> &'static str {
        self.setting
    }

    /// Reads them again and again, and whenever that is asked for.
    pub(crate) async fn follow(
        mut self,
        mut reloads: Reloads,
        take: impl Fn(T) + Send,
    ) -> Infallible {
        loop {
            take(self.next(&mut reloads).await);
            let setting = self.setting;
            tracing::info!(setting, "{setting} has changed, and is in effect from now on");
        }
    }
}
