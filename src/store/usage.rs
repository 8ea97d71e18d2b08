//! Usage: counters, and the keys that they are the sums of.
//!
//! A transaction locks the counters, reads the limits and the keys under these locks, decides by
//! [`Ledger`], and writes. On PostgreSQL that is two messages, for however many requests: values
//! stand in the text, as behind a pooler, and nothing is prepared.

mod keep;
mod postgres;
mod reconcile;
mod rows;
mod show;
mod tenants_own;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, Utc};

pub(super) use self::keep::forget_tenant;
use self::rows::{Found, Rows};
pub use self::{
    keep::{WrongCounter, oldest, verify},
    reconcile::{ReconcileRequest, Reconciled},
    show::{CountedKey, TenantUsage},
};
use super::{Store, StoreError, ask::Ask};
use crate::domain::{
    Counter, CounterId, KeyId, Ledger, LimitInForce, LimitKind, LimitSaid, MeterId, Period,
    Reservation, Reserved, UsageKey,
};

/// How long it is waited for a lock where nobody else waits for the same turn.
const LOCK_WAIT: Duration = Duration::from_secs(1);

/// A request to take, or to give back.
#[derive(Clone, Debug)]
pub struct UsageRequest {
    /// The counter of the present period.
    pub counter: CounterId,
    /// What the meter counts.
    pub kind: LimitKind,
    /// What is to be done.
    pub op: UsageOp,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub enum UsageOp {
    /// Take so much.
    Reserve {
        /// How much, and under which key.
        reservation: Reservation,
        /// Is the limit an obstacle?
        is_enforced: bool,
    },
    /// Give back what a key took.
    Release {
        /// The key.
        key: UsageKey,
        /// Only what it holds still.
        only_held: bool,
    },
}

impl UsageOp {
    fn key(&self) -> &UsageKey {
        match self {
            Self::Reserve { reservation, .. } => &reservation.key,
            Self::Release { key, .. } => key,
        }
    }
}

/// What became of a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UsageAnswer {
    /// What was done.
    pub outcome: UsageOutcome,
    /// The counter right after it.
    pub counter: Counter,
    /// The limit that held.
    pub limit: LimitInForce,
}

/// What was done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum UsageOutcome {
    /// Of a reservation.
    Reserved(Reserved),
    /// So much was given back.
    Released(i64),
    /// Nothing: there is no such tenant any more.
    NoTenant,
    /// Nothing: somebody else had locked the counter.
    Locked,
}

impl Store {
    /// How many transactions may count at the same time, so that administrators' changes find a
    /// connection beside them.
    pub fn counts_at_once(&self) -> usize {
        const MOST: usize = 4;
        self.primary
            .postgres()
            .map_or(1, |pool| pool.shares().most_writing().saturating_sub(1).clamp(1, MOST))
    }

    /// Does what these requests ask, in order, in one transaction, and gives the outcomes after its
    /// commit. Counters that are locked are waited for, or left out where `lock_wait` is nothing.
    pub async fn count(
        &self,
        requests: &[UsageRequest],
        lock_wait: Duration,
        now: DateTime<Utc>,
    ) -> Result<Vec<UsageAnswer>, StoreError> {
        let counters: BTreeSet<CounterId> = requests
            .iter()
            .flat_map(|request| [anchor(&request.counter.0), request.counter.clone()])
            .collect();
        let keys: BTreeSet<KeyId> = requests
            .iter()
            .map(|request| (request.counter.0.clone(), request.op.key().clone()))
            .collect();
        let rows = Rows::new(self.writing.dialect());
        let skip_locked = lock_wait.is_zero();
        let statements = rows.find(&counters, &keys, skip_locked, now);
        let wait = if skip_locked { LOCK_WAIT } else { lock_wait };
        let (txn, found) = self.writing.begin_asking(wait, &statements).await?;
        let Found { counters, limits, keys } = Rows::read(&found)?;
        let mut ledger = Ledger::new(counters, keys, now);
        let answers =
            requests.iter().map(|request| answer(&mut ledger, &limits, request, now)).collect();
        txn.commit_with(rows.writes(&ledger, now)).await?;
        Ok(answers)
    }

    /// Reads a counter, without holds that have run out: nothing, where there is none.
    pub async fn counter(&self, id: &CounterId, now: DateTime<Utc>) -> Result<Counter, StoreError> {
        let rows = Rows::new(self.primary.dialect());
        let found = self.primary.query(rows.read_counter(id, now)).await?;
        let counter = found.first().map(rows::counter).transpose()?;
        Ok(counter.map(|(_, counter)| counter).unwrap_or_default())
    }
}

/// What everybody locks who counts with a meter, whatever the month: a key belongs to one of them
/// only, and two servers may be in different ones. It is the counter of no month; of a level, the
/// level's own.
fn anchor(meter: &MeterId) -> CounterId {
    (meter.clone(), Period::Level.to_string().into())
}

fn answer(
    ledger: &mut Ledger,
    limits: &BTreeMap<MeterId, LimitSaid>,
    request: &UsageRequest,
    now: DateTime<Utc>,
) -> UsageAnswer {
    let UsageRequest { counter: id, kind, op } = request;
    let said = limits.get(&id.0).copied();
    let limit = said.unwrap_or_default().in_force(Arc::clone(&id.0.meter), *kind, now);
    let outcome = if said.is_none() {
        UsageOutcome::NoTenant
    } else if ledger.has_locked(&anchor(&id.0), op.key()) && ledger.has_locked(id, op.key()) {
        match op {
            UsageOp::Reserve { reservation, is_enforced } => {
                UsageOutcome::Reserved(ledger.reserve(id, reservation, &limit, *is_enforced))
            }
            UsageOp::Release { key, only_held } => {
                UsageOutcome::Released(ledger.release(&id.0, key, *only_held))
            }
        }
    } else {
        UsageOutcome::Locked
    };
    UsageAnswer { outcome, counter: ledger.counter(id), limit }
}
