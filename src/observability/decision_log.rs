//! The decision log: a line of JSON for each denial, and for some of the grants.
//!
//! Requests only put an entry in a queue. A separate thread writes them; when it falls behind,
//! entries are lost and counted, and no answer waits.

mod file;
mod writer;

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use self::{
    file::LogFile,
    writer::{LineSink, Writer},
};
use super::{
    counters::Counter,
    metrics::{MetricLabel, label},
    sampler::Sampler,
};

/// Maximum number of entries that wait to be written: some megabytes.
const QUEUE: usize = 8192;

/// One decision.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub(crate) struct DecisionRecord {
    /// When the decision was given, in RFC 3339.
    pub time: String,
    /// The method that was called: `CheckModule`, `BatchCheckModules`, `CheckFeature`,
    /// `BatchCheckFeatures`, `CheckLimit`, `ReserveUsage`, `Authorize`, `IssueLease`, or `gateway` for an
    /// HTTP request.
    pub asked: String,
    /// The caller's name in the file of callers.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub caller: String,
    /// The outcome: `granted`, `denied`, or for a limit also `would_deny`; for an HTTP request
    /// `granted`, `would_deny`, `refused`, or `public` if it is for lack of a rule.
    pub decision: String,
    /// The tenant's id, if it is known.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tenant_id: String,
    /// The module, if one was named.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub module: String,
    /// The key of the feature, if one was named.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub feature: String,
    /// The key of the limit, if one was named.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub limit: String,
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
    /// The path of an HTTP request that no rule covers, with `{}` in place of ids, names and
    /// secrets; `/**` stands for many.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// The id of the request: the caller's, that which a proxy gave to the HTTP request, or a new
    /// one, which the answer has in `x-request-id`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub request_id: String,
    /// The id of the trace that the request belongs to, in hexadecimal.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub trace_id: String,
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
        max_bytes: u64,
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

label! {
    /// Why a decision that was to be logged is not in the log.
    pub(crate) enum LossReason {
        /// More decisions waited to be written than the queue holds.
        Behind => "behind",
        /// The disk is full, or a quota or a limit of the file's size is reached.
        Full => "full",
        /// Writing failed for another reason.
        Failed => "failed",
    }
}

/// What became of the decisions that were to be logged.
#[derive(Debug, Default)]
pub(crate) struct LogCounts {
    written: Counter,
    lost: [Counter; LossReason::ALL.len()],
}

impl LogCounts {
    /// Decisions whose lines the file system has accepted as a whole.
    pub(crate) fn written(&self) -> u64 {
        self.written.get()
    }

    /// Decisions that are not in the log.
    pub(crate) fn lost(&self, reason: LossReason) -> u64 {
        self.lost[reason.number()].get()
    }
}

enum Message {
    DecisionRecord(Box<DecisionRecord>),
    /// The file is to be opened again.
    Reopen,
    /// Reached once all earlier entries are written; then the sender is notified.
    End(SyncSender<()>),
}

impl DecisionLog {
    /// Opens the log. One in this many grants is logged; 0: none.
    pub(crate) fn open(target: LogTarget, one_grant_in: u32) -> io::Result<Self> {
        Self::write_to(LogFile::open(target)?, one_grant_in)
    }

    fn write_to(out: impl LineSink, one_grant_in: u32) -> io::Result<Self> {
        let (queue, entries) = sync_channel(QUEUE);
        let counts = Arc::new(LogCounts::default());
        let writer = Writer::new(out, Arc::clone(&counts));
        thread::Builder::new()
            .name("decision-log".to_owned())
            .spawn(move || writer.run(entries))?;
        Ok(Self { queue, grants: Sampler::new(one_grant_in), counts })
    }

    /// Is this decision to be logged? Denials always are.
    pub(crate) fn wants(&self, granted: bool) -> bool {
        !granted || self.grants.chooses()
    }

    /// Logs a decision, unless the queue is full.
    pub(crate) fn add(&self, entry: DecisionRecord) {
        if self.queue.try_send(Message::DecisionRecord(Box::new(entry))).is_err() {
            self.counts.lost[LossReason::Behind.number()].add();
        }
    }

    /// What became of the decisions so far.
    pub(crate) fn counts(&self) -> &LogCounts {
        &self.counts
    }

    /// Opens the file again, after the entries that are in the queue.
    pub(crate) fn reopen(&self) {
        // If the queue is full, the writer looks for itself whether the file was moved.
        _ = self.queue.try_send(Message::Reopen);
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

#[cfg(test)]
mod tests;
