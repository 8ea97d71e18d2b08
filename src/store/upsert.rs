//! Changes of the catalogue: one transaction each, recorded in it.

mod rename;

use std::collections::HashSet;

use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait, EntityTrait, QueryFilter,
    prelude::{Json, Uuid},
};
use serde_json::json;

use entitlementd_migration::locks;

use self::rename::rename;
use super::{
    MutationError, Store, StoreError,
    ask::Ask,
    entitlements::{decimal, plan_id},
    entity::{modules, plans},
    feature_change::{keep_limit, tenants_of},
    mutate::{Request, lock_alone},
    offer_json::{module_of, module_to_json, plan_of, plan_to_json},
    offers,
    record::{self, Entry},
    transaction::Transaction,
};
use crate::domain::{
    Author, BillingCycle, ExistingTenants, ModuleCode, ModuleOffer, ModuleUpsert, PlanOffer,
    PlanUpsert,
};

const UPSERT_MODULE: &str = "UpsertModule";
const UPSERT_PLAN: &str = "UpsertPlan";

impl Store {
    /// Adds a module to the catalogue, or changes one, and says how it is then. A request that was
    /// done already, by its id, is answered as it was then.
    pub async fn upsert_module(
        &self,
        upsert: &ModuleUpsert,
        author: &Author,
    ) -> Result<ModuleOffer, MutationError> {
        let request = module_request(upsert, author);
        let txn = match self.begin(author, UPSERT_MODULE, &request).await? {
            Request::New(txn) => txn,
            Request::Replayed(event) => return Ok(module_of(&event)?),
        };
        lock_alone(&txn, locks::CATALOGUE).await?;
        let offers = offers::read_all(&txn, &self.context).await?;
        let aliases = aliases(&txn).await?;
        let (before, after) = upsert.apply(&offers, &aliases).map_err(MutationError::Refused)?;
        write_module(&txn, before.as_ref(), &after, author).await?;
        if let Some(before) =
            before.as_ref().filter(|before| before.module.code != after.module.code)
        {
            rename(&txn, before, &after, author).await?;
        }
        let entry = Entry {
            author,
            action: UPSERT_MODULE,
            tenant: None,
            subject: after.module.code.as_str(),
            request,
            before: before.as_ref().map(module_to_json),
            after: Some(module_to_json(&after)),
        };
        record::add(&txn, entry).await?;
        txn.commit().await?;
        Ok(after)
    }

    /// Adds a plan to the catalogue, or changes one, and says how it is then. A request that was
    /// done already, by its id, is answered as it was then.
    pub async fn upsert_plan(
        &self,
        upsert: &PlanUpsert,
        author: &Author,
    ) -> Result<PlanOffer, MutationError> {
        let request = plan_request(upsert, author);
        let txn = match self.begin(author, UPSERT_PLAN, &request).await? {
            Request::New(txn) => txn,
            Request::Replayed(event) => return Ok(plan_of(&event)?),
        };
        lock_alone(&txn, locks::CATALOGUE).await?;
        let offers = offers::read_all(&txn, &self.context).await?;
        let tenants = tenants_of(&txn, &upsert.slug).await?;
        let (before, after) = upsert.apply(&offers, tenants).map_err(MutationError::Refused)?;
        if let (Some(before), Some(ExistingTenants::Keep)) = (&before, upsert.existing_tenants) {
            keep_limits(&txn, before, &after, (author, &request)).await?;
        }
        write_plan(&txn, before.as_ref(), &after, author).await?;
        let entry = Entry {
            author,
            action: UPSERT_PLAN,
            tenant: None,
            subject: &after.plan.slug,
            request,
            before: before.as_ref().map(plan_to_json),
            after: Some(plan_to_json(&after)),
        };
        record::add(&txn, entry).await?;
        txn.commit().await?;
        Ok(after)
    }
}

/// The codes that modules had before they were renamed.
async fn aliases(database: &impl Ask) -> Result<Vec<ModuleCode>, StoreError> {
    let rows = database.sql("SELECT alias FROM entitlement_module_aliases", []).await?;
    let codes = rows
        .iter()
        .map(|row| row.try_get::<String>("", "alias").map(|code| ModuleCode::new(&code)));
    Ok(codes.collect::<Result<_, _>>()?)
}

/// A column that is written where it differs from what was there.
macro_rules! differing {
    ($before:ident, $after:ident, $($field:ident).+, $value:expr) => {
        if $before.is_some_and(|before| before.$($field).+ == $after.$($field).+) { NotSet } else { Set($value) }
    };
}

