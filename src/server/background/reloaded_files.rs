//! Files that are read again when they change: tokens, callers, certificates.

mod source;
#[cfg(test)]
mod tests;

use std::{convert::Infallible, fmt::Display, path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::{Instant, timeout},
};

use self::source::Source;
pub(crate) use self::source::read;
use super::{reload::Reloads, told::Repeated};
use crate::config::UnusableSetting;

/// How often the files are checked.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What has changed counts once it has stayed the same for this long: who writes a file in place
/// leaves half of it for a moment.
const SETTLES: Duration = Duration::from_millis(100);

/// How long reading may take before the log says that it lasts. Nothing else waits for it: the
/// server's signals, feed and readiness share the thread that follows files.
const READ_TIMEOUT: Duration = Duration::from_secs(3);

/// Parses the files, or says what is wrong with them.
type Parse<T> = dyn Fn(&[Vec<u8>]) -> Result<T, String> + Send + Sync;

/// Files that are parsed into a value, and their contents when they were last read.
pub(crate) struct ReloadedFiles<T> {
    setting: &'static str,
    sources: Arc<[Source]>,
    parse: Box<Parse<T>>,
    read: Option<Vec<Vec<u8>>>,
    /// What the last look found, where that was something else.
    seen: Option<Texts>,
    /// A reading that has begun. Another one begins only after its end, so that those that hang are
    /// never many.
    reading: Option<JoinHandle<Texts>>,
    /// What is wrong with them, once that was logged.
    complaint: Repeated,
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
        let unusable = |problem| UnusableSetting::new(setting, problem);
        let sources = paths.into_iter().map(|path| Source::open(setting, path));
        let sources: Arc<[Source]> = sources.collect::<Result<_, _>>().map_err(unusable)?;
        let texts = texts(&sources).map_err(unusable)?;
        let mut followed = Self {
            setting,
            sources,
            parse: Box::new(parse),
            read: None,
            seen: None,
            reading: None,
            complaint: Repeated::default(),
        };
        let value = followed.parse(&texts).map_err(unusable)?;
        followed.read = Some(texts);
        Ok((followed, value))
    }

    /// Reads one file for the first time.
    pub(crate) fn open_file(
        setting: &'static str,
        path: PathBuf,
        parse: impl Fn(&[u8]) -> Result<T, String> + Send + Sync + 'static,
    ) -> Result<(Self, T), UnusableSetting> {
        let parse = move |texts: &[Vec<u8>]| parse(texts.first().map_or(&[], Vec::as_slice));
        Self::open(setting, vec![path], parse)
    }

    /// Reads one file of text for the first time.
    pub(crate) fn open_text<E: Display>(
        setting: &'static str,
        path: PathBuf,
        parse: impl Fn(&str) -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<(Self, T), UnusableSetting> {
        let parse = move |text: &[u8]| {
            let text = str::from_utf8(text).map_err(|_| "it is no text".to_owned())?;
            parse(text).map_err(|error| error.to_string())
        };
        Self::open_file(setting, path, parse)
    }

    /// Reads them apart from everything else, and says so if that does not end in time.
    async fn texts(&mut self) -> Texts {
        let sources = Arc::clone(&self.sources);
        let reading = self.reading.get_or_insert_with(|| spawn_blocking(move || texts(&sources)));
        let Ok(read) = timeout(READ_TIMEOUT, reading).await else {
            let seconds = READ_TIMEOUT.as_secs();
            let names = self.names();
            return Err(format!("names {names}: reading has not ended within {seconds} s"));
        };
        self.reading = None;
        read.unwrap_or_else(|error| Err(format!("names {}: {error}", self.names())))
    }

    fn names(&self) -> String {
        let names: Vec<String> = self.sources.iter().map(Source::name).collect();
        names.join(", ")
    }

    fn parse(&self, texts: &[Vec<u8>]) -> Result<T, String> {
        (self.parse)(texts).map_err(|problem| format!("names {}: {problem}", self.names()))
    }

    async fn look(&mut self) -> Found<T> {
        let texts = self.texts().await;
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
    /// nothing, and are reported once a minute, and to everybody who asks. May be given up at any time.
    pub(crate) async fn next(&mut self, reloads: &mut Reloads) -> T {
        let mut pause = LOOK_AGAIN;
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = reloads.next() => self.complaint = Repeated::default(),
            }
            pause = LOOK_AGAIN;
            match self.look().await {
                Found::TheSame => self.complaint = Repeated::default(),
                Found::Moving => pause = SETTLES,
                Found::New(value) => {
                    self.complaint = Repeated::default();
                    return value;
                }
                Found::Unusable(problem) => self.complain(&problem),
            }
        }
    }

    fn complain(&mut self, problem: &str) {
        if self.complaint.is_due(problem, Instant::now()).is_some() {
            tracing::error!("{} {problem}; the previous contents stay in effect", self.setting);
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

fn texts(sources: &[Source]) -> Texts {
    sources.iter().map(Source::text).collect()
}
