//! Checkers, who note what they were answered, and what is demanded of it.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use entitlementd::proto::v1::{
    BatchCheckModulesRequest, DecisionReason, entitlement_service_client::EntitlementServiceClient,
};
use tonic::transport::Channel;

use super::{
    Work,
    model::{MODULES, TENANTS},
    writer::{Book, State},
};
use crate::harness::{dice::Dice, id};

/// So old may an answer be that is marked stale, which it is only where the machine is too busy for
/// the feed.
const MOST_STALE: Duration = Duration::from_secs(5);

/// One question and its answer.
#[derive(Debug)]
pub struct Answer {
    tenant: u32,
    /// The modules that were asked for, all at once, and what was said of each.
    reasons: Vec<(usize, DecisionReason)>,
    /// The number of a state that was committed before. The answer must not be older.
    floor: Option<usize>,
    asked: Instant,
    received: Instant,
    revision: u64,
    pub stale: bool,
}

/// Asks for one tenant after the other.
pub async fn keep_checking(
    book: Arc<Book>,
    mut client: EntitlementServiceClient<Channel>,
    mut dice: Dice,
    work: Arc<Work>,
) -> Vec<Answer> {
    let mut answers = Vec::new();
    while work.goes_on() {
        answers.push(check(&book, &mut client, &mut dice).await);
        work.answers.fetch_add(1, Ordering::Relaxed);
        if dice.once_in(4) {
            tokio::time::sleep(Duration::from_millis(dice.below(4) as u64)).await;
        }
    }
    answers
}

async fn check(
    book: &Book,
    client: &mut EntitlementServiceClient<Channel>,
    dice: &mut Dice,
) -> Answer {
    let tenant = dice.below(TENANTS as usize) as u32;
    let first = dice.below(MODULES.len());
    let modules = if dice.once_in(2) { first..first + 1 } else { 0..MODULES.len() };
    let floor = if dice.once_in(4) { known_floor(book, tenant) } else { None };
    let request = BatchCheckModulesRequest {
        tenant_id: id(tenant),
        module_codes: modules.clone().map(|module| MODULES[module].to_owned()).collect(),
        min_revision: floor.map(|(_, revision)| revision),
        at: None,
    };
    let asked = Instant::now();
    let answer = client.batch_check_modules(request).await;
    let received = Instant::now();
    let answer = answer
        .unwrap_or_else(|status| panic!("tenant {tenant}, {floor:?}: {status:?}"))
        .into_inner();
    let reasons = modules.zip(answer.decisions.iter().map(|decision| decision.reason())).collect();
    let freshness = answer.freshness.unwrap();
    let floor = floor.map(|(number, _)| number);
    Answer {
        tenant,
        reasons,
        floor,
        asked,
        received,
        revision: freshness.revision,
        stale: freshness.stale,
    }
}

/// The last state whose revision was read, and that revision.
fn known_floor(book: &Book, tenant: u32) -> Option<(usize, u64)> {
    let history = book.history(tenant);
    let number = history.last_such(|state| state.revision.is_some())?;
    Some((number, history.get(number).revision.filter(|revision| *revision > 0)?))
}

impl Answer {
    /// Demands that it is one that the tenant had, and not too long ago.
    pub fn judge(&self, book: &Book, lag: Duration) {
        let history = book.history(self.tenant);
        let lag = if self.stale { MOST_STALE } else { lag };
        let since = self.asked.checked_sub(lag).unwrap();
        let current: Vec<_> = history.within(since, self.received).collect();
        let is_right = current.iter().any(|(number, state)| self.fits(*number, state));
        assert!(is_right, "{self:#?} is none of what it could be: {current:#?}");
    }

    fn fits(&self, number: usize, state: &State) -> bool {
        // A tenant that is told from the list of all tenants has no revision there.
        let is_listed = self.revision == 0 && state.answers[0] == DecisionReason::TenantNotFound;
        self.floor.is_none_or(|floor| number >= floor)
            && self.reasons.iter().all(|(module, reason)| state.answers[*module] == *reason)
            && (is_listed || state.revision == Some(self.revision))
    }
}
