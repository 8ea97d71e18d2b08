//! The rules of counting, without a server: whatever is done, a counter is the sum of its keys, and of its
//! days.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use entitlementd::domain::{
    Corrected, Counter, CounterId, Event, KeyId, KeyRow, LeaseRequest, Leased, Ledger,
    LimitInForce, LimitKind, LimitSource, MeterId, Reservation, Reserved, Settled, TenantId,
    Unsettled, UsageKey, UsedAt,
};
use proptest::prelude::*;
use uuid::Uuid;

fn later(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
}

fn meter() -> MeterId {
    MeterId { tenant: TenantId::from(Uuid::nil()), meter: "orders".into() }
}

fn counter(period: &str) -> CounterId {
    (meter(), period.into())
}

fn key(number: u8) -> UsageKey {
    UsageKey::parse(&number.to_string()).unwrap()
}

fn limit(limit: Option<i64>) -> LimitInForce {
    LimitInForce {
        key: "orders".into(),
        limit,
        source: LimitSource::Plan,
        kind: LimitKind::Monthly,
        valid_until: None,
        has_no_plan: false,
    }
}

/// What the database holds: each transaction reads it, and writes what the ledger has changed.
#[derive(Default)]
struct Tables {
    counters: BTreeMap<CounterId, Counter>,
    keys: BTreeMap<KeyId, KeyRow>,
    /// Amounts, events and amounts without a key, by month.
    days: BTreeMap<String, [i64; 3]>,
    now: i64,
}

impl Tables {
    fn transaction<R>(&mut self, act: impl FnOnce(&mut Ledger) -> R) -> R {
        let (counters, keys) = (self.counters.clone(), self.keys.clone());
        let mut ledger = Ledger::new([meter()], counters, keys, later(self.now));
        let result = act(&mut ledger);
        self.counters.extend(ledger.changed_counters().map(|(id, counter)| (id.clone(), counter)));
        self.keys.extend(ledger.changed_keys().map(|(id, row)| (id.clone(), row.clone())));
        for (id, sum) in ledger.sums().iter() {
            let day = self.days.entry(id.day[..7].to_owned()).or_default();
            for (all, added) in day.iter_mut().zip([sum.amount, sum.events, sum.without_key]) {
                *all += added;
            }
        }
        result
    }

    /// Every counter is the sum of its keys, and of its days.
    fn verify(&self) -> Result<(), TestCaseError> {
        for period in PERIODS {
            let counter = self.counters.get(&counter(period)).copied().unwrap_or_default();
            let rows = || self.keys.values().filter(|row| &*row.period == period);
            let [amount, events, without_key] = self.days.get(period).copied().unwrap_or_default();
            let used = rows().map(|row| row.used).sum::<i64>() + without_key;
            let held = rows().map(KeyRow::held).sum::<i64>();
            prop_assert_eq!((counter.used, counter.held, counter.used), (used, held, amount));
            let things = rows().filter(|row| row.used > 0).count();
            prop_assert!(events >= i64::try_from(things).unwrap());
            prop_assert!(rows().all(|row| (0..=row.amount).contains(&row.used)));
        }
        Ok(())
    }
}

const PERIODS: [&str; 2] = ["2026-11", "2026-12"];

#[derive(Clone, Debug)]
enum Step {
    Reserve { key: u8, amount: i64, hold: bool, partial: bool },
    Release(u8),
    Record { key: Option<u8>, amount: i64 },
    Correct { key: u8, corrects: u8, amount: i64 },
    Lease { key: u8, wanted: i64, unsettled: Unsettled },
    Settle { key: u8, spent: i64, is_final: bool },
    Pass(i64),
    Limit(Option<i64>),
}

