//! Definitions, and what plans say, written down.

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, EntityTrait, QueryFilter, Value,
    prelude::{Json, Uuid},
};

use super::{
    FeatureChanged, Made, NamedKeptFeature, NamedKeptLimit,
    affected::{changed_by_feature, changed_by_limit, tenants_of},
    json::{kept_feature_to_json, kept_limit_to_json},
    tenant_values::tenant_values,
};
use crate::{
    domain::{
        AffectedTenants, Catalogue, CatalogueEdit, Edited, ExistingTenants, FeatureEntry,
        FeatureUpsert, KeptAt, LimitDefinition, LimitUpsert, Module, PlanFeatureEdit,
        PlanLimitEdit, Setting, usage_limit::USERS,
    },
    store::{
        MutationError, StoreError,
        entitlements::{module_id, plan_id},
        entity::plans,
        kept::{self, Keepers},
        setting_json::setting_to_json,
        transaction::Transaction,
    },
};

/// Makes a change of the catalogue, which nobody else can change meanwhile.
pub(super) async fn make(
    txn: &Transaction,
    catalogue: &Catalogue,
    edit: &CatalogueEdit,
    at: DateTime<Utc>,
) -> Result<Made, MutationError> {
    match edit {
        CatalogueEdit::Feature(upsert) => define_feature(txn, catalogue, upsert).await,
        CatalogueEdit::Limit(upsert) => define_limit(txn, catalogue, upsert).await,
        CatalogueEdit::PlanFeature(edit) => set_plan_feature(txn, catalogue, edit, at).await,
        CatalogueEdit::PlanLimit(edit) => set_plan_limit(txn, catalogue, edit, at).await,
    }
}

async fn define_feature(
    txn: &Transaction,
    catalogue: &Catalogue,
    upsert: &FeatureUpsert,
) -> Result<Made, MutationError> {
    let known = catalogue.module(&upsert.name.module).filter(|_| upsert.value_type.is_some());
    let of_tenants = match known {
        Some(Module { code, .. }) => {
            let module = module_id(txn, code).await?;
            tenant_values(txn, module, code.as_str(), &upsert.name.key).await?
        }
        None => Vec::new(),
    };
    let edited = upsert.apply(catalogue, &of_tenants).map_err(MutationError::Refused)?;
    let FeatureEntry { module, defined, .. } = &edited.after;
    let sql = "INSERT INTO entitlement_features (module_id, key, name, description, value_type, default_enabled, default_value)
               VALUES ($1, $2, $3, $4, $5, $6, $7)
               ON CONFLICT (module_id, key) DO UPDATE
               SET name = excluded.name, description = excluded.description, value_type = excluded.value_type,
                   default_enabled = excluded.default_enabled, default_value = excluded.default_value";
    let values = [
        module_id(txn, module).await?.into(),
        (*defined.key).into(),
        defined.name.as_str().into(),
        defined.description.as_str().into(),
        defined.value_type.word().into(),
        defined.is_on_by_default.into(),
        json(defined.default_value.as_ref()),
    ];
    txn.execute_with(sql, values).await?;
    let subject = format!("{module}/{}", defined.key);
    Ok(Made { changed: FeatureChanged::Feature(edited), keepers: None, subject })
}

async fn define_limit(
    txn: &Transaction,
    catalogue: &Catalogue,
    upsert: &LimitUpsert,
) -> Result<Made, MutationError> {
    let edited = upsert.apply(catalogue).map_err(MutationError::Refused)?;
    let LimitDefinition { key, name, unit, kind } = &edited.after.defined;
    let sql = "INSERT INTO entitlement_limits (key, name, unit, kind) VALUES ($1, $2, $3, $4)
               ON CONFLICT (key) DO UPDATE SET name = excluded.name, unit = excluded.unit, kind = excluded.kind";
    let values = [(**key).into(), name.as_str().into(), unit.as_str().into(), kind.word().into()];
    txn.execute_with(sql, values).await?;
    let subject = upsert.key.clone();
    Ok(Made { changed: FeatureChanged::Limit(edited), keepers: None, subject })
}

async fn set_plan_feature(
    txn: &Transaction,
    catalogue: &Catalogue,
    edit: &PlanFeatureEdit,
    at: DateTime<Utc>,
) -> Result<Made, MutationError> {
    let tenants = tenants_of(txn, &edit.plan).await?;
    let mut done = edit.apply(catalogue, tenants).map_err(MutationError::Refused)?;
    let FeatureEntry { module, defined, .. } = &done.edited.after;
    let (key, code) = (&*defined.key, module.as_str());
    let plan = existing_plan(txn, &edit.plan).await?;
    let module = module_id(txn, module).await?;
    let mut keepers = None;
    done.edited.tenants = match done.tenants {
        None => AffectedTenants::default(),
        Some(ExistingTenants::Keep) => {
            let kept = kept::keep_feature(txn, plan, (module, key), at).await?;
            keepers = Some((kept, kept_feature(&done.edited, edit, at)));
            AffectedTenants { kept: tenants, changed: 0 }
        }
        Some(ExistingTenants::Apply) => {
            let changed = changed_by_feature(txn, (plan, module), code, key).await?;
            AffectedTenants { kept: 0, changed }
        }
    };
    let ids = [plan.into(), module.into(), key.into()];
    match &edit.says {
        None => {
            let sql = "DELETE FROM entitlement_plan_features WHERE plan_id = $1 AND module_id = $2 AND key = $3";
            txn.execute_with(sql, ids).await?;
        }
        Some(says) => {
            let sql = "INSERT INTO entitlement_plan_features (plan_id, module_id, key, enabled, value)
                       VALUES ($1, $2, $3, $4, $5)
                       ON CONFLICT (plan_id, module_id, key) DO UPDATE SET enabled = excluded.enabled, value = excluded.value";
            let values = [says.is_on.into(), json(says.value.as_ref())];
            txn.execute_with(sql, ids.into_iter().chain(values)).await?;
        }
    }
    let changed = FeatureChanged::Feature(done.edited);
    Ok(Made { changed, keepers, subject: edit.plan.clone() })
}

