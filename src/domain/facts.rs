//! Facts: what the database holds about one tenant, at one revision.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{HeldSubscription, Subscription, Tenant, TenantStatus};

/// The number of rows whose tags are held; the rows of a tenant with more are searched.
const MAX_TAGS: usize = 16;

/// The tenant's row and its subscriptions, read in one statement.
///
/// Time is applied when the facts are evaluated, so facts that are held never outlive an expiry and
/// never miss a start.
///
/// The facts of a hundred thousand tenants do not fit into the CPU's caches, so what counts for a
/// decision is how many cache lines it touches. What every decision reads is stored here, side by
/// side; the rest is shared, so that facts are cheap to clone. Tags lead to a module's rows without
/// a look at the others.
#[derive(Clone, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct Facts {
    subscriptions: Arc<[HeldSubscription]>,
    /// A hash of each row's module, in the order of the rows; zeros after the last.
    tags: [u8; MAX_TAGS],
    /// When they were read: the instant before the statement was sent.
    pub as_of: DateTime<Utc>,
    /// A copy of the tenant's status: every decision reads it, and the tenant is stored elsewhere.
    status: TenantStatus,
    /// Grows with each committed change of these facts; 0 while the database does not count
    /// revisions.
    pub revision: u64,
    /// The tenant itself.
    pub tenant: Arc<Tenant>,
}

impl Facts {
    /// Puts the facts of one tenant together.
    pub fn new(
        tenant: Tenant,
        mut subscriptions: Vec<Subscription>,
        revision: u64,
        as_of: DateTime<Utc>,
    ) -> Self {
        subscriptions.sort_by(Subscription::order);
        let held = subscriptions.into_iter().map(HeldSubscription::from).collect();
        Self::of_held(tenant, held, revision, as_of)
    }

    /// The same of what other facts held, in their order: it replaces the ids of rows that are equal
    /// in it.
    pub fn of_held(
        tenant: Tenant,
        mut subscriptions: Vec<HeldSubscription>,
        revision: u64,
        as_of: DateTime<Utc>,
    ) -> Self {
        subscriptions.sort_by(HeldSubscription::order);
        let mut tags = [0; MAX_TAGS];
        for (held, row) in tags.iter_mut().zip(&subscriptions) {
            *held = tag(row.module.as_str());
        }
        let (status, subscriptions) = (tenant.status, subscriptions.into());
        Self { subscriptions, tags, as_of, status, revision, tenant: tenant.into() }
    }

    /// The tenant's status.
    pub fn status(&self) -> TenantStatus {
        self.status
    }

    /// Do two readings have equal contents, whenever they were made?
    pub fn says_the_same_as(&self, other: &Self) -> bool {
        *self == Self { as_of: self.as_of, ..other.clone() }
    }

    /// All rows, in the order of [`Subscription::order`], whose ids are no longer known.
    pub fn rows(&self) -> &[HeldSubscription] {
        &self.subscriptions
    }

    /// The rows of one module, ordered by the start of their windows.
    pub fn rows_of(&self, module: &str) -> &[HeldSubscription] {
        let rows = self.rows();
        let is_of = |row: &HeldSubscription| row.module.as_str() == module;
        if rows.len() > MAX_TAGS {
            let from = rows.partition_point(|row| row.module.as_str() < module);
            let count = rows[from..].iter().take_while(|row| is_of(row)).count();
            return &rows[from..from + count];
        }
        let wanted = tag(module);
        let tagged = || self.tags.iter().zip(rows).map(|(tag, row)| *tag == wanted && is_of(row));
        let from = tagged().position(|found| found).unwrap_or(rows.len());
        let count = tagged().skip(from).take_while(|found| *found).count();
        &rows[from..from + count]
    }

    /// The rows of each module in turn, by code.
    pub fn by_module(&self) -> impl Iterator<Item = &[HeldSubscription]> {
        self.subscriptions.chunk_by(|a, b| a.module == b.module)
    }
}

/// FNV-1a, folded to a byte. If two modules share a tag, an additional row is looked at.
fn tag(module: &str) -> u8 {
    let hash = module
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let [a, b, c, d] = hash.to_le_bytes();
    a ^ b ^ c ^ d
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::{ModuleCode, SubscriptionStatus};

    fn row(number: u128, module: &str, starts_at: i64) -> Subscription {
        Subscription {
            id: Uuid::from_u128(number),
            module: ModuleCode::new(module),
            status: SubscriptionStatus::Active,
            starts_at: DateTime::from_timestamp(starts_at, 0),
            expires_at: None,
            is_trial: false,
            trial_ends_at: None,
        }
    }

    fn facts(rows: Vec<Subscription>) -> Facts {
        let tenant = Tenant {
            id: Uuid::nil().into(),
            name: "".into(),
            subdomain: "".into(),
            database_schema: "".into(),
            status: TenantStatus::Active,
            plan_slug: None,
            own: None,
        };
        Facts::new(tenant, rows, 0, DateTime::UNIX_EPOCH)
    }

    #[test]
    fn facts_take_one_cache_line_and_a_row_less() {
        assert_eq!((size_of::<Facts>(), size_of::<HeldSubscription>()), (64, 48));
    }

    #[test]
    fn who_has_nothing_of_its_own_pays_for_a_pointer_that_fills_a_gap() {
        // With the two counters of an `Arc`, and rounded as allocators round.
        assert_eq!(size_of::<Tenant>() + 2 * size_of::<usize>(), 112);
    }

    #[test]
    fn rows_are_found_however_many_there_are() {
        for count in [0, 1, 2, 15, 16, 17, 40, 600] {
            let module = |number: i64| format!("module-{}", number / 2);
            let facts = facts((0..count).map(|number| row(0, &module(number), number)).collect());
            for number in 0..count {
                let found = facts.rows_of(&module(number));
                assert!(
                    found.iter().any(|row| row.starts_at.unwrap().timestamp() == number),
                    "{number} of {count}"
                );
                assert!(found.len() <= 2);
            }
            assert!(facts.rows_of("module").is_empty());
            assert!(facts.rows_of("z").is_empty());
        }
    }

    #[test]
    fn of_rows_that_start_at_once_the_highest_id_is_the_last_and_ids_tell_nothing_apart() {
        let trial = |number, is_trial| Subscription { is_trial, ..row(number, "finance", 0) };
        let facts_of = |one, two| facts(vec![trial(one, true), trial(two, false)]);
        let last_is_trial = |facts: Facts| facts.rows_of("finance").last().unwrap().is_trial;
        assert!(last_is_trial(facts_of(2, 1)) && !last_is_trial(facts_of(1, 2)));
        assert!(
            facts_of(1, 2).says_the_same_as(&facts_of(5, 7))
                && !facts_of(1, 2).says_the_same_as(&facts_of(7, 5))
        );
    }
}
