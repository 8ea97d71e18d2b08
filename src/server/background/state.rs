//! What is held, kept in a file, so that a server that restarts while its database hangs can answer.

mod directory;
mod format;
mod read;
#[cfg(test)]
mod tests;
mod write;

use std::{
    convert::Infallible,
    fs::File,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep, timeout},
};

use self::{
    directory::Directory,
    format::{Refusal, UPSTREAMS, kind, max_bytes},
    read::{Expected, read},
    write::StateWriter,
};
use super::told::Repeated;
use crate::{
    cache::{CatalogueCopy, FactsCopy, ReadBefore},
    config::UnusableSetting,
    proto::replication::StateHead,
    service::Api,
    wire::{self, instant},
};

const SETTING: &str = "--state-dir";

/// How often it is looked whether something is to be written, and so how soon a change is.
const LOOK: Duration = Duration::from_secs(1);

/// After a write there is a pause of so many times what it took: writing takes some 2 % of a core at
/// most, however much is held.
const REST: u32 = 50;

/// A file whose proof is older than the last one by this much is written anew, though nothing has
/// changed: how long it may be served is counted from there.
const RENEW: TimeDelta = TimeDelta::seconds(30);

/// The places that are copied, encoded and written at once.
const STEP: usize = 256;

/// Between two steps of a write there is a pause of so many times what one took: whoever answers has
/// the core.
const STEP_REST: u32 = 2;

/// How long the last write may take, when the server stops.
const LAST: Duration = Duration::from_secs(5);

/// What is to be said of the file.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StateReport {
    /// When the database last vouched for what is in it; `None`: there is no file of ours.
    pub(crate) rests_on: Option<DateTime<Utc>>,
    /// Its size.
    pub(crate) bytes: u64,
    /// How often it could not be written, or was refused.
    pub(crate) failures: u64,
}

/// Keeps what is held in a file, and gives back what was held before.
#[derive(Clone, Debug)]
pub(crate) struct State(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    api: Api,
    /// The upstreams of an instance that has no database, separated by spaces.
    upstreams: String,
    directory: Directory,
    report: Mutex<StateReport>,
    /// What was written last, or restored. Locked while it is being written.
    written: Mutex<Written>,
    /// A newer program's file is there, which is not replaced.
    is_newer_there: AtomicBool,
    /// Nobody waits for answers any more.
    is_stopping: AtomicBool,
}

/// What a file has.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Written {
    differences: u64,
    rests_on: Option<DateTime<Utc>>,
}

/// Why nothing was written.
#[derive(Debug)]
enum NotWritten {
    /// Everything has become different meanwhile: it is begun again.
    Overtaken,
    /// That cannot be.
    Failed(String),
}

impl From<std::io::Error> for NotWritten {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl State {
    /// Opens the directory, and puts in place what was held before, if that can be used. A directory
    /// that others may write to, or of another database, is a setting that cannot be used; a file that
    /// is torn, for example, only a loss. `upstreams`: those of an instance that has no database.
    pub(crate) fn open(path: &Path, api: Api, upstreams: &str) -> Result<Self, UnusableSetting> {
        let unusable = |problem: String| UnusableSetting::new(SETTING, problem);
        let directory = Directory::open(path).map_err(unusable)?;
        let state = Self(Arc::new(Inner {
            api,
            upstreams: upstreams.to_owned(),
            directory,
            report: Mutex::default(),
            written: Mutex::default(),
            is_newer_there: false.into(),
            is_stopping: false.into(),
        }));
        match state.0.read() {
            Ok(Some((before, bytes))) => state.0.restore(before, bytes),
            Ok(None) => {}
            Err(refusal @ Refusal::AnotherDatabase { .. }) => {
                let file = state.0.directory.file();
                return Err(unusable(format!(
                    "names {}, and of {}: {refusal}. Name another directory, or delete the file, which is always safe",
                    path.display(),
                    file.display()
                )));
            }
            Err(refusal) => state.0.refuse(&refusal),
        }
        Ok(state)
    }

    pub(crate) fn report(&self) -> StateReport {
        *self.0.report.lock()
    }

    /// Keeps what is held, and never returns.
    pub(crate) async fn run(&self) -> Infallible {
        let mut told = Repeated::default();
        loop {
            sleep(LOOK).await;
            let began = Instant::now();
            self.keep(RENEW, &mut told).await;
            sleep(began.elapsed() * REST / (1 + STEP_REST)).await;
        }
    }

    /// Keeps what is held at the end, if that does not take too long.
    pub(crate) async fn end(&self) {
        self.0.is_stopping.store(true, Ordering::Relaxed);
        let mut told = Repeated::default();
        if timeout(LAST, self.keep(TimeDelta::zero(), &mut told)).await.is_err() {
            tracing::warn!("what is held was not kept within {LAST:?}");
        }
    }

    /// Writes what is held, if it is due, where nobody waits for it.
    async fn keep(&self, renew: TimeDelta, told: &mut Repeated) {
        let state = Arc::clone(&self.0);
        // A panic is logged by itself.
        let Ok(kept) = spawn_blocking(move || state.keep(renew)).await else { return };
        if let Err(NotWritten::Failed(problem)) = kept {
            self.0.report.lock().failures += 1;
            if told.is_due(&problem, Instant::now()).is_some() {
                let file = self.0.directory.file();
                let file = file.display();
                tracing::warn!(%file, "what is held cannot be kept in {file}: {problem}");
            }
        }
    }
}

impl Inner {
    /// Where facts come from at present.
    fn location(&self) -> String {
        match &self.api.database {
            Some(database) => database.store.location(),
            None => format!("{UPSTREAMS}{}", self.upstreams),
        }
    }

