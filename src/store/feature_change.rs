//! Changes of features and limits: one transaction each, recorded in it.

mod affected;
mod catalogue_edit;
mod json;
mod own_edit;
mod request;
mod tenant_values;
mod zone_edit;
mod zone_json;

use chrono::{DateTime, Utc};
use sea_orm::prelude::Json;

use entitlementd_migration::{ChangeLog, locks};

pub use self::json::{
    feature_to_json, flag_to_json, kept_feature_to_json, kept_limit_to_json, limit_to_json,
    override_to_json,
};
use self::own_edit::Own;
pub use self::zone_json::time_zone_to_json;
pub(super) use self::{affected::tenants_of, catalogue_edit::keep_limit};
use super::{
    MutationError, Store, StoreError, TenantKey, catalogue,
    kept::{self, Keepers},
    mutate::{Request, lock_alone},
    record::{self, Entry},
    transaction::Transaction,
};
use crate::domain::{
    Author, Catalogue, CatalogueEdit, Edited, FeatureEntry, KeptAt, LimitEntry, OwnEdit, OwnFlag,
    OwnLimit, PlanFeature, TenantId, calendar::ZoneStanding,
};

/// A change of features and limits.
#[derive(Clone, Debug)]
pub enum FeatureChange {
    /// Of what there is, and of what plans say.
    Catalogue(CatalogueEdit),
    /// Of what a tenant has of its own.
    Own(TenantKey, OwnEdit),
}

/// What a change did, or would do.
#[derive(Clone, Debug)]
pub enum FeatureChanged {
    /// To a feature.
    Feature(Edited<FeatureEntry>),
    /// To a limit.
    Limit(Edited<LimitEntry>),
    /// To a tenant's flag.
    Flag(OwnChanged<NamedFlag>),
    /// To what a tenant has instead of the limit of its plan.
    Override(OwnChanged<NamedLimit>),
    /// To what a tenant keeps of what its plan said about a feature.
    KeptFeature(OwnChanged<NamedKeptFeature>),
    /// To what a tenant keeps of what its plan allowed.
    KeptLimit(OwnChanged<NamedKeptLimit>),
    /// To the time zones that its months are in.
    TimeZone(OwnChanged<ZoneStanding>),
}

/// What a tenant has of its own, before and after a change.
#[derive(Clone, Debug)]
pub struct OwnChanged<T> {
    /// The tenant.
    pub tenant: TenantId,
    /// Before; `None`: it had nothing.
    pub before: Option<T>,
    /// After; `None`: it has nothing.
    pub after: Option<T>,
    /// The tenant's revision, read after the commit: a read with this as its minimum reflects the
    /// change. 0 while changes are not counted.
    pub revision: u64,
}

/// A tenant's flag, with its name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NamedFlag {
    /// The present code of the module.
    pub module: String,
    /// The feature's key.
    pub key: String,
    /// The flag.
    pub flag: OwnFlag,
}

/// What a tenant has instead of a limit, with the limit's key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NamedLimit {
    /// The limit's key.
    pub key: String,
    /// What it has.
    pub own: OwnLimit,
}

/// What a tenant keeps of what its plan said about a feature, with its name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NamedKeptFeature {
    /// The present code of the module.
    pub module: String,
    /// The feature's key.
    pub key: String,
    /// What the plan said; `None`: nothing.
    pub says: Option<PlanFeature>,
    /// When the plan was changed.
    pub kept_at: KeptAt,
}

/// What a tenant keeps of what its plan allowed, with the limit's key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NamedKeptLimit {
    /// The limit's key.
    pub key: String,
    /// The limit; `None`: unlimited.
    pub limit: Option<i64>,
    /// When the plan was changed.
    pub kept_at: KeptAt,
}

/// What was done, before it is committed.
struct Made {
    changed: FeatureChanged,
    /// Who keeps something from now on, and what that is.
    keepers: Option<(Keepers, Json)>,
    /// What the record calls that which it was done to.
    subject: String,
}

impl Store {
    /// Reads features with what plans say about them, by module and key: all, or those of the module
    /// that has this code, or had it.
    pub async fn feature_entries(
        &self,
        module: Option<&str>,
        at: DateTime<Utc>,
    ) -> Result<Vec<FeatureEntry>, StoreError> {
        let catalogue = self.present_catalogue(at).await?;
        let code = module.map(|code| catalogue.code_of_now(code));
        let mut entries = FeatureEntry::all(&catalogue);
        entries.retain(|entry| code.is_none_or(|code| entry.module.as_str() == code));
        kept::count_features(&self.primary.unprepared(), &mut entries).await?;
        Ok(entries)
    }

