//! The thread that writes the decision log.

use std::{
    io::{self, ErrorKind},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Duration,
};

use thiserror::Error;

use super::{DecisionRecord, LogCounts, LossReason, Message};
use crate::{
    escape::escape_control_json,
    observability::{log_limiter::LogLimiter, metrics::MetricLabel},
};

/// How much is written at once, in bytes. A line is far shorter.
const BATCH_BYTES: usize = 64 * 1024;

/// How often it is checked that the file is still where it should be, while nothing is written.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// The minimum interval between two lines that say that the log cannot be written.
const COMPLAIN_EVERY: Duration = Duration::from_mins(1);

/// What takes the lines.
pub(super) trait LineSink: Send + 'static {
    /// Writes lines, all of them to one file.
    fn write_lines(&mut self, lines: &[u8]) -> Outcome;

    /// Makes sure that lines go where they should: to another file, if the one that is open was
    /// moved or removed. `anew`: in any case.
    fn follow(&mut self, anew: bool) -> Result<(), Trouble>;
}

/// What became of lines.
pub(super) struct Outcome {
    /// How many bytes were written.
    pub(super) written: usize,
    /// What did not succeed. All the same, everything may be written.
    pub(super) trouble: Option<Trouble>,
}

/// What does not succeed.
#[derive(Debug, Error)]
pub(super) enum Trouble {
    /// Lines are lost.
    #[error("the decision log cannot be written: {0}")]
    Write(io::Error),
    /// Lines go to the file that was moved.
    #[error("the decision log was moved, and cannot be opened again: {0}")]
    Open(io::Error),
    /// The file grows beyond its maximum size.
    #[error("the decision log cannot be rotated: {0}")]
    Rotate(io::Error),
}

impl Trouble {
    /// Why lines are lost because of it.
    fn loss(&self) -> LossReason {
        let (Self::Write(error) | Self::Open(error) | Self::Rotate(error)) = self;
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                LossReason::Full
            }
            _ => LossReason::Failed,
        }
    }
}

/// Turns entries into lines, and counts what becomes of them.
pub(super) struct Writer<S> {
    out: S,
    counts: Arc<LogCounts>,
    batch: Vec<u8>,
    /// Where the lines of the batch end.
    ends: Vec<usize>,
    complaints: LogLimiter,
    /// It was said that something does not succeed, and not yet that it does again.
    has_complained: bool,
    /// Entries that were lost since it was last said that all is well.
    lost: u64,
}

impl<S: LineSink> Writer<S> {
    pub(super) fn new(out: S, counts: Arc<LogCounts>) -> Self {
        Self {
            out,
            counts,
            batch: Vec::with_capacity(BATCH_BYTES),
            ends: Vec::new(),
            complaints: LogLimiter::once_in(COMPLAIN_EVERY),
            has_complained: false,
            lost: 0,
        }
    }

    /// Writes entries until nobody can send any more.
    pub(super) fn run(mut self, entries: Receiver<Message>) {
        loop {
            match entries.recv_timeout(LOOK_AGAIN) {
                Ok(message) => self.take_all(message, &entries),
                Err(RecvTimeoutError::Timeout) => self.follow(false),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Takes a message and all that wait behind it: what comes at once is written at once.
    fn take_all(&mut self, first: Message, entries: &Receiver<Message>) {
        let (mut next, mut ended) = (Some(first), None);
        while let Some(message) = next {
            match message {
                Message::DecisionRecord(entry) => self.add(&entry),
                Message::Reopen => {
                    self.flush();
                    self.follow(true);
                }
                Message::End(done) => ended = Some(done),
            }
            next = entries.try_recv().ok();
        }
        self.flush();
        if let Some(done) = ended {
            _ = done.try_send(());
        }
    }

    pub(super) fn add(&mut self, entry: &DecisionRecord) {
        // Maps with keys that are no texts cannot be written; a record has none.
        let Ok(json) = serde_json::to_string(entry) else { return };
        let line = escape_control_json(&json);
        if self.batch.len() + line.len() >= BATCH_BYTES {
            self.flush();
        }
        self.batch.extend_from_slice(line.as_bytes());
        self.ends.push(self.batch.len());
        self.batch.push(b'\n');
    }

    pub(super) fn flush(&mut self) {
        if self.ends.is_empty() {
            return;
        }
        let Outcome { written, trouble } = self.out.write_lines(&self.batch);
        let whole = self.ends.partition_point(|end| *end <= written);
        let (whole, lost) = (whole as u64, (self.ends.len() - whole) as u64);
        self.counts.written.add_many(whole);
        self.batch.clear();
        self.ends.clear();
        match trouble {
            Some(trouble) => {
                self.counts.lost[trouble.loss().number()].add_many(lost);
                self.lost += lost;
                self.complain(&trouble);
            }
            None => self.say_that_all_is_well(),
        }
    }

    fn follow(&mut self, anew: bool) {
        if let Err(trouble) = self.out.follow(anew) {
            self.complain(&trouble);
        }
    }

    fn complain(&mut self, trouble: &Trouble) {
        if self.complaints.admit().is_some() {
            let lost = self.lost;
            tracing::error!(lost, "{trouble}; {lost} decisions are lost so far");
            self.has_complained = true;
        }
    }

    fn say_that_all_is_well(&mut self) {
        if std::mem::take(&mut self.has_complained) {
            let lost = std::mem::take(&mut self.lost);
            tracing::info!(lost, "the decision log is written again; {lost} decisions were lost");
        }
    }
}