async fn write_module(
    txn: &Transaction,
    before: Option<&ModuleOffer>,
    after: &ModuleOffer,
    author: &Author,
) -> Result<(), StoreError> {
    let module = &after.module;
    let row = modules::ActiveModel {
        code: differing!(before, after, module.code, module.code.to_string()),
        name: differing!(before, after, module.name, module.name.clone()),
        description: differing!(before, after, description, Some(after.description.clone())),
        category: differing!(before, after, module.category, Some(module.category.clone())),
        display_order: differing!(before, after, module.display_order, Some(module.display_order)),
        price_monthly: differing!(before, after, price_monthly, after.price_monthly.map(decimal)),
        price_yearly: differing!(before, after, price_yearly, after.price_yearly.map(decimal)),
        is_base_module: differing!(
            before,
            after,
            module.is_base_module,
            Some(module.is_base_module)
        ),
        dependencies: differing!(before, after, dependencies, Some(codes(&after.dependencies))),
        sections: differing!(before, after, module.sections, Some(json!(module.sections))),
        frontend_routes: differing!(
            before,
            after,
            module.frontend_routes,
            Some(json!(module.frontend_routes))
        ),
        is_active: differing!(before, after, module.is_active, Some(module.is_active)),
        updated_at: Set(author.at),
        ..Default::default()
    };
    let Some(before) = before else {
        let empty = || Set(Some(json!([])));
        let row = modules::ActiveModel {
            id: Set(Uuid::new_v4()),
            database_tables: empty(),
            api_endpoints: empty(),
            features: empty(),
            created_at: Set(author.at),
            ..row
        };
        modules::Entity::insert(row).exec_without_returning(&txn.inner).await?;
        return Ok(());
    };
    let update = modules::Entity::update_many().set(row);
    update.filter(modules::Column::Code.eq(before.module.code.as_str())).exec(&txn.inner).await?;
    Ok(())
}

async fn write_plan(
    txn: &Transaction,
    before: Option<&PlanOffer>,
    after: &PlanOffer,
    author: &Author,
) -> Result<(), StoreError> {
    let row = plans::ActiveModel {
        name: differing!(before, after, name, after.name.clone()),
        billing_cycle: differing!(before, after, billing_cycle, Some(after.billing_cycle.clone())),
        price_inr: differing!(before, after, price, after.price.map(decimal)),
        included_modules: differing!(before, after, plan.modules, Some(json!(after.plan.codes()))),
        max_users: differing!(before, after, max_users, after.max_users),
        max_transactions_monthly: differing!(
            before,
            after,
            max_transactions_monthly,
            after.max_transactions_monthly
        ),
        is_active: differing!(before, after, plan.is_active, Some(after.plan.is_active)),
        updated_at: Set(author.at),
        ..Default::default()
    };
    if before.is_some() {
        let update = plans::Entity::update_many()
            .set(row)
            .filter(plans::Column::Slug.eq(after.plan.slug.as_str()));
        update.exec(&txn.inner).await?;
        return Ok(());
    }
    let row = plans::ActiveModel {
        id: Set(Uuid::new_v4()),
        slug: Set(after.plan.slug.clone()),
        r#type: Set("bundle".into()),
        discount_percent: Set(Some(0)),
        features: Set(Some(json!([]))),
        is_popular: Set(Some(false)),
        created_at: Set(author.at),
        ..row
    };
    plans::Entity::insert(row).exec_without_returning(&txn.inner).await?;
    Ok(())
}

/// The tenants of a plan keep the limits that are changed.
async fn keep_limits(
    txn: &Transaction,
    before: &PlanOffer,
    after: &PlanOffer,
    (author, request): (&Author, &Json),
) -> Result<(), StoreError> {
    let Some(plan) = plan_id(txn, Some(&before.plan.slug)).await? else { return Ok(()) };
    for ((key, had), (_, has)) in before.limits().into_iter().zip(after.limits()) {
        if had == has {
            continue;
        }
        // Nobody can have fewer than none.
        let limit = had.map(|limit| limit.max(0).into());
        let (keepers, terms) = keep_limit(txn, plan, key, limit, author.at).await?;
        keepers.record(txn, author, (UPSERT_PLAN, request), &terms).await?;
    }
    Ok(())
}

fn codes(codes: &[ModuleCode]) -> Json {
    let mut seen = HashSet::new();
    codes.iter().filter(|code| seen.insert(*code)).map(|code| Json::from(code.as_str())).collect()
}

fn module_request(upsert: &ModuleUpsert, author: &Author) -> Json {
    json!({
        "code": upsert.code,
        "new_code": upsert.new_code.as_ref().map(ToString::to_string),
        "name": upsert.name,
        "description": upsert.description,
        "category": upsert.category,
        "display_order": upsert.display_order,
        "is_base_module": upsert.is_base_module,
        "on_sale": upsert.on_sale,
        "dependencies": upsert.dependencies.as_deref().map(codes),
        "price_monthly": upsert.price_monthly.map(|price| price.to_string()),
        "price_yearly": upsert.price_yearly.map(|price| price.to_string()),
        "sections": upsert.sections,
        "frontend_routes": upsert.frontend_routes,
        "reason": author.why.as_ref().map(ToString::to_string),
    })
}

fn plan_request(upsert: &PlanUpsert, author: &Author) -> Json {
    let mut request = json!({
        "slug": upsert.slug,
        "name": upsert.name,
        "on_sale": upsert.on_sale,
        "price": upsert.price.map(|price| price.to_string()),
        "billing_cycle": upsert.billing_cycle.map(BillingCycle::word),
        "module_codes": upsert.modules.as_deref().map(codes),
        "max_users": upsert.max_users,
        "max_transactions_monthly": upsert.max_transactions_monthly,
        "reason": author.why.as_ref().map(ToString::to_string),
    });
    // Only recorded if set: a request from before this field existed counts as identical.
    if let Some(tenants) = upsert.existing_tenants {
        request["existing_tenants"] = tenants.word().into();
    }
    request
}
