use uuid::Uuid;

use super::*;
use crate::domain::{LimitKind, LimitSource, TenantId};

const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

fn later(seconds: i64) -> DateTime<Utc> {
    NOW + chrono::TimeDelta::seconds(seconds)
}

fn meter() -> MeterId {
    MeterId { tenant: TenantId::from(Uuid::nil()), meter: "orders".into() }
}

fn counter(period: &str) -> CounterId {
    (meter(), period.into())
}

fn key(text: &str) -> UsageKey {
    UsageKey::parse(text).unwrap()
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

fn asked(name: &str, amount: i64) -> Reservation {
    Reservation {
        key: key(name),
        amount,
        hold_until: None,
        partial: false,
        module: "".into(),
        used_at: used_at("2026-11-30"),
    }
}

fn used_at(day: &str) -> UsedAt {
    UsedAt { at: NOW, day: day.into() }
}

fn ledger() -> Ledger {
    Ledger::new([meter()], [], [], NOW)
}

fn granted(amount: i64, repeated: bool) -> Reserved {
    Reserved::Granted { amount, repeated, reason: LimitReason::Within }
}

#[test]
fn a_key_is_counted_once_and_what_is_beyond_the_limit_is_refused() {
    let mut ledger = ledger();
    let (here, ten) = (counter("2026-11"), limit(Some(10)));
    let mut reserve = |name, amount| ledger.reserve(&here, &asked(name, amount), &ten, true);
    assert_eq!(reserve("a", 7), granted(7, false));
    assert_eq!(reserve("a", 7), granted(7, true));
    assert_eq!(reserve("a", 8), Reserved::Conflict);
    assert_eq!(reserve("b", 4), Reserved::Refused(LimitReason::Exceeded));
    assert_eq!(reserve("b", 3), granted(3, false));
    assert_eq!(reserve("c", 1), Reserved::Refused(LimitReason::Exceeded));
    assert_eq!(ledger.release(&meter(), &key("a"), false), 7);
    assert_eq!(ledger.release(&meter(), &key("a"), false), 0);
    assert_eq!(ledger.release(&meter(), &key("unknown"), false), 0);
    assert_eq!(ledger.release(&meter(), &key("b"), true), 0, "it is taken for good");
    // A released key is new.
    assert_eq!(ledger.reserve(&here, &asked("a", 5), &ten, true), granted(5, false));
    assert_eq!(ledger.counter(&here), Counter { used: 8, held: 0 });
}

#[test]
fn a_part_is_taken_where_that_is_asked_for_and_its_repetition_is_told_the_same() {
    let mut ledger = ledger();
    let (here, ten) = (counter(""), limit(Some(10)));
    let partial = Reservation { partial: true, ..asked("a", 25) };
    let part = |repeated, reason| Reserved::Granted { amount: 10, repeated, reason };
    assert_eq!(ledger.reserve(&here, &partial, &ten, true), part(false, LimitReason::Exceeded));
    assert_eq!(ledger.reserve(&here, &partial, &ten, true), part(true, LimitReason::Within));
    let more = Reservation { partial: true, ..asked("b", 1) };
    assert_eq!(ledger.reserve(&here, &more, &ten, true), Reserved::Refused(LimitReason::Exceeded));
}

#[test]
fn where_limits_are_not_enforced_all_is_taken_and_the_reason_says_what_would_be() {
    let mut ledger = ledger();
    let here = counter("");
    let taken = |amount, reason| Reserved::Granted { amount, repeated: false, reason };
    let none = limit(Some(0));
    let first = ledger.reserve(&here, &asked("a", 5), &none, false);
    assert_eq!(first, taken(5, LimitReason::Exceeded));
    let second = ledger.reserve(&here, &asked("b", 1), &none, false);
    assert_eq!(second, taken(1, LimitReason::OverLimit));
    assert_eq!(ledger.counter(&here).used, 6);
}

#[test]
fn a_hold_returns_by_itself_unless_its_key_comes_again_for_good() {
    let mut first = ledger();
    let (here, ten) = (counter("2026-11"), limit(Some(10)));
    let held = |name| Reservation { hold_until: Some(later(60)), ..asked(name, 4) };
    assert_eq!(first.reserve(&here, &held("kept"), &ten, true), granted(4, false));
    assert_eq!(first.reserve(&here, &held("lost"), &ten, true), granted(4, false));
    assert_eq!(first.counter(&here), Counter { used: 0, held: 8 });
    assert_eq!(first.reserve(&here, &asked("kept", 4), &ten, true), granted(4, true));
    assert_eq!(first.counter(&here), Counter { used: 4, held: 4 });
    let found = |now| Ledger::new([meter()], first.counters.clone(), first.keys.clone(), now);
    assert_eq!(found(later(59)).counter(&here), Counter { used: 4, held: 4 });
    let mut after = found(later(60));
    assert_eq!(after.counter(&here), Counter { used: 4, held: 0 });
    assert_eq!(after.changed_keys().count(), 1);
    assert_eq!(after.reserve(&here, &held("lost"), &ten, true), granted(4, false));
}

#[test]
fn what_was_taken_in_one_month_returns_to_that_month() {
    let mut ledger = ledger();
    let ten = limit(Some(10));
    ledger.reserve(&counter("2026-11"), &asked("a", 4), &ten, true);
    // The same order in the next month is the same order.
    let again = ledger.reserve(&counter("2026-12"), &asked("a", 4), &ten, true);
    assert_eq!(again, granted(4, true));
    assert_eq!(ledger.release(&meter(), &key("a"), false), 4);
    let used = ["2026-11", "2026-12"].map(|period| ledger.counter(&counter(period)).used);
    assert_eq!(used, [0, 0]);
}

#[test]
fn no_count_overflows_where_nothing_is_limited() {
    let mut ledger =
        Ledger::new([meter()], [(counter(""), Counter { used: i64::MAX - 5, held: 0 })], [], NOW);
    let unlimited = limit(None);
    let taken = ledger.reserve(&counter(""), &asked("a", 6), &unlimited, false);
    assert_eq!(taken, Reserved::Refused(LimitReason::Unlimited));
    let taken = ledger.reserve(&counter(""), &asked("b", 5), &unlimited, true);
    assert!(matches!(taken, Reserved::Granted { amount: 5, .. }));
}
