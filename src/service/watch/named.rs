//! The tenants that a watcher names, and when one of them next changes by time alone.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};

use crate::domain::{
    Facts, TenantId,
    enabled::{Transition, next_change, transitions},
};

/// What has been read of the tenants, ordered by when time changes them: a change of one, or an
/// instant that passes, costs nothing for the others.
#[derive(Debug)]
pub(super) struct NamedTenants {
    facts: HashMap<TenantId, NamedTenant>,
    next: BTreeSet<(DateTime<Utc>, TenantId)>,
    /// When the watcher began: earlier changes are not sent.
    began: DateTime<Utc>,
}

#[derive(Debug)]
struct NamedTenant {
    facts: Facts,
    /// Transitions up to this instant have been sent.
    sent_until: DateTime<Utc>,
    next: Option<DateTime<Utc>>,
}

impl NamedTenants {
    pub(super) fn new(began: DateTime<Utc>) -> Self {
        Self { facts: HashMap::new(), next: BTreeSet::new(), began }
    }

    /// Stores what was read of a tenant; `None`: the tenant does not exist.
    pub(super) fn update(&mut self, id: TenantId, facts: Option<Facts>) {
        let sent_until = self.remove(id).unwrap_or(self.began);
        if let Some(facts) = facts {
            self.insert(id, facts, sent_until);
        }
    }

    /// The next instant at which something changes by time alone.
    pub(super) fn next(&self) -> Option<DateTime<Utc>> {
        self.next.first().map(|(at, _)| *at)
    }

    /// What time alone has changed by now, for one tenant at a time; `None`: there are no more.
    pub(super) fn changed_by(&mut self, now: DateTime<Utc>) -> Option<(TenantId, Vec<Transition>)> {
        let (_, id) = *self.next.first().filter(|(at, _)| *at <= now)?;
        let NamedTenant { facts, sent_until, next } = self.facts.remove(&id)?;
        self.next.remove(&(next?, id));
        let changed = transitions(&facts, sent_until, now);
        self.insert(id, facts, now);
        Some((id, changed))
    }

    fn insert(&mut self, id: TenantId, facts: Facts, sent_until: DateTime<Utc>) {
        let next = next_change(&facts, sent_until);
        self.next.extend(next.map(|next| (next, id)));
        self.facts.insert(id, NamedTenant { facts, sent_until, next });
    }

    fn remove(&mut self, id: TenantId) -> Option<DateTime<Utc>> {
        let NamedTenant { sent_until, next, .. } = self.facts.remove(&id)?;
        if let Some(next) = next {
            self.next.remove(&(next, id));
        }
        Some(sent_until)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use uuid::Uuid;

    use super::*;
    use crate::domain::{ModuleCode, Subscription, SubscriptionStatus, Tenant, TenantStatus};

    const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

    fn at(seconds: i64) -> DateTime<Utc> {
        NOW + TimeDelta::seconds(seconds)
    }

    fn id(number: u128) -> TenantId {
        Uuid::from_u128(number).into()
    }

    /// A tenant whose rights end at these instants.
    fn ending(number: u128, ends: &[i64]) -> Facts {
        let tenant = Tenant {
            id: id(number),
            name: "".into(),
            subdomain: "".into(),
            database_schema: "".into(),
            status: TenantStatus::Active,
            plan_slug: None,
            own: None,
        };
        let row = |end: &i64| Subscription {
            id: Uuid::nil(),
            module: ModuleCode::new(&format!("module-{end}")),
            status: SubscriptionStatus::Active,
            starts_at: None,
            expires_at: Some(at(*end)),
            is_trial: false,
            trial_ends_at: None,
        };
        Facts::new(tenant, ends.iter().map(row).collect(), 1, NOW)
    }

    fn sent_until(named: &mut NamedTenants, now: DateTime<Utc>) -> Vec<(TenantId, DateTime<Utc>)> {
        let mut sent_until = Vec::new();
        while let Some((id, changed)) = named.changed_by(now) {
            sent_until.extend(changed.into_iter().map(|changed| (id, changed.at)));
        }
        sent_until.sort_unstable();
        sent_until
    }

    #[test]
    fn each_tenant_is_told_of_once_for_each_instant_that_has_passed() {
        let mut named = NamedTenants::new(NOW);
        for (number, ends) in [(1, &[10, 20][..]), (2, &[10]), (3, &[30]), (4, &[])] {
            named.update(id(number), Some(ending(number, ends)));
        }
        assert_eq!(named.next(), Some(at(10)));
        assert_eq!(sent_until(&mut named, at(9)), []);
        assert_eq!(sent_until(&mut named, at(10)), [(id(1), at(10)), (id(2), at(10))]);
        assert_eq!(sent_until(&mut named, at(10)), []);
        assert_eq!(named.next(), Some(at(20)));
        assert_eq!(sent_until(&mut named, at(99)), [(id(1), at(20)), (id(3), at(30))]);
        assert_eq!(named.next(), None);
    }

    #[test]
    fn what_has_changed_is_judged_from_where_it_was_told_last() {
        let mut named = NamedTenants::new(NOW);
        named.update(id(1), Some(ending(1, &[10])));
        named.update(id(1), Some(ending(1, &[40, 5])));
        assert_eq!(sent_until(&mut named, at(6)), [(id(1), at(5))]);
        named.update(id(1), Some(ending(1, &[5, 7])));
        assert_eq!(sent_until(&mut named, at(8)), [(id(1), at(7))], "5 has been sent");
        named.update(id(1), None);
        assert_eq!((named.next(), sent_until(&mut named, at(99))), (None, vec![]));
    }
}