/// What a plan said about a feature, as its tenants keep it.
fn kept_feature(
    edited: &Edited<FeatureEntry>,
    PlanFeatureEdit { plan, .. }: &PlanFeatureEdit,
    at: DateTime<Utc>,
) -> Json {
    let FeatureEntry { module, defined, .. } = &edited.after;
    let before = edited.before.as_ref();
    kept_feature_to_json(&NamedKeptFeature {
        module: module.to_string(),
        key: defined.key.to_string(),
        says: before.and_then(|before| before.plans.get(plan).cloned()),
        kept_at: KeptAt(Some(at)),
    })
}

async fn set_plan_limit(
    txn: &Transaction,
    catalogue: &Catalogue,
    edit: &PlanLimitEdit,
    at: DateTime<Utc>,
) -> Result<Made, MutationError> {
    let tenants = tenants_of(txn, &edit.plan).await?;
    let mut done = edit.apply(catalogue, tenants).map_err(MutationError::Refused)?;
    let plan = existing_plan(txn, &edit.plan).await?;
    let mut keepers = None;
    done.edited.tenants = match done.tenants {
        None => AffectedTenants::default(),
        Some(ExistingTenants::Keep) => {
            let before = done.edited.before.as_ref();
            let had = before.and_then(|before| before.plans.get(&edit.plan).copied().flatten());
            keepers = Some(keep_limit(txn, plan, &edit.key, had, at).await?);
            AffectedTenants { kept: tenants, changed: 0 }
        }
        Some(ExistingTenants::Apply) => {
            AffectedTenants { kept: 0, changed: changed_by_limit(txn, plan, &edit.key, at).await? }
        }
    };
    write_plan_limit(txn, plan, edit, at).await?;
    let changed = FeatureChanged::Limit(done.edited);
    Ok(Made { changed, keepers, subject: edit.plan.clone() })
}

/// The tenants of a plan keep the limit that they had from it. Gives who does from now on, and what
/// that is.
pub(in crate::store) async fn keep_limit(
    txn: &Transaction,
    plan: Uuid,
    key: &str,
    limit: Option<i64>,
    at: DateTime<Utc>,
) -> Result<(Keepers, Json), StoreError> {
    let keepers = kept::keep_limit(txn, plan, key, limit, at).await?;
    let terms = NamedKeptLimit { key: key.to_owned(), limit, kept_at: KeptAt(Some(at)) };
    Ok((keepers, kept_limit_to_json(&terms)))
}

async fn write_plan_limit(
    txn: &Transaction,
    plan: Uuid,
    edit: &PlanLimitEdit,
    at: DateTime<Utc>,
) -> Result<(), StoreError> {
    let PlanLimitEdit { key, limit, .. } = edit;
    if LimitDefinition::is_built_in(key) {
        // It was checked that it fits.
        let limit = limit.map(|limit| i32::try_from(limit).unwrap_or(i32::MAX));
        let row = plans::ActiveModel { updated_at: Set(at), ..Default::default() };
        let row = if key == USERS {
            plans::ActiveModel { max_users: Set(limit), ..row }
        } else {
            plans::ActiveModel { max_transactions_monthly: Set(limit), ..row }
        };
        let update = plans::Entity::update_many().set(row).filter(plans::Column::Id.eq(plan));
        update.exec(&txn.inner).await?;
        return Ok(());
    }
    let ids: [Value; 2] = [plan.into(), key.as_str().into()];
    match limit {
        None => {
            let sql = "DELETE FROM entitlement_plan_limits WHERE plan_id = $1 AND key = $2";
            txn.execute_with(sql, ids).await
        }
        Some(limit) => {
            let sql =
                "INSERT INTO entitlement_plan_limits (plan_id, key, value) VALUES ($1, $2, $3)
                       ON CONFLICT (plan_id, key) DO UPDATE SET value = excluded.value";
            txn.execute_with(sql, ids.into_iter().chain([(*limit).into()])).await
        }
    }
}

/// The id of a plan that was found a moment ago.
async fn existing_plan(txn: &Transaction, slug: &str) -> Result<Uuid, StoreError> {
    let missing = || sea_orm::DbErr::RecordNotFound(format!("the plan {slug:?}"));
    Ok(plan_id(txn, Some(slug)).await?.ok_or_else(missing)?)
}

fn json(setting: Option<&Setting>) -> Value {
    let json = setting.map(|setting| setting_to_json(Some(setting)));
    Option::<Json>::into(json)
}
