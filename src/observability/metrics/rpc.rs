//! The numbers and durations of answers, by method and code.

use std::{collections::HashMap, marker::PhantomData, sync::Arc, time::Instant};

use parking_lot::Mutex;
use tonic::Code;

use super::{
    Histograms, MetricLabel, TraceRef,
    histogram::{BUCKETS, Exemplar, Histogram, Sum},
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

/// The durations of one thread's answers.
#[derive(Debug)]
struct Durations {
    /// By method, then by code. One more method stands for all others.
    table: Box<[[Histogram; CODES.len()]]>,
    /// The last traced request of each method, code and bucket. Only who has one, or reads them all,
    /// takes the lock.
    exemplars: Mutex<HashMap<(usize, usize, usize), Exemplar>>,
}

/// The numbers and durations of answers, by method and code.
#[derive(Debug)]
pub(crate) struct Rpcs<M> {
    durations: Sharded<Arc<Durations>>,
    method: PhantomData<M>,
}

impl<M: MetricLabel> Default for Rpcs<M> {
    fn default() -> Self {
        let table = || (0..=M::ALL.len()).map(|_| Default::default()).collect();
        let durations = move || Arc::new(Durations { table: table(), exemplars: Mutex::default() });
        Self { durations: Sharded::new(durations), method: PhantomData }
    }
}

impl<M: MetricLabel> Rpcs<M> {
    /// Times the answer to a request for this method (`None`: not a method of ours), which arrived
    /// at `started`.
    pub(crate) fn time(&self, method: Option<M>, started: Instant) -> Stopwatch {
        let method = method.map_or(M::ALL.len(), M::number);
        Stopwatch { durations: Some(Arc::clone(self.durations.mine())), method, started }
    }

    /// The current values, with the help text for them. Codes that a method has never answered with
    /// are left out, except OK: most of them never occur.
    pub(crate) fn histograms(&self, name: &'static str, help: &'static str) -> Histograms {
        let names = M::ALL.iter().map(|method| method.word()).chain([OTHER]);
        let mut series = Vec::new();
        for (method, name) in names.enumerate() {
            for (code, word) in CODES.iter().enumerate() {
                let mut sum = self.sum(method, code);
                if sum.count() > 0 || code == Code::Ok as usize {
                    self.illustrate(method, code, &mut sum);
                    series.push((format!("method=\"{name}\",code=\"{word}\""), sum));
                }
            }
        }
        Histograms { name, help, series }
    }

    fn sum(&self, method: usize, code: usize) -> Sum {
        let mut sum = Sum::default();
        for durations in self.durations.each() {
            sum.add(&durations.table[method][code]);
        }
        sum
    }

    fn illustrate(&self, method: usize, code: usize, sum: &mut Sum) {
        for durations in self.durations.each() {
            let exemplars = durations.exemplars.lock();
            for bucket in 0..BUCKETS {
                if let Some(exemplar) = exemplars.get(&(method, code, bucket)) {
                    sum.illustrate(bucket, *exemplar);
                }
            }
        }
    }
}

/// Times one answer. If it is dropped while it runs, the call was cancelled.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    /// `None` once it is stopped.
    durations: Option<Arc<Durations>>,
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
            durations.table[self.method][code as usize].observe(self.started.elapsed());
        }
    }

    /// The same of a request with a trace, if it has one, which then illustrates its bucket.
    pub(crate) fn stop_traced(&mut self, code: Code, trace: Option<TraceRef>) {
        let Some(durations) = self.durations.take() else { return };
        let (code, duration) = (code as usize, self.started.elapsed());
        let bucket = durations.table[self.method][code].observe(duration);
        if let Some(trace) = trace {
            let exemplar = Exemplar { trace, duration };
            durations.exemplars.lock().insert((self.method, code, bucket), exemplar);
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
