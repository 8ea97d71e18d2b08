//! Properties of the decision, over rows and instants that proptest makes up.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use entitlementd::domain::{
    Catalogue, Decision, Facts, Module, ModuleCode, Reason, Subscription, SubscriptionStatus,
    Tenant, TenantStatus, check,
    enabled::{enabled_modules, next_change},
};
use proptest::prelude::*;
use uuid::Uuid;

use crate::harness::{NOW, instant};

const CODES: [&str; 4] = ["crm", "finance", "hrms", "oms"];

/// Few instants, so that they meet.
fn moment() -> impl Strategy<Value = i64> {
    -6i64..=6
}

fn row() -> impl Strategy<Value = Subscription> {
    let status = prop_oneof![
        4 => Just(SubscriptionStatus::Active),
        1 => Just(SubscriptionStatus::Suspended),
        1 => Just(SubscriptionStatus::Cancelled),
        1 => Just(SubscriptionStatus::Expired),
        1 => Just(SubscriptionStatus::Other),
    ];
    let maybe = || proptest::option::of(moment());
    (any::<u8>(), 0usize..3, status, maybe(), maybe(), any::<bool>(), maybe()).prop_map(
        |(id, module, status, starts, expires, is_trial, trial_ends)| Subscription {
            id: Uuid::from_u128(id.into()),
            module: ModuleCode::new(CODES[module]),
            status,
            starts_at: starts.map(instant),
            expires_at: expires.map(instant),
            is_trial,
            trial_ends_at: trial_ends.map(instant),
        },
    )
}

fn rows() -> impl Strategy<Value = Vec<Subscription>> {
    proptest::collection::vec(row(), 0..8).prop_map(|rows| {
        let mut seen = BTreeSet::new();
        rows.into_iter().filter(|row| seen.insert(row.id)).collect()
    })
}

fn mk_facts(rows: &[Subscription], status: TenantStatus) -> Facts {
    let tenant = Tenant {
        id: Uuid::nil().into(),
        name: "name".into(),
        subdomain: "subdomain".into(),
        database_schema: "schema".into(),
        status,
        plan_slug: None,
        own: None,
    };
    Facts::new(tenant, rows.to_vec(), 0, NOW)
}

fn mk_catalogue() -> Catalogue {
    let module = |code| Module {
        code: ModuleCode::new(code),
        name: code.into(),
        category: String::new(),
        display_order: 0,
        is_base_module: false,
        is_active: true,
        sections: vec![],
        frontend_routes: vec![],
        api_endpoints: Vec::new(),
    };
    Catalogue::new(CODES.map(module).to_vec(), vec![], 0, NOW)
}

/// The decision table as the design has it, read one row at a time and in no hurry.
fn oracle(rows: &[Subscription], module: &str, at: DateTime<Utc>) -> Reason {
    let line = |row: &Subscription| {
        if row.status != SubscriptionStatus::Active {
            let reason = match row.status {
                SubscriptionStatus::Suspended => Reason::SubscriptionSuspended,
                SubscriptionStatus::Cancelled => Reason::SubscriptionCancelled,
                SubscriptionStatus::Expired => Reason::SubscriptionExpired,
                _ => Reason::SubscriptionInactive,
            };
            return (5, reason);
        }
        if row.starts_at.is_some() && at < row.starts_at.unwrap() {
            return (6, Reason::SubscriptionNotStarted);
        }
        if row.expires_at.is_some() && row.expires_at.unwrap() <= at {
            return (7, Reason::SubscriptionExpired);
        }
        if row.is_trial && row.trial_ends_at.is_some() && row.trial_ends_at.unwrap() <= at {
            return (8, Reason::TrialEnded);
        }
        (9, Reason::Enabled)
    };
    let mut mine: Vec<&Subscription> =
        rows.iter().filter(|row| row.module.as_str() == module).collect();
    mine.sort_by_key(|row| (line(row).0, row.starts_at, row.id));
    mine.last().map_or(Reason::NotSubscribed, |row| line(row).1)
}

fn decide(facts: &Facts, module: &str, at: DateTime<Utc>) -> Decision {
    check(Some(facts), &mk_catalogue(), module, at)
}

