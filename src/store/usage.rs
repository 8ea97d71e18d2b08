//! Usage: counters, and the keys that they are the sums of.
//!
//! A transaction locks the counters, reads the limits and the keys under these locks, decides by
//! [`Ledger`], and writes. On PostgreSQL that is two messages, for however many requests: values
//! stand in the text, as behind a pooler, and nothing is prepared.

mod alone;
mod export;
mod found;
mod keep;
mod log;
mod postgres;
mod producer;
mod query;
mod reconcile;
mod report;
mod rows;
mod show;
mod sqlite;
mod tenants_own;
mod unread;
mod zones;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use sea_orm::QueryResult;

pub(super) use self::keep::forget_tenant;
pub use self::{
    export::{ExportedDay, ExportedDays},
    keep::{WrongCounter, oldest, verify},
    log::Folded,
    producer::MessageId,
    query::{Granularity, UsageSpan, UsageSpans},
    reconcile::{ReconcileRequest, Reconciled},
    report::{Reported, ReportedDay},
    show::{CountedKey, ShownMeter, TenantUsage},
    tenants_own::ByQuery,
    unread::Unread,
    zones::ZonesOfTenants,
};
use self::{found::Found, producer::Standing, rows::Rows};
use super::{Store, StoreError, ask::Ask};
use crate::domain::{
    CountableModules, Counter, CounterId, Event, LeaseRequest, Leased, Ledger, LimitInForce,
    LimitKind, LimitSaid, MeterId, Period, Recorded, Reservation, Reserved, Settled, UsageKey,
};

/// How long it is waited for a lock where nobody else waits for the same turn.
const LOCK_WAIT: Duration = Duration::from_secs(1);

/// A request to take, or to give back.
#[derive(Clone, Debug)]
pub struct UsageRequest {
    /// The counter of the present period; of something that was used, that of its own.
    pub counter: CounterId,
    /// What the meter counts.
    pub kind: LimitKind,
    /// Under keys of these modules only; `None`: of any.
    pub modules: Option<Arc<CountableModules>>,
    /// What is to be done.
    pub op: UsageOp,
}

impl UsageRequest {
    /// Is there a key that it is about, of a module that it must not touch?
    fn is_about_another_module(&self, ledger: &Ledger) -> bool {
        self.modules.as_ref().is_some_and(|modules| {
            let mut taken = self.op.keys().filter_map(|key| ledger.module_of(&self.counter.0, key));
            taken.any(|module| !modules.have(module))
        })
    }
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
        /// What is said about the limit, as far as is known: the database decides.
        expected: LimitSaid,
    },
    /// Give back what a key took.
    Release {
        /// The key.
        key: UsageKey,
        /// Only what it holds still.
        only_held: bool,
    },
    /// Write down what was used.
    Record(Event),
    /// Take a slice, to be spent later.
    Lease {
        /// Of which size, and for how long.
        request: LeaseRequest,
        /// Is the limit an obstacle?
        is_enforced: bool,
    },
    /// Say what was spent of a slice.
    Settle {
        /// The lease.
        key: UsageKey,
        /// How much of it was spent so far.
        spent: i64,
        /// Is the rest free?
        is_final: bool,
    },
}

impl UsageOp {
    /// The keys that are looked up for it.
    fn keys(&self) -> impl Iterator<Item = &UsageKey> {
        let (key, other) = match self {
            Self::Reserve { reservation, .. } => (Some(&reservation.key), None),
            Self::Release { key, .. } | Self::Settle { key, .. } => (Some(key), None),
            Self::Record(event) => (event.key.as_ref(), event.corrects.as_ref().map(|it| &it.key)),
            Self::Lease { request, .. } => (Some(&request.key), None),
        };
        key.into_iter().chain(other)
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
    /// Of something that was used.
    Recorded(Recorded),
    /// Of a request for a slice.
    Leased(Leased),
    /// Of what was spent of one.
    Settled(Settled),
    /// Nothing: there is no such tenant any more.
    NoTenant,
    /// Nothing: the key is of a module for which the caller may not count.
    NotAllowed,
    /// Nothing: somebody else had locked the counter.
    Locked,
}

/// What became of a message that writes down what was used.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Recording {
    /// It was dealt with now.
    Done(Vec<UsageOutcome>),
    /// It was dealt with before.
    Repeated,
    /// Nothing was done: somebody else has locked a meter.
    Locked,
    /// One before it is missing; the last that was counted is this.
    OutOfSequence {
        /// Its number; 0: none was.
        last: i64,
    },
}

/// A counter that is needed, and a key of it.
pub(super) struct Asked<'a> {
    counter: &'a CounterId,
    key: Option<&'a UsageKey>,
}

impl<'a> Asked<'a> {
    /// What a request needs.
    fn of(request: &'a UsageRequest) -> Vec<Self> {
        let counter = &request.counter;
        let mut asked: Vec<_> =
            request.op.keys().map(|key| Self { counter, key: Some(key) }).collect();
        if asked.is_empty() {
            asked.push(Self { counter, key: None });
        }
        asked
    }
}

impl Store {
    /// How many transactions may count at the same time, so that administrators' changes find a
    /// connection beside them. One writes to the disk while the other decides; with more, each
    /// has less to share its cost among.
    pub fn counts_at_once(&self) -> usize {
        const MOST: usize = 2;
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
        let asked: Vec<Asked<'_>> = requests.iter().flat_map(Asked::of).collect();
        let rows = Rows::new(self.writing.dialect());
        let skip_locked = lock_wait.is_zero();
        let mut statements = rows.find(&asked, skip_locked, now);
        if are_leasing(requests) {
            statements.push(rows.holders(&asked, now));
        }
        let wait = if skip_locked { LOCK_WAIT } else { lock_wait };
        let (txn, found) = self.writing.begin_asking(wait, &statements).await?;
        let (ledger, answers) = answers(&found, requests, now)?;
        txn.commit_with(rows.writes(&ledger, now)).await?;
        Ok(answers)
    }

