//! The state of a tenant, as the record keeps it.

use chrono::{DateTime, Utc};
use sea_orm::prelude::Json;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{AuditEvent, StoreError};
use crate::domain::{Holding, ModuleCode, Money, Summary};

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
    let Summary { status, plan, modules, price_monthly, price_yearly } = summary;
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
        })
    }
}
