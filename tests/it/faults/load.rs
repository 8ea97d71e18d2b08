//! Callers who never stop asking, and what is demanded of the answers they got.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use entitlementd::proto::v1::{
    CheckModuleResponse, DecisionReason, entitlement_service_client::EntitlementServiceClient,
};
use tokio::task::JoinSet;
use tonic::{Status, transport::Channel};

use crate::harness::{Server, history::History, server::check_request};

/// An answer that is not marked stale was true this long ago at most. A silent connection is
/// noticed after 1.5 s.
const LAG: Duration = Duration::from_secs(2);
/// By then a feed that is cut off knows it.
const NOTICED: Duration = Duration::from_millis(2500);
/// By then everything is as before.
pub const RECOVERED: Duration = Duration::from_secs(2);

/// What the database says of each tenant's right to finance.
pub type Truth = Arc<Mutex<HashMap<u32, History<DecisionReason>>>>;

/// One answer.
struct Answer {
    tenant: u32,
    asked: Instant,
    received: Instant,
    outcome: Result<CheckModuleResponse, Status>,
}

/// Callers at work.
pub struct Load {
    stop: Arc<AtomicBool>,
    callers: JoinSet<Vec<Answer>>,
}

/// When something was wrong.
#[derive(Clone, Copy)]
pub struct Fault {
    pub began: Instant,
    /// When the database was back.
    pub ended: Instant,
    pub effect: Effect,
}

/// What a fault does to answers.
#[derive(Clone, Copy, Eq, PartialEq)]
pub enum Effect {
    /// None at all.
    Nothing,
    /// They may be stale.
    MayBeStale,
    /// Nothing is heard any more: they must be stale.
    Stale,
}

impl Load {
    /// Asks each server for each tenant, over and over.
    pub fn start(servers: &[Server], tenants: &[u32]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut callers = JoinSet::new();
        for server in servers {
            callers.spawn(keep_asking(server.client.clone(), tenants.to_vec(), Arc::clone(&stop)));
        }
        Self { stop, callers }
    }

    /// Ends it. Demands that each answer was given, and right.
    pub async fn end(self, truth: &Truth, fault: Fault) {
        self.stop.store(true, Ordering::Relaxed);
        let callers = self.callers.join_all().await;
        let truth = truth.lock().unwrap();
        for answers in &callers {
            let during = answers
                .iter()
                .filter(|answer| answer.asked > fault.began && answer.received < fault.ended);
            assert!(
                during.count() > 0 && answers.last().unwrap().asked > fault.ended,
                "nobody asked"
            );
            for answer in answers {
                answer.judge(&truth[&answer.tenant], fault);
            }
        }
    }
}

impl Answer {
    fn judge(&self, truth: &History<DecisionReason>, Fault { began, ended, effect }: Fault) {
        let Self { tenant, asked, received, outcome } = self;
        let when = format!(
            "tenant {tenant}, asked {:?} after the fault began",
            asked.saturating_duration_since(began)
        );
        let answer = outcome.as_ref().unwrap_or_else(|status| panic!("{when}: {status:?}"));
        let freshness = answer.freshness.as_ref().unwrap();
        let true_since = if freshness.stale { began.min(*asked) } else { *asked } - LAG;
        let mut truths = truth.within(true_since, *received).map(|(_, reason)| *reason);
        let reason = answer.reason();
        assert!(
            truths.any(|truth| truth == reason),
            "{when}: {reason:?} is wrong, stale: {}",
            freshness.stale
        );
        assert_eq!(answer.allowed, reason == DecisionReason::Enabled, "{when}");

        if freshness.stale {
            let has_reason =
                effect != Effect::Nothing && *received >= began && *asked <= ended + RECOVERED;
            assert!(has_reason, "{when}: stale without a reason");
            let max_age = freshness.max_age.unwrap();
            assert!((max_age.seconds, max_age.nanos) <= (1, 0), "{when}: {max_age:?}");
        } else {
            let is_deaf = effect == Effect::Stale && *asked > began + NOTICED && *received < ended;
            assert!(!is_deaf, "{when}: not marked stale");
        }
    }
}

async fn keep_asking(
    mut client: EntitlementServiceClient<Channel>,
    tenants: Vec<u32>,
    stop: Arc<AtomicBool>,
) -> Vec<Answer> {
    let mut answers = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        for tenant in &tenants {
            let asked = Instant::now();
            let outcome = client.check_module(check_request(*tenant, "finance")).await;
            let outcome = outcome.map(tonic::Response::into_inner);
            answers.push(Answer { tenant: *tenant, asked, received: Instant::now(), outcome });
        }
        // So that others get a turn too.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    answers
}
