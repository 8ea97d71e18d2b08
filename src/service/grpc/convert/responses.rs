//! To the wire.

mod words;

use chrono::{DateTime, TimeDelta, Utc};
use prost_types::{Duration, Timestamp};

use self::words::tenant_source;
pub(super) use self::words::{outcome, reason, tenant_status};
use super::features;
use crate::{
    domain::{Facts, enabled::EnabledModule, limits::MAX_LISTED_FEATURE_BYTES},
    proto::v1 as pb,
    service::{
        cache_hint::CacheHint,
        check::{Judgement, List},
        resolve::{Authorized, Resolved},
        tenants::TenantsPage,
        watch::WatchMessage,
    },
    store::Evidence,
};

pub(in crate::service) fn check_response(judgement: Judgement<'_>) -> pb::CheckModuleResponse {
    let Judgement { module, decision, plan_slugs, hint } = judgement;
    pb::CheckModuleResponse {
        allowed: decision.allowed(),
        reason: reason(decision.reason).into(),
        message: decision.reason.message(module),
        freshness: Some(freshness(hint)),
        plan_slugs,
    }
}

pub(in crate::service) fn batch_response(
    judgements: Vec<Judgement<'_>>,
) -> pb::BatchCheckModulesResponse {
    let whole = judgements.iter().map(|judgement| judgement.hint).reduce(CacheHint::and);
    pb::BatchCheckModulesResponse {
        decisions: judgements.into_iter().map(module_decision).collect(),
        freshness: whole.map(freshness),
    }
}

pub(in crate::service) fn list_response(list: &List) -> pb::ListEnabledModulesResponse {
    let mut response = pb::ListEnabledModulesResponse {
        modules: list
            .modules()
            .into_iter()
            .map(|module| pb::EnabledModule {
                features: list.features(&module).into_iter().map(features::feature).collect(),
                ..enabled_module(module)
            })
            .collect(),
        tenant_status: tenant_status(list.tenant_status()).into(),
        freshness: Some(freshness(list.hint)),
        limits: list.limits().into_iter().map(features::limit).collect(),
        limit_enforcement: if list.include_features {
            features::limit_enforcement(list.enforcement).into()
        } else {
            0
        },
    };
    if features::bytes_of(&response) > MAX_LISTED_FEATURE_BYTES {
        features::leave_out(&mut response);
    }
    response
}

pub(in crate::service) fn tenants_response(page: &TenantsPage) -> pb::ListTenantIdsResponse {
    pb::ListTenantIdsResponse {
        tenant_ids: page.tenants.iter().map(ToString::to_string).collect(),
        next_page_token: page.next.map(|last| last.to_string()).unwrap_or_default(),
        as_of: Some(timestamp(page.as_of)),
    }
}

pub(in crate::service) fn resolve_response(resolved: Resolved) -> pb::ResolveTenantResponse {
    pb::ResolveTenantResponse {
        tenant: Some(tenant(&resolved.facts)),
        source: tenant_source(resolved.source).into(),
        verified: resolved.verified(),
        freshness: Some(freshness(resolved.hint)),
    }
}

pub(in crate::service) fn authorize_response(authorized: Authorized<'_>) -> pb::AuthorizeResponse {
    let Authorized { resolved, judgement, feature, hint } = authorized;
    pb::AuthorizeResponse {
        tenant: Some(tenant(&resolved.facts)),
        source: tenant_source(resolved.source).into(),
        verified: resolved.verified(),
        freshness: Some(freshness(hint)),
        decision: Some(module_decision(judgement)),
        feature_decision: feature.map(features::feature_decision),
    }
}

pub(in crate::service) fn watch_response(told: WatchMessage) -> pb::WatchChangesResponse {
    use pb::watch_changes_response as event;
    let event = match told {
        WatchMessage::Opened { as_of, heartbeat_interval } => event::Event::Opened(event::Opened {
            as_of: Some(timestamp(as_of)),
            heartbeat_interval: heartbeat_interval.and_then(|it| it.try_into().ok()),
        }),
        WatchMessage::Tenant { id, revision } => {
            event::Event::TenantChanged(event::TenantChanged {
                tenant_id: id.to_string(),
                revision,
            })
        }
        WatchMessage::Catalogue { revision } => {
            event::Event::CatalogueChanged(event::CatalogueChanged { revision })
        }
        WatchMessage::Transition { id, module, at } => {
            event::Event::Transition(event::Transition {
                tenant_id: id.to_string(),
                module_code: module.to_string(),
                at: Some(timestamp(at)),
            })
        }
        WatchMessage::Reset => event::Event::Reset(event::Reset {}),
        WatchMessage::Heartbeat { lag, unproven } => {
            event::Event::Heartbeat(event::Heartbeat { lag: Some(duration(lag)), unproven })
        }
        WatchMessage::Ending => event::Event::Ending(event::Ending {}),
    };
    pb::WatchChangesResponse { event: Some(event) }
}

