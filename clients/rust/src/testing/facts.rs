//! What the double knows of a tenant.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use serde_json::Value;
use uuid::Uuid;

use crate::{
    FeatureReason, LimitEnforcement, LimitKind, LimitSource, Module, Reason, Tenant, TenantStatus,
    clock::{ALWAYS, Micros, NEVER, micros},
    list::{List, Right, Rights, Told, tag},
    terms::{Feature, Limit, Terms},
};

/// As the real server's `--max-age` and `--denial-max-age`.
pub(super) const MAX_AGE: Duration = Duration::from_secs(30);
pub(super) const DENIAL_MAX_AGE: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) tenant: Arc<Tenant>,
    pub(super) modules: BTreeMap<String, Grant>,
    /// By module and key.
    pub(super) features: BTreeMap<(String, String), Switch>,
    pub(super) limits: BTreeMap<String, Option<i64>>,
    /// The limits that count by the month.
    pub(super) monthly: BTreeSet<String>,
    pub(super) revision: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Grant {
    Until(Micros),
    Never(Reason),
}

#[derive(Clone, Debug)]
pub(super) struct Switch {
    pub(super) is_on: bool,
    pub(super) value: Option<Value>,
}

/// The limits that every real server knows.
const BUILT_IN: [(&str, LimitKind); 2] =
    [("transactions_monthly", LimitKind::Monthly), ("users", LimitKind::Level)];

impl Facts {
    pub(super) fn named_after(id: Uuid) -> Self {
        let name = id.simple().to_string();
        let tenant = Tenant {
            id,
            database_schema: format!("tenant_{name}"),
            subdomain: name.clone(),
            name,
            status: TenantStatus::Active,
            plan_slug: String::new(),
        };
        Self {
            tenant: tenant.into(),
            modules: BTreeMap::new(),
            features: BTreeMap::new(),
            limits: BTreeMap::new(),
            monthly: BTreeSet::new(),
            revision: 0,
        }
    }

    pub(super) fn told(&self, max_age: Duration, valid_until: Micros, now: Micros) -> Told {
        Told {
            revision: self.revision,
            as_of: now,
            valid_until,
            max_age: micros(max_age),
            stale: false,
        }
    }

    pub(super) fn denial(&self) -> Option<Reason> {
        match self.tenant.status {
            TenantStatus::Active | TenantStatus::Pending => None,
            TenantStatus::Suspended => Some(Reason::TenantSuspended),
            TenantStatus::Cancelled => Some(Reason::TenantCancelled),
            TenantStatus::PendingSetup | TenantStatus::Failed | TenantStatus::Other => {
                Some(Reason::TenantNotServed)
            }
        }
    }

    pub(super) fn list(&self, enforcement: LimitEnforcement, now: Micros) -> List {
        let of = |(code, right): (&String, &Grant)| match right {
            Grant::Until(end) if now < *end && self.denial().is_none() => Some(listed(code, *end)),
            Grant::Until(_) | Grant::Never(_) => None,
        };
        let rights: Rights = self.modules.iter().filter_map(of).collect();
        let next_change = rights.iter().map(|right| right.valid_until).min().unwrap_or(NEVER);
        List {
            rights: Some(rights),
            status: self.tenant.status,
            told: self.told(MAX_AGE, next_change, now),
            terms: Some(Terms::new(self.features(), self.limits(), enforcement).into()),
        }
    }

    fn features(&self) -> Vec<Arc<Feature>> {
        let of = |((module, key), switch): (&(String, String), &Switch)| {
            let decided = (switch.is_on, FeatureReason::Tenant);
            let value = switch.value.clone().filter(|_| switch.is_on);
            Feature::new(module, key.clone(), decided, value).into()
        };
        self.features.iter().map(of).collect()
    }

    fn limits(&self) -> Vec<Limit> {
        if self.denial().is_some() {
            return Vec::new();
        }
        let limit = |key: &str, most, source| Limit {
            key: key.into(),
            most,
            source,
            kind: self.kind_of(key).unwrap_or(LimitKind::Level),
            no_plan: source == LimitSource::None && self.tenant.plan_slug.is_empty(),
            valid_until: NEVER,
        };
        let own = self.limits.iter().map(|(key, most)| limit(key, *most, LimitSource::Override));
        let missing = BUILT_IN.iter().filter(|(key, _)| !self.limits.contains_key(*key));
        own.chain(missing.map(|(key, _)| limit(key, None, LimitSource::None))).collect()
    }

    /// What a limit counts, if there is such a limit.
    pub(super) fn kind_of(&self, key: &str) -> Option<LimitKind> {
        let built_in = BUILT_IN.iter().find(|(it, _)| *it == key).map(|(_, kind)| *kind);
        let own = || self.limits.contains_key(key).then_some(LimitKind::Level);
        let monthly = self.monthly.contains(key).then_some(LimitKind::Monthly);
        monthly.or(built_in).or_else(own)
    }

    pub(super) fn judge(&self, module: &str, now: Micros) -> (Reason, Micros) {
        match (self.denial(), self.modules.get(module)) {
            (Some(reason), _) | (None, Some(&Grant::Never(reason))) => (reason, NEVER),
            (None, Some(&Grant::Until(end))) if now < end => (Reason::Enabled, end),
            (None, Some(Grant::Until(_))) => (Reason::SubscriptionExpired, NEVER),
            (None, None) => (Reason::NotSubscribed, NEVER),
        }
    }
}

fn listed(code: &str, end: Micros) -> Right {
    let module = Module {
        code: code.to_owned(),
        name: code.to_owned(),
        category: String::new(),
        display_order: 0,
        is_base_module: false,
        sections: Vec::new(),
        frontend_routes: Vec::new(),
    };
    Right {
        tag: tag(code),
        module: module.into(),
        starts_at: ALWAYS,
        valid_until: end,
        expires_at: end,
        trial_ends_at: NEVER,
        is_trial: false,
    }
}
