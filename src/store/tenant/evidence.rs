//! What is read of a tenant.

use chrono::{DateTime, Utc};
use sea_orm::prelude::Uuid;

use crate::domain::{Facts, FlagRow, HeldSubscription, LimitOverride, OwnLimit};

/// A tenant as the database holds it, word for word, and what that comes to.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// What the words come to.
    pub facts: Facts,
    /// The tenant's words.
    pub tenant: TenantEvidence,
    /// The words of each subscription, in the order of the facts' rows.
    pub subscriptions: Vec<SubscriptionEvidence>,
    /// The words of what it has of its own beside its plan, where they were asked for.
    pub own: OwnEvidence,
}

impl Evidence {
    /// The rows of `feature_flags` with this key, of whichever module: first those of the module
    /// with this code, in the order in which they count.
    pub fn flags_of<'a>(&'a self, code: &str, key: &str) -> Vec<&'a FlagEvidence> {
        let of_key = self.own.flags.iter().filter(|flag| flag.row.name.parts().1 == key);
        let (mut flags, others): (Vec<_>, Vec<_>) =
            of_key.partition(|flag| flag.row.name.parts().0 == code);
        flags.extend(others);
        flags
    }

    /// Why the tenant has an override of this limit, as stored; empty: it has none, or nobody said.
    pub fn reason_of_override(&self, key: &str) -> &str {
        let own = self.own.overrides.iter().find(|own| own.key == key);
        own.map_or("", |own| &own.reason)
    }

    /// One of the tenant's overrides, with its reason, which facts do not carry.
    pub fn own_limit(&self, own: &LimitOverride) -> OwnLimit {
        let reason = self.reason_of_override(&own.key).to_owned();
        OwnLimit { limit: own.value, ends_at: own.ends_at, reason }
    }

    /// The rows of one module, in the order in which their windows open, each with its words.
    pub fn rows_of(
        &self,
        module: &str,
    ) -> impl Iterator<Item = (&HeldSubscription, &SubscriptionEvidence)> {
        let rows = self.facts.rows().iter().zip(&self.subscriptions);
        rows.filter(move |(row, _)| row.module.as_str() == module)
    }
}

/// What one statement has found of a tenant.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The tenant's revision; 0 while changes are not counted.
    pub revision: u64,
    /// Its rows, if it exists.
    pub evidence: Option<Evidence>,
}

/// What the facts of a tenant do not keep of its row.
#[derive(Clone, Debug)]
pub struct TenantEvidence {
    /// `tenants.status` as stored; `None`: NULL.
    pub status: Option<String>,
}

/// What the facts of a tenant do not keep of a subscription's row.
#[derive(Clone, Debug)]
pub struct SubscriptionEvidence {
    /// `tenant_subscriptions.id`.
    pub id: Uuid,
    /// `tenant_subscriptions.status` as stored; `None`: NULL.
    pub status: Option<String>,
}

/// What the facts of a tenant do not keep of what it has of its own.
#[derive(Clone, Debug, Default)]
pub struct OwnEvidence {
    /// Every row of `feature_flags`, in the order in which they count.
    pub flags: Vec<FlagEvidence>,
    /// The rows of `entitlement_limit_overrides`.
    pub overrides: Vec<OverrideEvidence>,
}

/// A row of `feature_flags`.
#[derive(Clone, Debug)]
pub struct FlagEvidence {
    /// What is read of it.
    pub row: FlagRow,
    /// `module_code` as stored.
    pub module_code: String,
    /// `is_enabled`; `None`: NULL, or neither true nor false.
    pub is_enabled: Option<bool>,
    /// `config` as stored, or its beginning; `None`: NULL.
    pub config: Option<String>,
    /// `updated_at`; `None`: NULL, or not readable.
    pub updated_at: Option<DateTime<Utc>>,
}

/// What the facts of a tenant do not keep of a row of `entitlement_limit_overrides`.
#[derive(Clone, Debug)]
pub struct OverrideEvidence {
    /// The limit's key.
    pub key: String,
    /// `reason` as stored.
    pub reason: String,
}