    /// Writes down what was used, in one transaction: once, where a producer gives its number.
    /// Meters that are locked are waited for; where `lock_wait` is nothing, and one is, nothing is done.
    pub async fn record(
        &self,
        requests: &[UsageRequest],
        message_id: Option<MessageId>,
        lock_wait: Duration,
        now: DateTime<Utc>,
    ) -> Result<Recording, StoreError> {
        let asked: Vec<Asked<'_>> = requests.iter().flat_map(Asked::of).collect();
        let rows = Rows::new(self.writing.dialect());
        let mut statements = Vec::from_iter(message_id.map(|it| it.find(rows, found::micros(now))));
        let skip_locked = lock_wait.is_zero();
        statements.extend(rows.find(&asked, skip_locked, now));
        let wait = if skip_locked { LOCK_WAIT } else { lock_wait };
        let (txn, found) = self.writing.begin_asking(wait, &statements).await?;
        let (of_producer, found) =
            found.split_at(usize::from(message_id.is_some()).min(found.len()));
        if let (Some(message_id), [of_producer]) = (message_id, of_producer) {
            let standing = message_id.standing(of_producer)?;
            if standing != Standing::Next {
                txn.roll_back().await?;
                return Ok(match standing {
                    Standing::Early(last) => Recording::OutOfSequence { last },
                    _ => Recording::Repeated,
                });
            }
        }
        let (ledger, answers) = answers(found, requests, now)?;
        if answers.iter().any(|answer| answer.outcome == UsageOutcome::Locked) {
            txn.roll_back().await?;
            return Ok(Recording::Locked);
        }
        let mut writes = rows.writes(&ledger, now);
        writes.extend(message_id.map(|message_id| message_id.advance(rows)));
        txn.commit_with(writes).await?;
        Ok(Recording::Done(answers.iter().map(|answer| answer.outcome).collect()))
    }

    /// Reads a counter, as if what has run out had been given back: nothing, where there is none.
    pub async fn counter(&self, id: &CounterId, now: DateTime<Utc>) -> Result<Counter, StoreError> {
        let rows = Rows::new(self.primary.dialect());
        let found = self.primary.query(rows.read_counter(id, now)).await?;
        let counter = found.first().map(rows::counter).transpose()?;
        Ok(counter.map(|(_, counter)| counter).unwrap_or_default())
    }
}

/// The level of a meter: what everybody locks who counts with it, whatever the month. A key belongs to
/// one of them only, and two servers may be in different ones.
fn level(meter: &MeterId) -> CounterId {
    (meter.clone(), Period::Level.to_string().into())
}

/// Then it is asked, last, who holds leases already.
fn are_leasing(requests: &[UsageRequest]) -> bool {
    requests.iter().any(|request| matches!(request.op, UsageOp::Lease { .. }))
}

/// What the rows that were found make of these requests.
fn answers(
    found: &[Vec<QueryResult>],
    requests: &[UsageRequest],
    now: DateTime<Utc>,
) -> Result<(Ledger, Vec<UsageAnswer>), StoreError> {
    let (mut found, mut holders) = (found, BTreeMap::new());
    if let (true, [rest @ .., of_holders]) = (are_leasing(requests), found) {
        (found, holders) = (rest, rows::counts(of_holders)?);
    }
    let Found { meters, counters, limits, keys } = Rows::read(found)?;
    let mut ledger = Ledger::new(meters, counters, keys, now);
    let answers = requests
        .iter()
        .map(|request| answer(&mut ledger, &limits, &mut holders, request, now))
        .collect();
    Ok((ledger, answers))
}

fn answer(
    ledger: &mut Ledger,
    limits: &BTreeMap<MeterId, LimitSaid>,
    holders: &mut BTreeMap<MeterId, i64>,
    request: &UsageRequest,
    now: DateTime<Utc>,
) -> UsageAnswer {
    let UsageRequest { counter: id, kind, op, .. } = request;
    let said = limits.get(&id.0).copied();
    let limit = said.unwrap_or_default().in_force(Arc::clone(&id.0.meter), *kind, now);
    let outcome = if said.is_none() {
        UsageOutcome::NoTenant
    } else if !ledger.has_locked(&id.0) {
        UsageOutcome::Locked
    } else if request.is_about_another_module(ledger) {
        UsageOutcome::NotAllowed
    } else {
        match op {
            UsageOp::Reserve { reservation, is_enforced, .. } => {
                UsageOutcome::Reserved(ledger.reserve(id, reservation, &limit, *is_enforced))
            }
            UsageOp::Release { key, only_held } => {
                UsageOutcome::Released(ledger.release(&id.0, key, *only_held))
            }
            UsageOp::Record(event) => UsageOutcome::Recorded(ledger.record(id, event)),
            UsageOp::Lease { request, is_enforced } => {
                let others = holders.entry(id.0.clone()).or_default();
                let leased = ledger.lease(id, request, &limit, *is_enforced, *others);
                *others += i64::from(matches!(leased, Leased::Granted { repeated: false, .. }));
                UsageOutcome::Leased(leased)
            }
            UsageOp::Settle { key, spent, is_final } => {
                UsageOutcome::Settled(ledger.settle(id, key, *spent, *is_final))
            }
        }
    };
    UsageAnswer { outcome, counter: ledger.counter(id), limit }
}
