//! Counting while the server does not answer, for the limits that a rule allows it of: what was allowed
//! is recorded once the server is back.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::Mutex as AsyncMutex, time::sleep};
use tonic::{Code, Status};
use uuid::Uuid;

use super::Core;
use crate::{
    Error, Reservation, Reserve, UsageEvent, UsageOutage, UsageOutcome,
    clock::{NEVER, date},
    held::Look,
    usage::{MOST, Message, Quiet, UsageState, first_of, is_key},
};

/// What waits at most; beyond that nothing is allowed.
const MOST_WAITING: usize = 10_000;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What was allowed, and is to be recorded.
#[derive(Debug, Default)]
pub(crate) struct Allowed {
    /// By meter; others are denied.
    rules: HashMap<String, UsageOutage>,
    waiting: Mutex<VecDeque<UsageEvent>>,
    /// Whoever sends, or takes out, is alone.
    alone: AsyncMutex<()>,
    /// Somebody records in the background.
    is_recording: AtomicBool,
    grants_said: Quiet,
    refusals_said: Quiet,
}

impl Allowed {
    pub(crate) fn new(rules: HashMap<String, UsageOutage>) -> Self {
        Self { rules, ..Self::default() }
    }

    /// Does a rule allow this meter while the server does not answer?
    pub(super) fn allows(&self, meter: &str) -> bool {
        self.rules.get(meter) == Some(&UsageOutage::Allow)
    }

    fn is_empty(&self) -> bool {
        self.waiting.lock().is_empty()
    }

    /// Is there room for one more? Then it waits.
    fn wait(&self, event: UsageEvent) -> bool {
        let mut waiting = self.waiting.lock();
        let is_room = waiting.len() < MOST_WAITING;
        if is_room {
            waiting.push_back(event);
        }
        is_room
    }

    /// Takes out what was allowed under a key, and gives how much that was.
    pub(super) async fn take_back(&self, tenant: Uuid, meter: &str, key: &str) -> i64 {
        if self.is_empty() {
            return 0;
        }
        // What is being sent is counted, or is not: then it waits still.
        let _alone = self.alone.lock().await;
        let mut amount = 0;
        self.waiting.lock().retain(|event| {
            let is_it = event.tenant == tenant && event.meter == meter && event.key == key;
            if is_it {
                amount = event.amount;
            }
            !is_it
        });
        amount
    }
}

impl Core {
    /// What the rule of the meter answers where the server has not: granted, and recorded later; or
    /// the error, where it denies.
    pub(super) fn reserve_by_rule(
        self: &Arc<Self>,
        tenant: Uuid,
        wanted: Reserve,
        status: Status,
    ) -> Result<Reservation, Error> {
        let is_sound = is_key(&wanted.key) && (1..=MOST).contains(&wanted.amount);
        let is_outage = status.code() != Code::ResourceExhausted;
        if !is_sound || !is_outage || self.is_held_denied(tenant, &wanted.module) {
            return Err(Error::Unavailable(status));
        }
        let amount = wanted.amount;
        // A hold takes nothing for good: the same key comes again when it is kept.
        if wanted.hold_for.is_none() && !self.allow(tenant, wanted) {
            return Err(Error::Unavailable(status));
        }
        self.count_by_rule(&self.counters.usage);
        if self.allowed.grants_said.is_due() {
            tracing::warn!(
                "entitlementd does not count, and what is used is allowed by the rule of its meter: {}",
                status.message()
            );
        }
        let state = UsageState::default();
        Ok(Reservation { granted: true, amount, repeated: false, by_outage_rule: true, state })
    }

    /// Does what is held, however old, say that the tenant or the module is denied?
    fn is_held_denied(&self, tenant: Uuid, module: &str) -> bool {
        if self.held.is_tenant_denied(tenant) {
            return true;
        }
        if module.is_empty() {
            return false;
        }
        let now = self.clock.now();
        match self.held.look(tenant, module, 0, now) {
            Look::Answer(answer) => !answer.allowed,
            Look::AskWhy => true,
            Look::AskForList => {
                let list = self.held.stale_list(tenant, 0, NEVER, now);
                list.is_some_and(|list| list.right(module, now).is_none())
            }
        }
    }

    fn allow(self: &Arc<Self>, tenant: Uuid, wanted: Reserve) -> bool {
        let Reserve { meter, key, amount, module, .. } = wanted;
        let event = UsageEvent::new(tenant, meter, key).amount(amount).module(module);
        let event = UsageEvent { at: date(self.clock.now()), ..event };
        let is_room = self.allowed.wait(event);
        if is_room && !self.allowed.is_recording.swap(true, Ordering::AcqRel) {
            tokio::spawn(keep_recording(Arc::clone(self)));
        }
        is_room
    }

    /// Records what was allowed, one message after the other.
    pub(crate) async fn record_allowed(&self) -> Result<(), Error> {
        loop {
            let _alone = self.allowed.alone.lock().await;
            let events = first_of(&mut self.allowed.waiting.lock().iter().cloned());
            if events.is_empty() {
                return Ok(());
            }
            let message = Message { events: events.clone(), producer: None };
            let outcomes = match self.record_message(message).await {
                Err(Error::Refused(status)) if status.code() == Code::InvalidArgument => {
                    vec![UsageOutcome::Invalid; events.len()]
                }
                outcomes => outcomes?,
            };
            self.allowed.waiting.lock().drain(..events.len());
            for (event, outcome) in events.iter().zip(outcomes) {
                self.note_recorded(event, outcome);
            }
        }
    }

    fn note_recorded(&self, event: &UsageEvent, outcome: UsageOutcome) {
        if outcome.is_counted() {
            return;
        }
        self.counters.usage_refused.increment(1);
        if self.allowed.refusals_said.is_due() {
            let UsageEvent { tenant, meter, key, amount, .. } = event;
            tracing::warn!(%tenant, %meter, %key, amount, "what was allowed in an outage is not counted: {outcome}");
        }
    }
}

/// Tries until all is recorded.
async fn keep_recording(core: Arc<Core>) {
    let mut pause = FIRST_PAUSE;
    loop {
        sleep(pause.mul_f64(0.5 + 0.5 * fastrand::f64())).await;
        if core.record_allowed().await.is_ok() {
            core.allowed.is_recording.store(false, Ordering::Release);
            // What has come in between has relied on this one.
            if core.allowed.is_empty() || core.allowed.is_recording.swap(true, Ordering::AcqRel) {
                return;
            }
        }
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

#[cfg(test)]
mod tests;
