//! The decision log: a line of JSON for each denial, and for some of the grants.
//!
//! Requests only put an entry in a queue. A separate thread writes them; when it falls behind,
//! entries are dropped and counted, and no answer waits.

use std::{
    fs::OpenOptions,
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
    },
    thread,
    time::Duration,
};

use file_rotate::{ContentLimit, FileRotate, compression::Compression, suffix::AppendCount};
use serde::{Deserialize, Serialize};

use super::sampler::Sampler;
use crate::escape::escape_control_json;

/// Maximum number of entries that wait to be written: some megabytes.
const QUEUE: usize = 8192;

/// One decision.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub(crate) struct DecisionRecord {
    /// When the decision was given, in RFC 3339.
    pub time: String,
    /// The method that was called: `CheckModule`, `BatchCheckModules`, `Authorize`, or `gateway`
    /// for an HTTP request.
    pub asked: String,
    /// The caller's name in the file of callers.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub caller: String,
    /// The outcome: `granted`, `denied`, or for an HTTP request `granted`, `would_deny`, `refused`.
    pub decision: String,
    /// The tenant's id, if it is known.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tenant_id: String,
    /// The module, if one was named.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub module: String,
    /// The reason, as one word.
    pub reason: String,
    /// The revision of the tenant's facts.
    pub revision: u64,
    /// The HTTP request's method.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub method: String,
    /// The rule that covers the HTTP request, as it is written.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub route: String,
}

/// Where the log goes.
#[derive(Clone, Debug)]
pub(crate) enum LogTarget {
    /// Standard output.
    Stdout,
    /// A file, which is rotated to `FILE.1`, `FILE.2`, ... at a maximum size.
    File {
        path: PathBuf,
        /// The size at which it is rotated, in bytes.
        max_bytes: usize,
        /// The number of rotated files that are kept.
        kept: usize,
    },
}

/// The queue to the log. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct DecisionLog {
    queue: SyncSender<Message>,
    grants: Sampler,
    counts: Arc<LogCounts>,
}

#[derive(Debug, Default)]
struct LogCounts {
    written: AtomicU64,
    dropped: AtomicU64,
}

enum Message {
    DecisionRecord(Box<DecisionRecord>),
    /// Reached once all earlier entries are written; then the sender is notified.
    End(SyncSender<()>),
}

impl DecisionLog {
    /// Opens the log. One in this many grants is logged; 0: none.
    pub(crate) fn open(target: &LogTarget, one_grant_in: u32) -> io::Result<Self> {
        let out: Box<dyn Write + Send> = match target {
            LogTarget::Stdout => Box::new(io::stdout()),
            LogTarget::File { path, max_bytes, kept } => {
                let mut options = OpenOptions::new();
                // It shows who uses what: readable by the owner only.
                options.append(true).create(true).mode(0o600);
                // The rotating writer would not report a file that cannot be opened.
                options.open(path)?;
                let (kept, limit) =
                    (AppendCount::new(*kept), ContentLimit::BytesSurpassed(*max_bytes));
                Box::new(FileRotate::new(path, kept, limit, Compression::None, Some(options)))
            }
        };
        Self::write_to(out, one_grant_in)
    }

    fn write_to(out: Box<dyn Write + Send>, one_grant_in: u32) -> io::Result<Self> {
        let (queue, entries) = sync_channel(QUEUE);
        let counts = Arc::new(LogCounts::default());
        let counted = Arc::clone(&counts);
        thread::Builder::new()
            .name("decision-log".to_owned())
            .spawn(move || write(entries, out, &counted))?;
        Ok(Self { queue, grants: Sampler::new(one_grant_in), counts })
    }

    /// Is this decision to be logged? Denials always are.
    pub(crate) fn wants(&self, granted: bool) -> bool {
        !granted || self.grants.chooses()
    }

    /// Logs a decision, unless the queue is full.
    pub(crate) fn add(&self, entry: DecisionRecord) {
        if self.queue.try_send(Message::DecisionRecord(Box::new(entry))).is_err() {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The numbers of entries that were written, and that were dropped.
    pub(crate) fn counts(&self) -> [u64; 2] {
        [&self.counts.written, &self.counts.dropped].map(|count| count.load(Ordering::Relaxed))
    }

    /// Waits until everything is written, for `patience` at most.
    pub(crate) fn end(&self, patience: Duration) {
        let (done, ended) = sync_channel(1);
        if self.queue.try_send(Message::End(done)).is_ok() {
            // Nothing more can be done if it does not end in time.
            _ = ended.recv_timeout(patience);
        }
    }
}

fn write(entries: Receiver<Message>, out: Box<dyn Write + Send>, counts: &LogCounts) {
    // Larger than any line, so that no line is split by a rotation.
    let mut out = BufWriter::with_capacity(64 * 1024, out);
    let mut complained = false;
    while let Ok(message) = entries.recv() {
        let mut next = Ok(message);
        let mut outcome = Ok(());
        let mut ended = None;
        while let Ok(message) = next {
            match message {
                Message::DecisionRecord(entry) => {
                    let written = write_line(&mut out, &entry);
                    let count = if written.is_ok() { &counts.written } else { &counts.dropped };
                    count.fetch_add(1, Ordering::Relaxed);
                    outcome = outcome.and(written);
                }
                Message::End(done) => ended = Some(done),
            }
            next = entries.try_recv();
        }
        outcome = outcome.and(out.flush());
        match outcome {
            Ok(()) => complained = false,
            Err(error) if !complained => {
                tracing::error!(%error, "the decision log cannot be written: {error}");
                complained = true;
            }
            Err(_) => {}
        }
        if let Some(done) = ended {
            _ = done.try_send(());
        }
        if matches!(next, Err(TryRecvError::Disconnected)) {
            return;
        }
    }
}

fn write_line(
    out: &mut BufWriter<Box<dyn Write + Send>>,
    entry: &DecisionRecord,
) -> io::Result<()> {
    let json = serde_json::to_string(entry)?;
    let line = format!("{}\n", escape_control_json(&json));
    if out.capacity() - out.buffer().len() < line.len() {
        out.flush()?;
    }
    out.write_all(line.as_bytes())
}

#[cfg(test)]
mod tests;