    /// Reads what was held before, and gives the file's size.
    fn read(&self) -> Result<Option<(ReadBefore, u64)>, Refusal> {
        let Some((file, metadata)) = self.directory.open_file()? else { return Ok(None) };
        let settings = self.api.cache.settings();
        let expected = Expected {
            location: self.location(),
            now: self.api.clock.now(),
            max_stale: settings.max_stale,
            max_bytes: max_bytes(settings.capacity),
        };
        Ok(Some((read(file, metadata.len(), &expected)?, metadata.len())))
    }

    fn restore(&self, before: ReadBefore, bytes: u64) {
        let (rests_on, file) = (before.last_proof, self.directory.file());
        let (tenants, file) = (before.facts.len(), file.display());
        self.api.cache.restore(before, self.api.clock.now());
        *self.report.lock() = StateReport { rests_on: Some(rests_on), bytes, failures: 0 };
        let differences = self.api.cache.differences();
        *self.written.lock() = Written { differences, rests_on: Some(rests_on) };
        tracing::info!(
            tenants,
            "{tenants} tenants were restored from {file}, for which the database last vouched at {rests_on}: \
             until it answers, they are answered, marked as stale"
        );
    }

    fn refuse(&self, refusal: &Refusal) {
        self.report.lock().failures += 1;
        let is_newer = matches!(refusal, Refusal::Newer(_));
        self.is_newer_there.store(is_newer, Ordering::Relaxed);
        let file = self.directory.file();
        let file = file.display();
        let then = if is_newer {
            "it stays, and nothing is kept until it is deleted, which is always safe"
        } else {
            "it stays until it is written anew"
        };
        tracing::warn!(%file, "nothing is restored from {file}: {refusal}; {then}");
    }

    /// Writes what is held, if it has become different, or its proof newer by so much.
    fn keep(&self, renew: TimeDelta) -> Result<(), NotWritten> {
        let mut written = self.written.lock();
        let Some(rests_on) = self.api.cache.rests_on() else { return Ok(()) };
        let is_newer = written.rests_on.is_none_or(|before| rests_on - before > renew);
        if !is_newer && written.differences == self.api.cache.differences() {
            return Ok(());
        }
        if self.is_newer_there.load(Ordering::Relaxed) {
            if self.directory.file().exists() {
                return Err(NotWritten::Failed("a newer program's file is there".to_owned()));
            }
            self.is_newer_there.store(false, Ordering::Relaxed);
        }
        let unfinished = self.directory.begin()?;
        let outcome = self.write(unfinished).and_then(|(now, bytes)| {
            self.directory.commit()?;
            Ok((now, bytes))
        });
        let (now, bytes) = outcome.inspect_err(|_| self.directory.give_up())?;
        *written = now;
        let mut report = self.report.lock();
        (report.rests_on, report.bytes) = (now.rests_on, bytes);
        Ok(())
    }

    /// Writes all of it, and gives what was written and its size.
    fn write(&self, file: File) -> Result<(Written, u64), NotWritten> {
        let cache = &self.api.cache;
        // All of this before anything is copied: what becomes different meanwhile is written again.
        let (differences, epoch, location) = (cache.differences(), cache.epoch(), self.location());
        let Some(rests_on) = cache.rests_on() else { return Err(NotWritten::Overtaken) };
        let head = StateHead {
            database: location.clone(),
            written_at: Some(instant(self.api.clock.now().max(rests_on))),
            last_proof: Some(instant(rests_on)),
            changes_received: cache.are_changes_received(),
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let mut writer = StateWriter::begin(file, max_bytes(cache.settings().capacity))?;
        writer.record(kind::HEAD, &head)?;
        if let Some(CatalogueCopy { catalogue, is_outdated }) = cache.copy_of_catalogue() {
            let kind = if is_outdated { kind::OUTDATED_CATALOGUE } else { kind::CATALOGUE };
            if !writer.record(kind, &wire::catalogue(&catalogue))? {
                tracing::warn!("the catalogue is too large to be kept");
            }
        }
        self.write_tenants(&mut writer)?;
        let bytes = writer.end()?;
        if cache.epoch() != epoch || self.location() != location {
            return Err(NotWritten::Overtaken);
        }
        Ok((Written { differences, rests_on: Some(rests_on) }, bytes))
    }

    fn write_tenants(&self, writer: &mut StateWriter) -> Result<(), NotWritten> {
        let (mut from, mut left_out) = (0, 0);
        let (now, max_stale) = (self.api.clock.now(), self.api.cache.settings().max_stale);
        loop {
            let began = std::time::Instant::now();
            let Some(copies) = self.api.cache.copies(from, STEP) else { break };
            // Others would never be served.
            let is_of_use = |copy: &&FactsCopy| {
                copy.outdated_after.is_none_or(|was_so_at| now - was_so_at < max_stale)
            };
            for copy in copies.iter().filter(is_of_use) {
                left_out += u64::from(!writer.tenant(copy)?);
            }
            from += STEP;
            if !self.is_stopping.load(Ordering::Relaxed) {
                std::thread::sleep(began.elapsed() * STEP_REST);
            }
        }
        if left_out > 0 {
            tracing::warn!(left_out, "{left_out} tenants have too many rows to be kept");
        }
        Ok(())
    }
}