/// The rows of one module, of which the one at the place `deciding` decides.
pub(super) fn subscriptions_facts(
    evidence: &Evidence,
    module: &str,
    at: DateTime<Utc>,
    deciding: Option<usize>,
) -> Vec<pb::SubscriptionFacts> {
    let rows = evidence.rows_of(module).enumerate();
    rows.map(|(place, (row, words))| pb::SubscriptionFacts {
        id: words.id.to_string(),
        status: words.status.clone(),
        starts_at: row.starts_at.map(timestamp),
        expires_at: row.expires_at.map(timestamp),
        is_trial: row.is_trial,
        trial_ends_at: row.trial_ends_at.map(timestamp),
        reason: reason(row.reason(at)).into(),
        decides: deciding == Some(place),
    })
    .collect()
}

pub(super) fn tenant_facts(evidence: &Evidence) -> pb::TenantFacts {
    let tenant = &evidence.facts.tenant;
    pb::TenantFacts {
        id: tenant.id.to_string(),
        name: tenant.name.to_string(),
        subdomain: tenant.subdomain.to_string(),
        database_schema: tenant.database_schema.to_string(),
        status: evidence.tenant.status.clone(),
        plan_slug: tenant.plan_slug.as_deref().unwrap_or_default().to_owned(),
    }
}

pub(super) fn module_decision(judgement: Judgement<'_>) -> pb::ModuleDecision {
    let Judgement { module, decision, plan_slugs, hint } = judgement;
    pb::ModuleDecision {
        module_code: module.to_owned(),
        allowed: decision.allowed(),
        reason: reason(decision.reason).into(),
        message: decision.reason.message(module),
        plan_slugs,
        valid_until: hint.valid_until.map(timestamp),
        max_age: Some(duration(hint.max_age)),
    }
}

fn enabled_module(enabled: EnabledModule<'_>) -> pb::EnabledModule {
    let row = enabled.row;
    let (name, category) = match enabled.module {
        Some(module) => (module.name.clone(), module.category.clone()),
        // A module that is newer than the catalogue at hand is called by its code for a moment.
        None => (row.module.to_string(), String::new()),
    };
    pb::EnabledModule {
        code: row.module.to_string(),
        name,
        category,
        display_order: enabled.display_order(),
        is_base_module: enabled.module.is_some_and(|module| module.is_base_module),
        is_trial: row.is_trial,
        starts_at: row.starts_at.map(timestamp),
        expires_at: row.expires_at.map(timestamp),
        trial_ends_at: row.trial_ends_at.map(timestamp),
        valid_until: enabled.valid_until.map(timestamp),
        sections: enabled.module.map(|module| module.sections.clone()).unwrap_or_default(),
        frontend_routes: enabled
            .module
            .map(|module| module.frontend_routes.clone())
            .unwrap_or_default(),
        features: Vec::new(),
    }
}

fn tenant(facts: &Facts) -> pb::Tenant {
    let tenant = &facts.tenant;
    pb::Tenant {
        id: tenant.id.to_string(),
        name: tenant.name.to_string(),
        subdomain: tenant.subdomain.to_string(),
        database_schema: tenant.database_schema.to_string(),
        status: tenant_status(tenant.status).into(),
        plan_slug: tenant.plan_slug.as_deref().unwrap_or_default().to_owned(),
    }
}

pub(super) fn freshness(hint: CacheHint) -> pb::Freshness {
    pb::Freshness {
        revision: hint.revision,
        as_of: Some(timestamp(hint.as_of)),
        valid_until: hint.valid_until.map(timestamp),
        max_age: Some(duration(hint.max_age)),
        stale: hint.stale,
        catalogue_revision: hint.catalogue_revision,
    }
}

pub(super) fn timestamp(at: DateTime<Utc>) -> Timestamp {
    // chrono tells a leap second by more than 999 999 999 ns; a Timestamp has no such thing.
    let nanos = at.timestamp_subsec_nanos().min(999_999_999);
    Timestamp { seconds: at.timestamp(), nanos: nanos.cast_signed() }
}

fn duration(span: TimeDelta) -> Duration {
    Duration { seconds: span.num_seconds(), nanos: span.subsec_nanos() }
}

#[cfg(test)]
mod tests;
