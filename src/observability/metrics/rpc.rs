//! The numbers and durations of answers, by method and code.

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

/// The name for health, reflection, and methods that do not exist.
const OTHER: &str = "other";

/// Durations by method, then by code. One more method stands for all others.
type HistogramTable = Box<[[Histogram; CODES.len()]]>;

/// The numbers and durations of answers, by method and code.
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
    /// Times the answer to a request for this method (`None`: not a method of ours), which arrived
    /// at `started`.
    pub(crate) fn time(&self, method: Option<M>, started: Instant) -> Stopwatch {
        let method = method.map_or(M::ALL.len(), M::number);
        Stopwatch { durations: Some(Arc::clone(self.durations.mine())), method, started }
    }

    /// Codes that a method has never answered with are left out, except OK: most of them never
    /// occur.
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

/// Times one answer. If it is dropped while it runs, the call was cancelled.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    /// `None` once it is stopped.
    durations: Option<Arc<HistogramTable>>,
    method: usize,
    started: Instant,
}

impl Stopwatch {
    /// When the request arrived.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// Records that the answer is ready, with this code.
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
