//! What single tenants have of their own, written down.

use chrono::{DateTime, Utc};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, Value, prelude::Uuid};

use super::{
    FeatureChanged, Made, NamedFlag, NamedKeptFeature, NamedKeptLimit, NamedLimit, OwnChanged,
    affected::{codes_of, config, places},
};
use crate::{
    domain::{
        Catalogue, FeatureName, KeptFeature, KeptLimit, OwnEdit, OwnFlag, OwnLimit, OwnTerms,
    },
    store::{
        Evidence, MutationError, Store, StoreError, TenantKey,
        ask::Ask,
        entitlements::{self, Found},
        entity::feature_flags,
        kept, tenant,
        transaction::Transaction,
    },
};

/// A change of what a tenant has, and what it rests on.
pub(super) struct Own<'a> {
    pub(super) edit: &'a OwnEdit,
    pub(super) catalogue: &'a Catalogue,
    pub(super) at: DateTime<Utc>,
}

impl Store {
    /// Makes a change of a tenant that nobody else can change meanwhile.
    pub(super) async fn edit_own(
        &self,
        txn: &Transaction,
        key: &TenantKey,
        own: Own<'_>,
    ) -> Result<Made, MutationError> {
        let locked = entitlements::lock(txn, key).await?.ok_or(MutationError::TenantNotFound)?;
        let rows = txn.query(self.evidence.of(txn.dialect(), &TenantKey::Id(locked.id))).await?;
        let reading = tenant::reading(&rows, &self.context, own.at)?;
        let evidence = reading.evidence.ok_or(MutationError::TenantNotFound)?;
        let changed = match own.edit {
            OwnEdit::SetFlag(name, flag) => {
                own.edit_flag(txn, &locked, &evidence, name, Some(flag)).await
            }
            OwnEdit::DeleteFlag(name) => own.edit_flag(txn, &locked, &evidence, name, None).await,
            OwnEdit::SetLimit(key, limit) => {
                own.edit_limit(txn, &locked, &evidence, key, Some(limit)).await
            }
            OwnEdit::EndLimit(key) => own.edit_limit(txn, &locked, &evidence, key, None).await,
            OwnEdit::EndKeptFeature(name) => {
                own.end_kept_feature(txn, &locked, &evidence, name).await
            }
            OwnEdit::EndKeptLimit(key) => own.end_kept_limit(txn, &locked, &evidence, key).await,
            OwnEdit::SetTimeZone(edit) => own.edit_time_zone(txn, &locked, &evidence, *edit).await,
        };
        Ok(Made { changed: changed?, keepers: None, subject: locked.subdomain })
    }
}

impl Own<'_> {
    fn check(&self, has_it: bool) -> Result<(), MutationError> {
        let violations = self.edit.violations(self.catalogue, has_it, self.at);
        if violations.is_empty() { Ok(()) } else { Err(MutationError::Refused(violations)) }
    }

    async fn edit_flag(
        &self,
        txn: &Transaction,
        tenant: &Found,
        evidence: &Evidence,
        name: &FeatureName,
        wanted: Option<&OwnFlag>,
    ) -> Result<FeatureChanged, MutationError> {
        let module = self.catalogue.code_of_now(&name.module).to_owned();
        let had = own_of(evidence).and_then(|own| own.flags.get(&module, &name.key));
        self.check(had.is_some())?;
        write_flag(txn, tenant, &module, &name.key, wanted, self.at).await?;
        let named = |flag| NamedFlag { module: module.clone(), key: name.key.clone(), flag };
        let before = had.map(|had| OwnFlag { is_on: had.is_on, value: had.value.cloned() });
        Ok(FeatureChanged::Flag(OwnChanged {
            tenant: tenant.id,
            before: before.map(named),
            after: wanted.cloned().map(named),
            revision: 0,
        }))
    }

    async fn edit_limit(
        &self,
        txn: &Transaction,
        tenant: &Found,
        evidence: &Evidence,
        key: &str,
        wanted: Option<&OwnLimit>,
    ) -> Result<FeatureChanged, MutationError> {
        let had = own_of(evidence).and_then(|own| own.override_of(key));
        self.check(had.is_some())?;
        let before = had.map(|had| evidence.own_limit(had));
        write_limit(txn, tenant, key, wanted).await?;
        let named = |own| NamedLimit { key: key.to_owned(), own };
        Ok(FeatureChanged::Override(OwnChanged {
            tenant: tenant.id,
            before: before.map(named),
            after: wanted.cloned().map(named),
            revision: 0,
        }))
    }

    async fn end_kept_feature(
        &self,
        txn: &Transaction,
        tenant: &Found,
        evidence: &Evidence,
        name: &FeatureName,
    ) -> Result<FeatureChanged, MutationError> {
        let module = self.catalogue.code_of_now(&name.module);
        let had = evidence.facts.tenant.kept_feature(module, &name.key);
        self.check(had.is_some())?;
        kept::end_feature(txn, tenant.id, module, &name.key).await?;
        let before = had.map(NamedKeptFeature::of);
        let changed = OwnChanged { tenant: tenant.id, before, after: None, revision: 0 };
        Ok(FeatureChanged::KeptFeature(changed))
    }

    async fn end_kept_limit(
        &self,
        txn: &Transaction,
        tenant: &Found,
        evidence: &Evidence,
        key: &str,
    ) -> Result<FeatureChanged, MutationError> {
        let had = evidence.facts.tenant.kept_limit(key);
        self.check(had.is_some())?;
        kept::end_limit(txn, tenant.id, key).await?;
        let before = had.map(NamedKeptLimit::of);
        let changed = OwnChanged { tenant: tenant.id, before, after: None, revision: 0 };
        Ok(FeatureChanged::KeptLimit(changed))
    }
}

