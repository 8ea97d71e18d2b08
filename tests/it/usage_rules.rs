//! The rules of counting, without a server: whatever is done, a counter is the sum of its keys.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use entitlementd::domain::{
    Counter, CounterId, KeyId, KeyRow, KeyState, Ledger, LimitInForce, LimitKind, LimitSource,
    MeterId, Reservation, Reserved, TenantId, UsageKey,
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
}

impl Tables {
    fn transaction<R>(&mut self, now: i64, act: impl FnOnce(&mut Ledger) -> R) -> R {
        let counters = self.counters.iter().map(|(id, counter)| (id.clone(), *counter));
        let keys = self.keys.iter().map(|(id, row)| (id.clone(), row.clone()));
        let mut ledger = Ledger::new(counters, keys, later(now));
        let result = act(&mut ledger);
        self.counters.extend(ledger.changed_counters().map(|(id, counter)| (id.clone(), counter)));
        self.keys.extend(ledger.changed_keys().map(|(id, row)| (id.clone(), row.clone())));
        result
    }
}

#[derive(Clone, Debug)]
enum Step {
    Reserve { key: u8, amount: i64, hold: bool, partial: bool, december: bool },
    Release(u8),
    Pass(i64),
    Limit(Option<i64>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..6_u8, 1..5_i64, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
            |(key, amount, hold, partial, december)| Step::Reserve { key, amount, hold, partial, december }
        ),
        2 => (0..6_u8).prop_map(Step::Release),
        1 => (0..90_i64).prop_map(Step::Pass),
        1 => prop::option::of(0..20_i64).prop_map(Step::Limit),
    ]
}

proptest! {
    /// Every counter is the sum of its keys whatever is done, and nothing is granted beyond the limit
    /// that holds then.
    #[test]
    fn a_counter_is_the_sum_of_its_keys(steps in prop::collection::vec(step(), 1..60)) {
        let mut tables = Tables::default();
        for period in ["2026-11", "2026-12"] {
            tables.counters.insert(counter(period), Counter::default());
        }
        let (mut now, mut most) = (0, Some(10));
        for step in steps {
            match step {
                Step::Reserve { key: name, amount, hold, partial, december } => {
                    let here = counter(if december { "2026-12" } else { "2026-11" });
                    let hold_until = hold.then(|| later(now + 60));
                    let asked = Reservation {
                        key: key(name), amount, hold_until, partial, module: "".into(),
                    };
                    let (before, reserved, after) = tables.transaction(now, |ledger| {
                        let before = ledger.counter(&here).taken();
                        let reserved = ledger.reserve(&here, &asked, &limit(most), true);
                        (before, reserved, ledger.counter(&here).taken())
                    });
                    if let Reserved::Granted { amount: taken, repeated: false, .. } = reserved {
                        prop_assert!(most.is_none_or(|most| before + taken <= most));
                        prop_assert!(taken == amount || partial && taken < amount && taken > 0);
                        prop_assert_eq!(after, before + taken);
                    }
                }
                Step::Release(name) => {
                    tables.transaction(now, |ledger| ledger.release(&meter(), &key(name), false));
                }
                Step::Pass(seconds) => now += seconds,
                Step::Limit(limit) => most = limit,
            }
            for period in ["2026-11", "2026-12"] {
                let of = |held: bool| -> i64 {
                    let rows = tables.keys.values().filter(|row| &*row.period == period);
                    let rows = rows.filter(|row| match row.state {
                        KeyState::Counted => !held,
                        KeyState::Held(_) => held,
                        KeyState::Released => false,
                    });
                    rows.map(|row| row.amount).sum()
                };
                let Counter { used, held } = tables.counters[&counter(period)];
                prop_assert_eq!((used, held), (of(false), of(true)));
            }
        }
    }
}
