//! A tenant with everything that people want to see of it.

use chrono::{DateTime, Utc};
use entitlementd_migration::ChangeLog;

use super::{
    Evidence, NamedFlag, NamedKeptFeature, NamedKeptLimit, NamedLimit, Reading, Store, StoreError,
    TenantKey, catalogue, entitlements, offers,
};
use crate::domain::{Catalogue, Facts, LimitInForce, OwnFlag, Summary, limits_of};

/// A tenant as the database has it, and what its own terms and its plan come to.
#[derive(Debug)]
pub struct Overview {
    /// Its rows.
    pub evidence: Evidence,
    /// Its revision; 0 while changes are not counted.
    pub revision: u64,
    /// Its own flags, by module and key.
    pub flags: Vec<NamedFlag>,
    /// What it has instead of limits of its plan, by key: what has ended too.
    pub overrides: Vec<NamedLimit>,
    /// What it keeps of what its plan said about features, by module and key.
    pub kept_features: Vec<NamedKeptFeature>,
    /// What it keeps of what its plan allowed, by key.
    pub kept_limits: Vec<NamedKeptLimit>,
    /// What each limit comes to, by key.
    pub limits: Vec<LimitInForce>,
    /// What it is entitled to, and what that costs; a database that lacks a column of prices cannot
    /// say it.
    pub summary: Result<Summary, StoreError>,
}

impl Store {
    /// Reads a tenant, from the primary; `None`: there is no such tenant.
    pub async fn overview(
        &self,
        key: &TenantKey,
        at: DateTime<Utc>,
    ) -> Result<Option<Overview>, StoreError> {
        let Reading { revision, evidence } = self.read(key, at).await?;
        let Some(evidence) = evidence else { return Ok(None) };
        let facts = &evidence.facts;
        let catalogue = self.present_catalogue(at).await?;
        let summary = self.summary(facts, at).await;
        let summary = match summary {
            Err(error) => self.name_missing_columns(Err(error)).await,
            good => good,
        };
        let kept = facts.tenant.kept();
        let kept_features = kept.iter().flat_map(|kept| kept.features());
        let kept_limits = kept.iter().flat_map(|kept| kept.limits());
        Ok(Some(Overview {
            revision,
            flags: flags(facts),
            overrides: overrides(&evidence),
            kept_features: kept_features.map(NamedKeptFeature::of).collect(),
            kept_limits: kept_limits.map(NamedKeptLimit::of).collect(),
            limits: limits_of(facts, &catalogue, at),
            summary,
            evidence,
        }))
    }

    /// Reads the catalogue as it is, from the primary.
    pub(super) async fn present_catalogue(
        &self,
        at: DateTime<Utc>,
    ) -> Result<Catalogue, StoreError> {
        let database = self.primary.unprepared();
        Ok(catalogue::read(&database, ChangeLog::LeftOut, &self.context, at).await?.value)
    }

    async fn summary(&self, facts: &Facts, at: DateTime<Utc>) -> Result<Summary, StoreError> {
        let entitlements =
            entitlements::read(&self.primary, facts.tenant.id, &self.context).await?;
        let offers = offers::read_all(&self.primary, &self.context).await?;
        Ok(entitlements.summary(&offers, at))
    }
}

fn overrides(evidence: &Evidence) -> Vec<NamedLimit> {
    let overrides = evidence.facts.tenant.own.iter().flat_map(|own| &own.overrides);
    let named =
        overrides.map(|own| NamedLimit { key: own.key.to_string(), own: evidence.own_limit(own) });
    named.collect()
}

fn flags(facts: &Facts) -> Vec<NamedFlag> {
    let flags = facts.tenant.own.iter().flat_map(|own| own.flags.iter());
    let named = flags.map(|(module, key, flag)| NamedFlag {
        module: module.to_owned(),
        key: key.to_owned(),
        flag: OwnFlag { is_on: flag.is_on, value: flag.value.cloned() },
    });
    let mut named: Vec<_> = named.collect();
    named.sort_by(|one, other| (&one.module, &one.key).cmp(&(&other.module, &other.key)));
    named
}