fn step() -> impl Strategy<Value = Step> {
    let key = || 0..6_u8;
    let unsettled = prop_oneof![Just(Unsettled::Spent), Just(Unsettled::Returned)];
    prop_oneof![
        4 => (key(), 1..5_i64, any::<bool>(), any::<bool>()).prop_map(
            |(key, amount, hold, partial)| Step::Reserve { key, amount, hold, partial }
        ),
        2 => key().prop_map(Step::Release),
        2 => (prop::option::of(key()), 1..5_i64).prop_map(|(key, amount)| Step::Record { key, amount }),
        2 => (key(), key(), 1..5_i64).prop_map(
            |(key, corrects, amount)| Step::Correct { key, corrects, amount }
        ),
        2 => (key(), 1..60_i64, unsettled).prop_map(
            |(key, wanted, unsettled)| Step::Lease { key, wanted, unsettled }
        ),
        3 => (key(), 0..40_i64, any::<bool>()).prop_map(
            |(key, spent, is_final)| Step::Settle { key, spent, is_final }
        ),
        1 => (0..90_i64).prop_map(Step::Pass),
        1 => prop::option::of(0..90_i64).prop_map(Step::Limit),
    ]
}

fn event(key: Option<UsageKey>, amount: i64, corrects: Option<u8>, used_at: UsedAt) -> Event {
    let corrects =
        corrects.map(|it| Corrected { key: self::key(it), former_modules: Box::default() });
    Event { key, amount, corrects, module: "".into(), used_at }
}

/// Does a step in a month: how much was taken of what was there before, if it asked for that.
fn take(
    ledger: &mut Ledger,
    period: &str,
    step: &Step,
    now: i64,
    most: Option<i64>,
) -> Option<(i64, i64)> {
    let (here, limit) = (counter(period), limit(most));
    let used_at = UsedAt { at: later(now), day: format!("{period}-07").into() };
    let before = ledger.counter(&here).taken();
    let module = || "".into();
    match step.clone() {
        Step::Reserve { key: name, amount, hold, partial } => {
            let hold_until = hold.then(|| later(now + 60));
            let key = key(name);
            let asked = Reservation { key, amount, hold_until, partial, module: module(), used_at };
            match ledger.reserve(&here, &asked, &limit, true) {
                Reserved::Granted { amount, repeated: false, .. } => Some((before, amount)),
                _ => None,
            }
        }
        Step::Lease { key: name, wanted, unsettled } => {
            let (key, until, holder) = (key(name), later(now + 60), "till".into());
            let asked =
                LeaseRequest { key, wanted, until, holder, unsettled, module: module(), used_at };
            match ledger.lease(&here, &asked, &limit, true, 0) {
                Leased::Granted { amount, repeated: false, .. } => Some((before, amount)),
                _ => None,
            }
        }
        Step::Release(name) => {
            ledger.release(&meter(), &key(name), false);
            None
        }
        Step::Record { key: name, amount } => {
            ledger.record(&here, &event(name.map(key), amount, None, used_at));
            None
        }
        Step::Correct { key: name, corrects, amount } => {
            ledger.record(&here, &event(Some(key(name)), amount, Some(corrects), used_at));
            None
        }
        Step::Settle { key: name, spent, is_final } => {
            let settled = ledger.settle(&here, &key(name), spent, is_final);
            if let Settled::Counted { spent: counted, returned } = settled {
                assert!(counted >= 0 && returned >= 0);
            }
            None
        }
        Step::Pass(_) | Step::Limit(_) => None,
    }
}

proptest! {
    /// Whatever is done, and nothing is granted beyond the limit that holds then.
    #[test]
    fn a_counter_is_the_sum_of_its_keys_and_of_its_days(
        steps in prop::collection::vec((step(), any::<bool>()), 1..60)
    ) {
        let mut tables = Tables::default();
        let mut most = Some(60);
        for (step, december) in steps {
            match step {
                Step::Pass(seconds) => tables.now += seconds,
                Step::Limit(limit) => most = limit,
                step => {
                    let (period, now) = (PERIODS[usize::from(december)], tables.now);
                    let taken = tables.transaction(|ledger| take(ledger, period, &step, now, most));
                    if let Some((before, amount)) = taken {
                        prop_assert!(amount > 0 && most.is_none_or(|most| before + amount <= most));
                    }
                }
            }
            tables.verify()?;
        }
    }
}