proptest! {
    #[test]
    fn the_decision_is_the_tables(rows in rows(), at in moment()) {
        let facts = mk_facts(&rows, TenantStatus::Active);
        for code in CODES {
            prop_assert_eq!(decide(&facts, code, instant(at)).reason, oracle(&rows, code, instant(at)), "{}", code);
        }
    }

    #[test]
    fn the_list_holds_exactly_what_check_allows_at_every_instant(rows in rows(), at in -8i64..=8) {
        let facts = mk_facts(&rows, TenantStatus::Active);
        let catalogue = mk_catalogue();
        let at = instant(at);
        let listed: Vec<_> = enabled_modules(&facts, &catalogue, at, false).iter().map(|module| module.row.module.to_string()).collect();
        let allowed: Vec<_> = CODES.iter().filter(|code| decide(&facts, code, at).allowed()).map(ToString::to_string).collect();
        prop_assert_eq!(listed, allowed);
    }

    #[test]
    fn valid_until_is_the_very_instant_at_which_allowed_changes(rows in rows(), at in -8i64..=8) {
        let facts = mk_facts(&rows, TenantStatus::Active);
        for code in CODES {
            let now = decide(&facts, code, instant(at));
            // Rows change at whole seconds from -6 to 6: the first second ahead that differs is the one.
            let change = (at + 1..=9).map(instant).find(|later| decide(&facts, code, *later).allowed() != now.allowed());
            prop_assert_eq!(now.valid_until, change, "{}", code);
            if let Some(change) = change {
                let just_before = change - TimeDelta::nanoseconds(1);
                prop_assert_eq!(decide(&facts, code, just_before).allowed(), now.allowed());
            }
        }
    }

    #[test]
    fn the_lists_next_change_is_the_first_of_its_modules(rows in rows(), at in -8i64..=8) {
        let facts = mk_facts(&rows, TenantStatus::Active);
        let first = CODES.iter().filter_map(|code| decide(&facts, code, instant(at)).valid_until).min();
        prop_assert_eq!(next_change(&facts, instant(at)), first);
    }

    #[test]
    fn an_upcoming_module_is_enabled_once_it_starts(rows in rows(), at in -8i64..=8) {
        let facts = mk_facts(&rows, TenantStatus::Active);
        let catalogue = mk_catalogue();
        let at = instant(at);
        for module in enabled_modules(&facts, &catalogue, at, true) {
            let code = module.row.module.as_str();
            let now = decide(&facts, code, at);
            let starts = if now.allowed() { at } else { now.valid_until.unwrap() };
            let then = decide(&facts, code, starts);
            prop_assert!(then.allowed());
            prop_assert_eq!(module.valid_until, then.valid_until);
            prop_assert!(module.row.starts_at.is_none_or(|start| start <= starts));
        }
    }

    #[test]
    fn a_tenant_that_is_not_served_may_nothing(rows in rows(), at in moment()) {
        for (status, reason) in [
            (TenantStatus::Suspended, Reason::TenantSuspended),
            (TenantStatus::Cancelled, Reason::TenantCancelled),
            (TenantStatus::PendingSetup, Reason::TenantNotServed),
            (TenantStatus::Failed, Reason::TenantNotServed),
            (TenantStatus::Other, Reason::TenantNotServed),
        ] {
            let facts = mk_facts(&rows, status);
            let decision = decide(&facts, "finance", instant(at));
            prop_assert_eq!((decision.reason, decision.valid_until), (reason, None));
            prop_assert!(enabled_modules(&facts, &mk_catalogue(), instant(at), true).is_empty());
            prop_assert_eq!(next_change(&facts, instant(at)), None);
        }
    }

    #[test]
    fn the_order_of_the_rows_does_not_matter(rows in rows().prop_shuffle(), at in moment()) {
        let mut sorted = rows.clone();
        sorted.sort_by_key(|row| row.id);
        prop_assert_eq!(mk_facts(&rows, TenantStatus::Active), mk_facts(&sorted, TenantStatus::Active));
        prop_assert_eq!(
            decide(&mk_facts(&rows, TenantStatus::Active), "finance", instant(at)),
            decide(&mk_facts(&sorted, TenantStatus::Active), "finance", instant(at))
        );
    }
}

#[test]
fn rights_that_touch_are_one_right() {
    let row = |id: u128, starts: i64, expires: Option<i64>| Subscription {
        id: Uuid::from_u128(id),
        module: ModuleCode::new("finance"),
        status: SubscriptionStatus::Active,
        starts_at: Some(instant(starts)),
        expires_at: expires.map(instant),
        is_trial: false,
        trial_ends_at: None,
    };
    let facts = mk_facts(
        &[row(1, 0, Some(10)), row(2, 10, Some(20)), row(3, 21, None)],
        TenantStatus::Active,
    );
    assert_eq!(decide(&facts, "finance", instant(0)).valid_until, Some(instant(20)));
    assert_eq!(decide(&facts, "finance", instant(20)).valid_until, Some(instant(21)));
    assert_eq!(decide(&facts, "finance", instant(21)).valid_until, None);
}
