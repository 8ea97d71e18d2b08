//! Modules and plans as JSON with the proto's names: in the record, and on the command line.
//! Amounts are text, so that no reader converts them to floats.

use sea_orm::prelude::Json;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{AuditEvent, StoreError};
use crate::domain::{Module, ModuleCode, ModuleOffer, Money, Plan, PlanOffer};

#[derive(Deserialize, Serialize)]
struct ModuleJson {
    code: String,
    name: String,
    description: String,
    category: String,
    display_order: i32,
    is_base_module: bool,
    on_sale: bool,
    dependencies: Vec<String>,
    price_monthly: Option<String>,
    price_yearly: Option<String>,
    sections: Vec<i32>,
    frontend_routes: Vec<String>,
    /// Requests that were recorded before this field existed lack it.
    #[serde(default)]
    api_endpoints: Vec<String>,
}

#[derive(Deserialize, Serialize)]
struct PlanJson {
    slug: String,
    name: String,
    on_sale: bool,
    price: Option<String>,
    billing_cycle: String,
    module_codes: Vec<String>,
    max_users: Option<i32>,
    max_transactions_monthly: Option<i32>,
}

/// A module as it is sold.
pub fn module_to_json(offer: &ModuleOffer) -> Json {
    let ModuleOffer { module, description, dependencies, price_monthly, price_yearly } = offer;
    json!(ModuleJson {
        code: module.code.to_string(),
        name: module.name.clone(),
        description: description.clone(),
        category: module.category.clone(),
        display_order: module.display_order,
        is_base_module: module.is_base_module,
        on_sale: module.is_active,
        dependencies: dependencies.iter().map(ModuleCode::to_string).collect(),
        price_monthly: price_monthly.map(|amount| amount.to_string()),
        price_yearly: price_yearly.map(|amount| amount.to_string()),
        sections: module.sections.clone(),
        frontend_routes: module.frontend_routes.clone(),
        api_endpoints: module.api_endpoints.clone(),
    })
}

/// A plan as it is sold.
pub fn plan_to_json(offer: &PlanOffer) -> Json {
    let PlanOffer { plan, name, price, billing_cycle, max_users, max_transactions_monthly } = offer;
    json!(PlanJson {
        slug: plan.slug.clone(),
        name: name.clone(),
        on_sale: plan.is_active,
        price: price.map(|amount| amount.to_string()),
        billing_cycle: billing_cycle.clone(),
        module_codes: plan.codes(),
        max_users: *max_users,
        max_transactions_monthly: *max_transactions_monthly,
    })
}

/// The module after an event.
pub(super) fn module_of(event: &AuditEvent) -> Result<ModuleOffer, StoreError> {
    let read = ModuleJson::deserialize(event.after.as_ref().unwrap_or(&Json::Null));
    let json = read.map_err(|error| event.unreadable(error.to_string()))?;
    Ok(ModuleOffer {
        module: Module {
            code: ModuleCode::new(&json.code),
            name: json.name,
            category: json.category,
            display_order: json.display_order,
            is_base_module: json.is_base_module,
            is_active: json.on_sale,
            sections: json.sections,
            frontend_routes: json.frontend_routes,
            api_endpoints: json.api_endpoints,
        },
        description: json.description,
        dependencies: json.dependencies.iter().map(|code| ModuleCode::new(code)).collect(),
        price_monthly: money(event, json.price_monthly)?,
        price_yearly: money(event, json.price_yearly)?,
    })
}

/// The plan after an event.
pub(super) fn plan_of(event: &AuditEvent) -> Result<PlanOffer, StoreError> {
    let read = PlanJson::deserialize(event.after.as_ref().unwrap_or(&Json::Null));
    let json = read.map_err(|error| event.unreadable(error.to_string()))?;
    Ok(PlanOffer {
        plan: Plan {
            slug: json.slug,
            is_active: json.on_sale,
            modules: json.module_codes.iter().map(|code| ModuleCode::new(code)).collect(),
        },
        name: json.name,
        price: money(event, json.price)?,
        billing_cycle: json.billing_cycle,
        max_users: json.max_users,
        max_transactions_monthly: json.max_transactions_monthly,
    })
}

fn money(event: &AuditEvent, text: Option<String>) -> Result<Option<Money>, StoreError> {
    let Some(text) = text else { return Ok(None) };
    Money::parse(&text).map(Some).ok_or_else(|| event.unreadable(format!("{text:?} is no amount")))
}
