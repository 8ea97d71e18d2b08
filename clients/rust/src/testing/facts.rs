//! What the double knows of a tenant.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use uuid::Uuid;

use crate::{
    Module, Reason, Tenant, TenantStatus,
    clock::{ALWAYS, Micros, NEVER, micros},
    list::{List, Right, Rights, Told, tag},
};

/// As the real server's `--max-age` and `--denial-max-age`.
pub(super) const MAX_AGE: Duration = Duration::from_secs(30);
pub(super) const DENIAL_MAX_AGE: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) tenant: Arc<Tenant>,
    pub(super) modules: BTreeMap<String, Grant>,
    pub(super) revision: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Grant {
    Until(Micros),
    Never(Reason),
}

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
        Self { tenant: tenant.into(), modules: BTreeMap::new(), revision: 0 }
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

    pub(super) fn list(&self, now: Micros) -> List {
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
        }
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
