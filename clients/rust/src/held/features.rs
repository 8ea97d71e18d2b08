//! What is held of features and limits.

use uuid::Uuid;

use super::{Held, Id, Look, Slot};
use crate::{FeatureAnswer, LimitAnswer, clock::Micros};

/// How a feature is named among what is denied. The name of a module has no control characters.
pub(crate) fn feature_name(module: &str, key: &str) -> String {
    format!("{module}\0{key}")
}

impl Held {
    /// What can be answered at once about a feature: a list that grants its module says whether it is
    /// on or off.
    pub(crate) fn look_feature(
        &self,
        tenant: Uuid,
        (module, key): (&str, &str),
        min_revision: u64,
        now: Micros,
    ) -> Look<FeatureAnswer> {
        let look = |slot: &Slot| {
            let good = slot.list.as_ref().filter(|held| self.is_good(held, min_revision, now));
            if let Some(answer) = good.and_then(|held| held.list.feature(module, key, now)) {
                return Look::Answer(answer);
            }
            let is_it = |about: &str| about.split_once('\0') == Some((module, key));
            match (self.good_denial(slot, is_it, min_revision, now), good) {
                (Some(denial), _) => {
                    Look::Answer(FeatureAnswer::of_denied_module(denial.answer.clone()))
                }
                (None, Some(_)) => Look::AskWhy,
                (None, None) => Look::AskForList,
            }
        };
        self.tenants.look(&Id(tenant), look).unwrap_or(Look::AskForList)
    }

    /// Does the list that is held of a tenant, however old it is, deny it as a whole?
    pub(crate) fn is_tenant_denied(&self, tenant: Uuid) -> bool {
        let is_denied = |slot: &Slot| slot.list.as_ref()?.list.tenant_denial();
        self.tenants.look(&Id(tenant), is_denied).flatten().is_some()
    }

    /// What a limit is, if the list is good and says so.
    pub(crate) fn limit(
        &self,
        tenant: Uuid,
        key: &str,
        min_revision: u64,
        now: Micros,
    ) -> Option<LimitAnswer> {
        let look = |slot: &Slot| {
            let good = slot.list.as_ref().filter(|held| self.is_good(held, min_revision, now))?;
            good.list.limit(key, now)
        };
        self.tenants.look(&Id(tenant), look).flatten()
    }
}
