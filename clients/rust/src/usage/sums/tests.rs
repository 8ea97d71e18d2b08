use std::{collections::BTreeMap, thread};

use super::*;

const NOON: Micros = 1_767_268_800_000_000;

fn of(number: u128) -> Of<'static> {
    Of { tenant: Uuid::from_u128(number), meter: "orders", module: "" }
}

fn all(sums: &Sums) -> Vec<UsageEvent> {
    let mut all = Vec::new();
    loop {
        let some = sums.take(500);
        if some.is_empty() {
            return all;
        }
        all.extend(some);
    }
}

#[test]
fn sums_are_of_a_tenant_a_meter_a_module_and_a_quarter_of_an_hour() {
    let sums = Sums::default();
    let finance = Of { module: "finance", ..of(1) };
    for (of, amount, at) in [
        (of(1), 1, NOON),
        (of(1), 2, NOON + QUARTER - 1),
        (of(1), 4, NOON + QUARTER),
        (finance, 8, NOON),
        (of(2), 16, NOON),
        (Of { meter: "calls", ..of(1) }, 32, NOON),
    ] {
        assert!(sums.add(of, amount, at));
    }
    let told: BTreeMap<_, _> =
        all(&sums).into_iter().map(|it| (it.amount, it.at.unwrap().timestamp_micros())).collect();
    let wanted = [(3, QUARTER - 1), (4, QUARTER), (8, 0), (16, 0), (32, 0)];
    assert_eq!(told, wanted.map(|(amount, after)| (amount, NOON + after)).into());
    assert!(sums.is_empty());
}

#[test]
fn what_is_more_than_an_event_holds_is_several() {
    let sums = Sums::default();
    assert!(sums.add(of(1), MOST, NOON) && sums.add(of(1), MOST, NOON) && sums.add(of(1), 1, NOON));
    assert_eq!(sums.take(1).len(), 1);
    assert!(!sums.is_empty());
    let amounts: Vec<_> = all(&sums).iter().map(|event| event.amount).collect();
    assert_eq!(amounts, [MOST, 1]);
}

#[test]
fn beyond_ten_thousand_quarters_are_joined_and_then_new_ones_are_dropped() {
    let sums = Sums::default();
    for number in 0..5_000 {
        assert!(sums.add(of(number), 1, NOON));
        assert!(sums.add(of(number), 1, NOON + QUARTER));
    }
    assert!(sums.add(of(1), 1, NOON + 2 * QUARTER), "it is added to the last quarter");
    assert!(sums.add(of(9_999), 1, NOON), "the quarters of the others are joined");
    for number in 0..4_999 {
        assert!(sums.add(of(20_000 + number), 1, NOON));
    }
    assert!(!sums.add(of(90_000), 1, NOON));
    assert!(sums.add(of(1), 1, NOON + 9 * QUARTER), "what is there is added to");
    let events = all(&sums);
    assert_eq!(events.len(), MOST_SUMS);
    assert_eq!(events.iter().map(|event| event.amount).sum::<i64>(), 10_000 + 1 + 1 + 4_999 + 1);
    assert!(sums.add(of(90_000), 1, NOON));
}

#[test]
fn what_nobody_adds_to_any_more_is_forgotten() {
    let sums = Sums::default();
    assert!(sums.add(of(1), 1, NOON));
    assert_eq!((all(&sums).len(), all(&sums).len(), sums.by_name.len()), (1, 0, 0));
    assert!(sums.add(of(1), 1, NOON));
    assert_eq!(all(&sums).len(), 1);
}

#[test]
fn nothing_is_lost_and_nothing_taken_twice_while_many_add() {
    const EACH: u128 = 40_000;
    let sums = Sums::default();
    let taken = thread::scope(|scope| {
        let adding: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    for number in 0..EACH {
                        let at = NOON + QUARTER * Micros::try_from(number / 10_000).unwrap();
                        assert!(sums.add(of(number % 7), 1, at));
                    }
                })
            })
            .collect();
        let mut taken = 0;
        while adding.iter().any(|thread| !thread.is_finished()) {
            taken += sums.take(3).iter().map(|event| event.amount).sum::<i64>();
        }
        taken
    });
    let rest: i64 = all(&sums).iter().map(|event| event.amount).sum();
    assert_eq!(taken + rest, i64::try_from(4 * EACH).unwrap());
    assert!(sums.is_empty());
    assert_eq!(sums.older.load(Ordering::Relaxed), 0);
}
