//! What became of questions, second by second, in bounded room.

use std::{
    mem,
    ops::Range,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use entitlementd::proto::v1::entitlement_service_client::EntitlementServiceClient;
use hdrhistogram::Histogram;
use tokio::{task::JoinSet, time::interval};
use tonic::transport::Channel;

use crate::{
    common,
    load::Sink,
    world::{on_its_own, question},
};

/// Takes in what became of questions, until it is taken out.
#[derive(Default)]
pub struct Recorder(Mutex<Second>);

/// What became of the questions of a second, or of more.
pub struct Second {
    /// Of answers, in nanoseconds, to three digits.
    pub latencies: Histogram<u64>,
    /// Statuses in place of answers.
    pub failed: u64,
}

impl Default for Second {
    fn default() -> Self {
        let latencies = Histogram::new_with_bounds(1_000, 60_000_000_000, 3).unwrap();
        Self { latencies, failed: 0 }
    }
}

impl Second {
    pub fn add(&mut self, other: &Self) {
        self.latencies.add(&other.latencies).unwrap();
        self.failed += other.failed;
    }

    /// A quantile, in milliseconds.
    pub fn millis(latencies: &Histogram<u64>, quantile: f64) -> f64 {
        latencies.value_at_quantile(quantile) as f64 / 1e6
    }
}

impl Sink for Recorder {
    fn answered(&self, after: Duration) {
        self.0.lock().unwrap().latencies.saturating_record(after.as_nanos() as u64);
    }

    fn failed(&self) {
        self.0.lock().unwrap().failed += 1;
    }
}

impl Recorder {
    pub fn take(&self) -> Second {
        let fresh = Second::default();
        mem::replace(&mut *self.0.lock().unwrap(), fresh)
    }
}

/// Asks for one tenant after the other, each for the first time, at a steady pace and by a real
/// client. One that is slow holds up no other.
pub fn ask_cold(port: u16, tenants: Range<u32>, per_second: u32, sink: &Arc<Recorder>) {
    let ask = |mut client: EntitlementServiceClient<Channel>, tenant, sink: Arc<Recorder>| async move {
        let began = Instant::now();
        match client.check_module(question(tenant)).await {
            Ok(answer) => {
                assert!(answer.into_inner().allowed);
                sink.answered(began.elapsed());
            }
            Err(_) => sink.failed(),
        }
    };
    on_its_own(async {
        let client = common::connect(&format!("127.0.0.1:{port}")).await;
        let mut beat = interval(Duration::from_secs(1) / per_second);
        let mut asked = JoinSet::new();
        for tenant in tenants {
            beat.tick().await;
            asked.spawn(ask(client.clone(), tenant, Arc::clone(sink)));
        }
        asked.join_all().await;
    });
}