    /// Reads all limits with what plans allow, by key.
    pub async fn limit_entries(&self, at: DateTime<Utc>) -> Result<Vec<LimitEntry>, StoreError> {
        let mut entries = LimitEntry::all(&self.present_catalogue(at).await?);
        kept::count_limits(&self.primary.unprepared(), &mut entries).await?;
        Ok(entries)
    }

    /// Makes a change, and records it. A request that was already done, by its id, gets its first
    /// answer.
    pub async fn change_features(
        &self,
        change: &FeatureChange,
        author: &Author,
    ) -> Result<FeatureChanged, MutationError> {
        let action = request::action_of(change);
        let request = request::request_of(change, author);
        let txn = match self.begin(author, action, &request).await? {
            Request::New(txn) => txn,
            Request::Replayed(event) => {
                let again = json::changed_of(change, &event)?;
                return self.at_its_revision(again, event.made_at).await;
            }
        };
        let Made { changed, keepers, subject } = self.make(&txn, change, author.at).await?;
        let [before, after] = json::states_of(&changed);
        let tenant = changed.tenant();
        if let Some((keepers, terms)) = keepers {
            keepers.record(&txn, author, (action, &request), &terms).await?;
        }
        let entry = Entry { author, action, tenant, subject: &subject, request, before, after };
        record::add(&txn, entry).await?;
        txn.commit().await?;
        self.at_its_revision(changed, author.at).await
    }

    /// Shows what a change would do, by making it in a transaction that is rolled back.
    pub async fn preview_features(
        &self,
        change: &FeatureChange,
        at: DateTime<Utc>,
    ) -> Result<FeatureChanged, MutationError> {
        let txn = self.writing.begin_writing().await?;
        let Made { changed, .. } = self.make(&txn, change, at).await?;
        txn.roll_back().await?;
        self.at_its_revision(changed, at).await
    }

    async fn make(
        &self,
        txn: &Transaction,
        change: &FeatureChange,
        at: DateTime<Utc>,
    ) -> Result<Made, MutationError> {
        match change {
            FeatureChange::Own(key, edit) => {
                self.rely_on_catalogue(txn).await?;
                let catalogue = self.catalogue_within(txn, at).await?;
                self.edit_own(txn, key, Own { edit, catalogue: &catalogue, at }).await
            }
            FeatureChange::Catalogue(edit) => {
                lock_alone(txn, locks::CATALOGUE).await?;
                let catalogue = self.catalogue_within(txn, at).await?;
                catalogue_edit::make(txn, &catalogue, edit, at).await
            }
        }
    }

    async fn catalogue_within(
        &self,
        txn: &Transaction,
        at: DateTime<Utc>,
    ) -> Result<Catalogue, StoreError> {
        Ok(catalogue::read(txn, ChangeLog::LeftOut, &self.context, at).await?.value)
    }

    async fn at_its_revision(
        &self,
        mut changed: FeatureChanged,
        now: DateTime<Utc>,
    ) -> Result<FeatureChanged, MutationError> {
        match &mut changed {
            FeatureChanged::Feature(_) | FeatureChanged::Limit(_) => {}
            FeatureChanged::Flag(OwnChanged { tenant, revision, .. })
            | FeatureChanged::Override(OwnChanged { tenant, revision, .. })
            | FeatureChanged::KeptFeature(OwnChanged { tenant, revision, .. })
            | FeatureChanged::KeptLimit(OwnChanged { tenant, revision, .. })
            | FeatureChanged::TimeZone(OwnChanged { tenant, revision, .. }) => {
                *revision = self.revision(*tenant, now).await?;
            }
        }
        Ok(changed)
    }
}

impl FeatureChanged {
    fn tenant(&self) -> Option<TenantId> {
        match self {
            Self::Feature(_) | Self::Limit(_) => None,
            Self::Flag(OwnChanged { tenant, .. })
            | Self::Override(OwnChanged { tenant, .. })
            | Self::KeptFeature(OwnChanged { tenant, .. })
            | Self::KeptLimit(OwnChanged { tenant, .. })
            | Self::TimeZone(OwnChanged { tenant, .. }) => Some(*tenant),
        }
    }
}
