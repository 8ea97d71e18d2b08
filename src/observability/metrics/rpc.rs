//! Answers by method and code, and how long they took.

use std::{fmt, sync::Arc, time::Instant};

use prometheus_client::encoding::MetricEncoder;
use tonic::Code;

use super::histogram::{Histogram, Sum};
use crate::observability::counters::Sharded;

/// The codes of gRPC, by their numbers.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// Under this name go health, reflection, and methods that do not exist.
const OTHER: &str = "other";

/// Each method's durations, by code.
#[derive(Debug)]
struct Table {
    methods: Arc<[String]>,
    durations: Box<[[Histogram; CODES.len()]]>,
}

/// Answers by method and code.
#[derive(Debug)]
pub struct Rpcs {
    /// Paths. The methods' numbers are their places here; one more stands for all others.
    methods: Arc<[String]>,
    tables: Sharded<Arc<Table>>,
}

impl Rpcs {
    pub(super) fn new(methods: Vec<String>) -> Self {
        let methods: Arc<[String]> = methods.into();
        let known = Arc::clone(&methods);
        let table = move || {
            let durations = (0..=known.len()).map(|_| Default::default()).collect();
            Arc::new(Table { methods: Arc::clone(&known), durations })
        };
        Self { methods, tables: Sharded::new(table) }
    }

    /// Times the answer to a request for this path, which came at `started`.
    pub fn time(&self, path: &str, started: Instant) -> Stopwatch {
        let method = self.methods.iter().position(|method| method == path).unwrap_or(self.methods.len());
        Stopwatch { table: Some(Arc::clone(self.tables.mine())), method, started }
    }

    /// Codes that a method has not answered with are left out, all but OK: most of them it never will.
    pub(super) fn encode(&self, mut encoder: MetricEncoder) -> fmt::Result {
        let names = self.methods.iter().map(|path| path.rsplit('/').next().unwrap_or(path)).chain([OTHER]);
        for (method, name) in names.enumerate() {
            for (code, word) in CODES.iter().enumerate() {
                let mut sum = Sum::default();
                self.tables.each().for_each(|table| sum.add(&table.durations[method][code]));
                if sum.count() > 0 || code == Code::Ok as usize {
                    sum.encode(encoder.encode_family(&[("method", name), ("code", *word)])?)?;
                }
            }
        }
        Ok(())
    }
}

/// Times one answer. One that is dropped while it runs belongs to a call that was cancelled.
#[derive(Debug)]
pub struct Stopwatch {
    /// `None` once it was stopped.
    table: Option<Arc<Table>>,
    method: usize,
    started: Instant,
}

impl Stopwatch {
    /// The path of the method that answers, as long as it has not; `None`: it is none of ours.
    pub fn method(&self) -> Option<&str> {
        self.table.as_ref()?.methods.get(self.method).map(String::as_str)
    }

    /// When the request came.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// The answer is there, with this code.
    pub fn stop(&mut self, code: Code) {
        if let Some(table) = self.table.take() {
            table.durations[self.method][code as usize].observe(self.started.elapsed());
        }
    }
}

impl Drop for Stopwatch {
    fn drop(&mut self) {
        self.stop(Code::Cancelled);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_stand_at_their_numbers() {
        for (number, word) in CODES.iter().enumerate() {
            let code = Code::from(i32::try_from(number).unwrap());
            assert_eq!(word.replace('_', "").to_lowercase(), format!("{code:?}").to_lowercase());
        }
    }
}
