//! The state of a tenant, as the record keeps it.

use chrono::{DateTime, Utc};
use sea_orm::prelude::Json;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{AuditEvent, StoreError};
use crate::domain::{BillingCycle, Cost, Holding, ModuleCode, Money, Summary};

/// An additional key of the recorded state of a tenant: the template files that were applied.
const APPLIED_FILES: &str = "applied_files";

/// A summary with the names of the proto's TenantEntitlements. Amounts are text, so that no reader
/// converts them to floats.
#[derive(Deserialize, Serialize)]
struct SummaryJson {
    status: String,
    plan_slug: Option<String>,
    modules: Vec<HoldingJson>,
    price_monthly: String,
    price_yearly: String,
    /// What was recorded before these fields existed lacks them.
    #[serde(flatten)]
    cost: Option<CostJson>,
}

#[derive(Deserialize, Serialize)]
struct CostJson {
    plan_price: Option<String>,
    plan_billing_cycle: Option<String>,
    modules_beside_plan: Vec<String>,
    beside_plan_monthly: String,
    beside_plan_yearly: String,
    total_monthly: Option<String>,
    total_yearly: Option<String>,
}

#[derive(Deserialize, Serialize)]
struct HoldingJson {
    module_code: String,
    starts_at: Option<DateTime<Utc>>,
    ends_at: Option<DateTime<Utc>>,
    is_trial: bool,
}

/// A summary as it is recorded and printed.
pub fn summary_to_json(summary: &Summary) -> Json {
    let Summary { status, plan, modules, price_monthly, price_yearly, cost } = summary;
    let modules =
        modules.iter().map(|(code, Holding { starts_at, ends_at, is_trial })| HoldingJson {
            module_code: code.to_string(),
            starts_at: *starts_at,
            ends_at: *ends_at,
            is_trial: *is_trial,
        });
    json!(SummaryJson {
        status: status.clone(),
        plan_slug: plan.clone(),
        modules: modules.collect(),
        price_monthly: price_monthly.to_string(),
        price_yearly: price_yearly.to_string(),
        cost: cost.as_ref().map(cost_to_json),
    })
}

fn cost_to_json(cost: &Cost) -> CostJson {
    let amount = |money: &Option<Money>| money.map(|money| money.to_string());
    let Cost { plan, cycle, beside, beside_monthly, beside_yearly, monthly, yearly } = cost;
    CostJson {
        plan_price: amount(plan),
        plan_billing_cycle: cycle.map(|cycle| cycle.word().to_owned()),
        modules_beside_plan: beside.iter().map(ToString::to_string).collect(),
        beside_plan_monthly: beside_monthly.to_string(),
        beside_plan_yearly: beside_yearly.to_string(),
        total_monthly: amount(monthly),
        total_yearly: amount(yearly),
    }
}

fn cost_of(
    json: CostJson,
    money: impl Fn(&str) -> Result<Money, StoreError>,
) -> Result<Cost, StoreError> {
    let amount = |text: Option<String>| text.as_deref().map(&money).transpose();
    Ok(Cost {
        plan: amount(json.plan_price)?,
        cycle: json.plan_billing_cycle.as_deref().and_then(BillingCycle::of),
        beside: json.modules_beside_plan.iter().map(|code| ModuleCode::new(code)).collect(),
        beside_monthly: money(&json.beside_plan_monthly)?,
        beside_yearly: money(&json.beside_plan_yearly)?,
        monthly: amount(json.total_monthly)?,
        yearly: amount(json.total_yearly)?,
    })
}

/// The recorded state of a tenant after a change, with the template files that were applied by it.
pub(super) fn after_json(summary: &Summary, applied_files: &[String]) -> Json {
    let mut after = summary_to_json(summary);
    if !applied_files.is_empty() {
        after[APPLIED_FILES] = applied_files.into();
    }
    after
}

impl AuditEvent {
    /// The template files that were applied, in the order of application.
    pub fn applied_files(&self) -> Vec<&str> {
        let files = self.after.as_ref().and_then(|after| after[APPLIED_FILES].as_array());
        files.into_iter().flatten().filter_map(Json::as_str).collect()
    }

    /// What the tenant was entitled to before and after, if the event concerns a tenant; `None` if
    /// there was nothing.
    pub fn summaries(&self) -> Result<[Option<Summary>; 2], StoreError> {
        let read = |json: &Option<Json>| json.as_ref().map(|json| self.summary(json)).transpose();
        Ok([read(&self.before)?, read(&self.after)?])
    }

    fn summary(&self, json: &Json) -> Result<Summary, StoreError> {
        let unreadable = |cause: String| self.unreadable(cause);
        let read = SummaryJson::deserialize(json).map_err(|error| unreadable(error.to_string()))?;
        let money = |text: &str| {
            Money::parse(text).ok_or_else(|| unreadable(format!("{text:?} is no amount")))
        };
        let modules = read.modules.into_iter().map(
            |HoldingJson { module_code, starts_at, ends_at, is_trial }| {
                (ModuleCode::new(&module_code), Holding { starts_at, ends_at, is_trial })
            },
        );
        Ok(Summary {
            status: read.status,
            plan: read.plan_slug,
            modules: modules.collect(),
            price_monthly: money(&read.price_monthly)?,
            price_yearly: money(&read.price_yearly)?,
            cost: read.cost.map(|cost| cost_of(cost, money)).transpose()?,
        })
    }
}
