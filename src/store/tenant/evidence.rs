//! What is read of a tenant.

use sea_orm::prelude::Uuid;

use crate::domain::{Facts, HeldSubscription};

/// A tenant as the database holds it, word for word, and what that comes to.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// What the words come to.
    pub facts: Facts,
    /// The tenant's words.
    pub tenant: TenantEvidence,
    /// The words of each subscription, in the order of the facts' rows.
    pub subscriptions: Vec<SubscriptionEvidence>,
}

impl Evidence {
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
