//! Tests of the parent module.

use std::sync::Arc;

use super::*;
use crate::{Tenant, TenantSource, TenantStatus};

const TENANT: Uuid = Uuid::from_u128(1);
const MINUTE: Micros = 60_000_000;

fn told(revision: u64) -> Told {
    Told { revision, as_of: 0, valid_until: NEVER, max_age: MINUTE, stale: false }
}

fn list(revision: u64) -> List {
    List { rights: None, status: TenantStatus::Active, told: told(revision), terms: None }
}

fn resolved() -> Resolved {
    let tenant = Tenant {
        id: TENANT,
        name: String::new(),
        subdomain: String::new(),
        database_schema: String::new(),
        status: TenantStatus::Active,
        plan_slug: String::new(),
    };
    Resolved {
        tenant: Arc::new(tenant),
        source: TenantSource::TenantId,
        verified: false,
        stale: false,
        by_outage_rule: false,
    }
}

fn asking_who(held: &Held) -> Began {
    Began {
        at: 0,
        era: held.stream.era(),
        news: held.last_news(),
        min_revision: 0,
        is_settling: false,
    }
}

#[test]
fn an_identity_that_is_older_than_what_was_announced_is_not_kept() {
    let held = Held::new(10);
    held.stream.open(None, 0);
    held.tenant_changed(TENANT, 2);
    // Another server is asked, which has not received the change.
    held.keep_resolved(1, resolved(), told(1), asking_who(&held));
    assert!(held.resolved(1, 0).is_none() && held.stale_resolved(1, MINUTE, 0).is_none());
    held.keep_resolved(1, resolved(), told(2), asking_who(&held));
    assert!(held.resolved(1, 0).is_some());
    // After a reset revisions may begin anew.
    held.stream.reset(0);
    held.keep_resolved(1, resolved(), told(1), asking_who(&held));
    assert!(held.resolved(1, 0).is_some());
}

#[test]
fn a_list_that_is_known_to_have_been_replaced_is_of_no_use_in_an_outage() {
    let held = Held::new(10);
    held.stream.open(None, 0);
    let keep = |revision| {
        let began = held.begin(TENANT, 0, 0);
        held.keep_list(TENANT, list(revision), began);
    };
    keep(1);
    held.stream.close();
    assert!(held.stale_list(TENANT, 0, MINUTE, 1).is_some());
    held.tenant_changed(TENANT, 2);
    assert!(held.stale_list(TENANT, 0, MINUTE, 1).is_none());
    keep(2);
    assert!(held.stale_list(TENANT, 0, MINUTE, 1).is_some());
    // Nobody knows to which revision: it may still be what it was.
    held.tenant_changed(TENANT, 0);
    assert!(held.stale_list(TENANT, 0, MINUTE, 1).is_some());
}
