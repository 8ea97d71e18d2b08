//! Answers by method and code, and how long they took.

use std::{fmt, marker::PhantomData, sync::Arc, time::Instant};

use prometheus_client::encoding::MetricEncoder;
use tonic::Code;

use super::{
    MetricLabel,
    histogram::{Histogram, Sum},
};
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

/// Each method's durations, by code. One more stands for all others.
type HistogramTable = Box<[[Histogram; CODES.len()]]>;

/// Answers by method and code.
#[derive(Debug)]
pub(crate) struct Rpcs<M> {
    durations: Sharded<Arc<HistogramTable>>,
    method: PhantomData<M>,
}

impl<M: MetricLabel> Default for Rpcs<M> {
    fn default() -> Self {
        let durations =
            Sharded::new(|| Arc::new((0..=M::ALL.len()).map(|_| Default::default()).collect()));
        Self { durations, method: PhantomData }
    }
}

impl<M: MetricLabel> Rpcs<M> {
    /// Times the answer to a request for this method (`None`: none of ours), which came at
    /// `started`.
    pub(crate) fn time(&self, method: Option<M>, started: Instant) -> Stopwatch {
        let method = method.map_or(M::ALL.len(), M::number);
        Stopwatch { durations: Some(Arc::clone(self.durations.mine())), method, started }
    }

    /// Codes that a method has not answered with are left out, all but OK: most of them it never
    /// will.
    pub(crate) fn encode(&self, mut encoder: MetricEncoder) -> fmt::Result {
        let names = M::ALL.iter().map(|method| method.word()).chain([OTHER]);
        for (method, name) in names.enumerate() {
            for (code, word) in CODES.iter().enumerate() {
                let mut sum = Sum::default();
                self.durations.each().for_each(|durations| sum.add(&durations[method][code]));
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
pub(crate) struct Stopwatch {
    /// `None` once it was stopped.
    durations: Option<Arc<HistogramTable>>,
    method: usize,
    started: Instant,
}

impl Stopwatch {
    /// When the request came.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// The answer is there, with this code.
    pub(crate) fn stop(&mut self, code: Code) {
        if let Some(durations) = self.durations.take() {
            durations[self.method][code as usize].observe(self.started.elapsed());
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
