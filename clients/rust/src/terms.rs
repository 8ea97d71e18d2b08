//! What a list says of features and limits. Most tenants have the same, which is there once.

use std::{hash::Hasher, sync::Arc};

use rustc_hash::FxHasher;
use serde_json::Value;

use crate::{
    FeatureAnswer, FeatureReason, LimitAnswer, LimitEnforcement, LimitKind, LimitReason,
    LimitSource, Reason, TenantStatus,
    answer::Words,
    clock::{Micros, NEVER},
    list::{List, Right, Told, short, tag},
};

/// A feature of a module. Tenants that have it the same share it.
#[derive(Debug, Eq, Hash, PartialEq)]
pub(crate) struct Feature {
    module: Box<str>,
    key: Box<str>,
    enabled: bool,
    reason: FeatureReason,
    value: Option<Arc<Value>>,
    /// Of one that is off.
    words: Option<Arc<Words>>,
}

impl Feature {
    pub(crate) fn new(
        module: &str,
        key: String,
        (enabled, reason): (bool, FeatureReason),
        value: Option<Value>,
    ) -> Self {
        let words = (!enabled).then(|| Words::of(reason.sentence(module, &key)).into());
        let (module, key) = (module.into(), key.into());
        Self { module, key, enabled, reason, value: value.map(Arc::new), words }
    }
}

/// A limit that holds for a tenant.
#[derive(Debug, Eq, Hash, PartialEq)]
pub(crate) struct Limit {
    pub(crate) key: Box<str>,
    /// `None`: there is none.
    pub(crate) most: Option<i64>,
    pub(crate) source: LimitSource,
    pub(crate) kind: LimitKind,
    pub(crate) no_plan: bool,
    pub(crate) valid_until: Micros,
}

/// The features of a tenant's modules, and its limits.
#[derive(Debug, Eq, Hash, PartialEq)]
pub(crate) struct Terms {
    /// Of the features, ascending: to look among them touches none of them.
    tags: Box<[u32]>,
    features: Box<[Arc<Feature>]>,
    limits: Box<[Limit]>,
    /// Unspecified: a newer server does what this library does not know.
    enforcement: LimitEnforcement,
}

impl Terms {
    pub(crate) fn new(
        mut features: Vec<Arc<Feature>>,
        limits: Vec<Limit>,
        enforcement: LimitEnforcement,
    ) -> Self {
        let tag_of = |feature: &Arc<Feature>| tag_of(tag(&feature.module), &feature.key);
        features.sort_by_cached_key(tag_of);
        let tags = features.iter().map(tag_of).collect();
        Self { tags, features: features.into(), limits: limits.into(), enforcement }
    }

    fn feature(&self, right: &Right, key: &str) -> Option<&Feature> {
        let (module, tag) = (&*right.module.code, tag_of(right.tag, key));
        let first = self.tags.partition_point(|other| *other < tag);
        let same = self.tags.get(first..)?.iter().take_while(|other| **other == tag);
        let mut same = self.features.get(first..)?.iter().zip(same).map(|(feature, _)| feature);
        same.find(|feature| *feature.key == *key && *feature.module == *module).map(|it| &**it)
    }

    /// Does its server enforce limits?
    pub(crate) fn enforcement(&self) -> LimitEnforcement {
        self.enforcement
    }

    fn limit(&self, key: &str) -> Option<&Limit> {
        self.limits.iter().find(|limit| *limit.key == *key)
    }
}

/// Two features with equal tags cost an extra comparison. `module` is the tag of that.
fn tag_of(module: u32, key: &str) -> u32 {
    let mut hasher = FxHasher::default();
    hasher.write_u32(module);
    hasher.write(key.as_bytes());
    short(hasher.finish())
}

impl List {
    /// What becomes of a feature at this instant. A list has all features at its revision: one that
    /// it does not name is off. `None`: the module is not granted, or the server knows no features.
    pub(crate) fn feature(&self, module: &str, key: &str, now: Micros) -> Option<FeatureAnswer> {
        let right = self.right(module, now)?;
        let valid_until = right.valid_until;
        let (enabled, reason, value, words) = match self.terms.as_ref()?.feature(right, key) {
            Some(it) => (it.enabled, it.reason, it.value.clone(), it.words.clone()),
            None => {
                let reason = FeatureReason::NotFound;
                (false, reason, None, Some(Words::of(reason.sentence(module, key)).into()))
            }
        };
        let Told { revision, as_of, stale, .. } = self.told;
        Some(FeatureAnswer {
            enabled,
            reason,
            module_reason: Reason::Enabled,
            stale,
            by_outage_rule: false,
            revision,
            as_of,
            valid_until,
            value,
            words,
        })
    }

    /// What a limit is at this instant. `None`: the list does not say, for the server knows no
    /// limits, or the override that it names has ended.
    pub(crate) fn limit(&self, key: &str, now: Micros) -> Option<LimitAnswer> {
        let told = self.told;
        let answer = |reason, enforcement| LimitAnswer {
            limit: None,
            source: LimitSource::None,
            kind: LimitKind::Unspecified,
            enforcement,
            reason,
            tenant_reason: Reason::Unspecified,
            stale: told.stale,
            by_outage_rule: false,
            revision: told.revision,
            as_of: told.as_of,
            valid_until: NEVER,
        };
        let terms = self.terms.as_deref();
        let enforcement = terms.map(|terms| terms.enforcement).unwrap_or_default();
        if let Some(tenant_reason) = self.tenant_denial() {
            let denied = answer(LimitReason::TenantDenied, enforcement);
            return Some(LimitAnswer { tenant_reason, ..denied });
        }
        let terms = terms.filter(|_| enforcement != LimitEnforcement::Unspecified)?;
        let Some(held) = terms.limit(key) else {
            return Some(answer(LimitReason::NotFound, enforcement));
        };
        let reason = match (held.most, held.no_plan) {
            (Some(_), _) => LimitReason::Within,
            (None, true) => LimitReason::NoPlan,
            (None, false) => LimitReason::Unlimited,
        };
        (now < held.valid_until).then(|| LimitAnswer {
            limit: held.most,
            source: held.source,
            kind: held.kind,
            valid_until: held.valid_until,
            ..answer(reason, enforcement)
        })
    }

    /// Why the tenant is denied as a whole. A status that this library does not know may be one that
    /// is served: such a tenant has limits, or at least modules.
    pub(crate) fn tenant_denial(&self) -> Option<Reason> {
        let Some(rights) = &self.rights else { return Some(Reason::TenantNotFound) };
        let has_limits = self.terms.as_ref().is_some_and(|terms| !terms.limits.is_empty());
        match self.status {
            TenantStatus::Active | TenantStatus::Pending => None,
            TenantStatus::Other if has_limits || !rights.is_empty() => None,
            TenantStatus::Suspended => Some(Reason::TenantSuspended),
            TenantStatus::Cancelled => Some(Reason::TenantCancelled),
            TenantStatus::PendingSetup | TenantStatus::Failed | TenantStatus::Other => {
                Some(Reason::TenantNotServed)
            }
        }
    }
}

#[cfg(test)]
mod tests;