impl NamedKeptFeature {
    /// What a tenant keeps.
    pub(in crate::store) fn of(kept: &KeptFeature) -> Self {
        let (module, key) = kept.name.parts();
        Self {
            module: module.to_owned(),
            key: key.to_owned(),
            says: kept.says.clone(),
            kept_at: kept.kept_at,
        }
    }
}

impl NamedKeptLimit {
    /// What a tenant keeps.
    pub(in crate::store) fn of(kept: &KeptLimit) -> Self {
        Self { key: kept.key.to_string(), limit: kept.value, kept_at: kept.kept_at }
    }
}

/// What a tenant has beside its plan, if anything.
fn own_of(evidence: &Evidence) -> Option<&OwnTerms> {
    evidence.facts.tenant.own.as_deref()
}

/// Leaves exactly one row for the feature, or none: of several, one that is on would win.
async fn write_flag(
    txn: &Transaction,
    tenant: &Found,
    module: &str,
    key: &str,
    wanted: Option<&OwnFlag>,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    use feature_flags::Column as F;
    let rows = flag_rows(txn, tenant, module, key).await?;
    let (kept, gone) = match wanted {
        None => (None, rows.as_slice()),
        Some(_) => rows.split_first().map_or((None, &[][..]), |(kept, gone)| (Some(kept), gone)),
    };
    if !gone.is_empty() {
        let delete = feature_flags::Entity::delete_many().filter(F::Id.is_in(gone.iter().copied()));
        delete.exec(&txn.inner).await?;
    }
    let Some(flag) = wanted else { return Ok(()) };
    let row = feature_flags::ActiveModel {
        module_code: Set(module.to_owned()),
        is_enabled: Set(Some(flag.is_on)),
        config: Set(Some(config(flag))),
        updated_at: Set(at),
        ..Default::default()
    };
    if let Some(kept) = kept {
        let update = feature_flags::Entity::update_many().set(row).filter(F::Id.eq(*kept));
        update.exec(&txn.inner).await?;
        return Ok(());
    }
    let row = feature_flags::ActiveModel {
        id: Set(Uuid::new_v4()),
        tenant_id: Set(Some(tenant.id.uuid())),
        feature_key: Set(key.to_owned()),
        created_at: Set(at),
        ..row
    };
    feature_flags::Entity::insert(row).exec_without_returning(&txn.inner).await?;
    Ok(())
}

/// The ids of a tenant's rows for a feature, one with the module's present code first.
async fn flag_rows(
    txn: &Transaction,
    tenant: &Found,
    module: &str,
    key: &str,
) -> Result<Vec<Uuid>, StoreError> {
    let codes = codes_of(txn, module).await?;
    let sql = format!(
        "SELECT id FROM feature_flags WHERE tenant_id = $1 AND feature_key = $2 AND module_code IN ({})
         ORDER BY CASE WHEN module_code = $3 THEN 0 ELSE 1 END, id",
        places(&codes, 3)
    );
    let values: [Value; 2] = [tenant.id.uuid().into(), key.into()];
    let codes = codes.iter().map(|code| code.as_str().into());
    let rows = txn.sql(sql, values.into_iter().chain(codes)).await?;
    rows.iter().map(|row| Ok(row.try_get("", "id")?)).collect()
}

async fn write_limit(
    txn: &Transaction,
    tenant: &Found,
    key: &str,
    wanted: Option<&OwnLimit>,
) -> Result<(), StoreError> {
    let names: [Value; 2] = [tenant.id.uuid().into(), key.into()];
    let Some(OwnLimit { limit, ends_at, reason }) = wanted else {
        let sql = "DELETE FROM entitlement_limit_overrides WHERE tenant_id = $1 AND key = $2";
        return txn.execute_with(sql, names).await;
    };
    let sql = "INSERT INTO entitlement_limit_overrides (tenant_id, key, value, ends_at, reason) VALUES ($1, $2, $3, $4, $5)
               ON CONFLICT (tenant_id, key) DO UPDATE SET value = excluded.value, ends_at = excluded.ends_at, reason = excluded.reason";
    let values = [(*limit).into(), (*ends_at).into(), reason.as_str().into()];
    txn.execute_with(sql, names.into_iter().chain(values)).await
}
