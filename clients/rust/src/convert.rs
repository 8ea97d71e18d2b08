//! From the wire to this library's types.

mod features;
mod leases;
mod over_time;
mod usage;

use prost_types::{Duration, Timestamp};
use tonic::Status;
use uuid::Uuid;

pub(crate) use self::{
    features::{checked_feature, checked_limit},
    leases::{issued_lease, lease_request},
    over_time::{
        acquire_request, acquired, queried, query_request, record_request, recorded, settle_request,
    },
    usage::{reconcile_request, reconciled, reserve_request, reserved, timestamp},
};
use crate::{
    Answer, Module, Reason, Resolved, Tenant, TenantSource, TenantStatus,
    answer::Words,
    ask::{Event, Judged, Listed},
    clock::{Micros, NEVER},
    list::{List, Right, Told, or_always, or_never, tag},
    pool::{Pool, Pools},
    proto::v1::{
        AuthorizeResponse, CheckModuleResponse, DecisionReason, EnabledModule, Freshness,
        ListEnabledModulesResponse, ModuleDecision, ResolveTenantResponse,
        TenantSource as SourceWord, TenantStatus as StatusWord, WatchChangesResponse,
        watch_changes_response::{Event as Wire, Heartbeat},
    },
};

pub(crate) fn instant(timestamp: Option<Timestamp>) -> Option<Micros> {
    let Timestamp { seconds, nanos } = timestamp?;
    Some(seconds.saturating_mul(1_000_000).saturating_add(i64::from(nanos / 1_000)))
}

fn span(duration: Option<Duration>) -> Micros {
    duration.map_or(0, |Duration { seconds, nanos }| {
        seconds.saturating_mul(1_000_000).saturating_add(i64::from(nanos / 1_000))
    })
}

fn told(freshness: Option<Freshness>) -> Told {
    let Freshness { revision, as_of, valid_until, max_age, stale, .. } =
        freshness.unwrap_or_default();
    Told {
        revision,
        as_of: or_always(instant(as_of)),
        valid_until: or_never(instant(valid_until)),
        max_age: span(max_age),
        stale,
    }
}

fn catalogue_revision(freshness: Option<&Freshness>) -> u64 {
    freshness.map_or(0, |freshness| freshness.catalogue_revision)
}

pub(crate) fn listed(response: ListEnabledModulesResponse, pools: &Pools) -> Listed {
    let ListEnabledModulesResponse { mut modules, limits, limit_enforcement, .. } = response;
    let catalogue_revision = catalogue_revision(response.freshness.as_ref());
    let told = told(response.freshness);
    let status = status(response.tenant_status);
    let terms = features::terms(&mut modules, limits, limit_enforcement, pools);
    let rights = modules.into_iter().map(|module| right(module, &pools.modules)).collect();
    Listed { list: List { rights: Some(rights), status, told, terms }, catalogue_revision }
}

fn right(enabled: EnabledModule, modules: &Pool<Module>) -> Right {
    let starts_at = or_always(instant(enabled.starts_at));
    let [valid_until, expires_at, trial_ends_at] =
        [enabled.valid_until, enabled.expires_at, enabled.trial_ends_at]
            .map(|end| or_never(instant(end)));
    let module = Module {
        code: enabled.code,
        name: enabled.name,
        category: enabled.category,
        display_order: enabled.display_order,
        is_base_module: enabled.is_base_module,
        sections: enabled.sections,
        frontend_routes: enabled.frontend_routes,
    };
    let (tag, is_trial) = (tag(&module.code), enabled.is_trial);
    Right {
        module: modules.shared(module),
        starts_at,
        valid_until,
        expires_at,
        trial_ends_at,
        tag,
        is_trial,
    }
}

pub(crate) fn checked(response: CheckModuleResponse) -> Judged {
    let catalogue_revision = catalogue_revision(response.freshness.as_ref());
    let told = told(response.freshness);
    let words = (response.message, response.plan_slugs);
    Judged { catalogue_revision, ..judged(response.allowed, response.reason, words, told) }
}

fn decided(decision: ModuleDecision, told: Told) -> Judged {
    let own = Told {
        valid_until: or_never(instant(decision.valid_until)),
        max_age: span(decision.max_age),
        ..told
    };
    judged(decision.allowed, decision.reason, (decision.message, decision.plan_slugs), own)
}

fn judged(
    allowed: bool,
    word: i32,
    (message, plan_slugs): (String, Vec<String>),
    told: Told,
) -> Judged {
    let answer = Answer {
        allowed,
        reason: reason(word),
        stale: told.stale,
        by_outage_rule: false,
        revision: told.revision,
        as_of: told.as_of,
        valid_until: told.valid_until,
        words: (!allowed).then(|| Words { message, plan_slugs }.into()),
    };
    Judged { answer, max_age: told.max_age, catalogue_revision: 0 }
}

pub(crate) fn resolved(response: ResolveTenantResponse) -> Result<(Resolved, Told), Status> {
    let ResolveTenantResponse { tenant, source, verified, freshness } = response;
    let told = told(freshness);
    Ok((whom(tenant, source, verified, told.stale)?, told))
}

pub(crate) fn authorized(response: AuthorizeResponse) -> Result<(Resolved, Told, Judged), Status> {
    // No feature is asked about.
    let AuthorizeResponse { tenant, source, verified, decision, freshness, feature_decision: _ } =
        response;
    let told = told(freshness);
    let decision = decision.ok_or_else(|| Status::unknown("the answer holds no decision"))?;
    Ok((whom(tenant, source, verified, told.stale)?, told, decided(decision, told)))
}

fn whom(
    tenant: Option<crate::proto::v1::Tenant>,
    source: i32,
    verified: bool,
    stale: bool,
) -> Result<Resolved, Status> {
    let tenant = tenant.ok_or_else(|| Status::unknown("the answer holds no tenant"))?;
    let id = uuid(&tenant.id)?;
    let tenant = Tenant {
        id,
        name: tenant.name,
        subdomain: tenant.subdomain,
        database_schema: tenant.database_schema,
        status: status(tenant.status),
        plan_slug: tenant.plan_slug,
    };
    let (tenant, source) = (tenant.into(), self::source(source));
    Ok(Resolved { tenant, source, verified, stale, by_outage_rule: false })
}

fn uuid(text: &str) -> Result<Uuid, Status> {
    text.parse().map_err(|_| Status::unknown("the answer holds a tenant id that is none"))
}

/// What a message of the change stream means. A message that is not understood comes from a newer
/// server, and may mean anything.
pub(crate) fn event(response: WatchChangesResponse) -> Event {
    match response.event {
        Some(Wire::Opened(opened)) => {
            let interval = span(opened.heartbeat_interval);
            Event::Opened { heartbeat_interval: (interval > 0).then_some(interval) }
        }
        Some(Wire::TenantChanged(changed)) => match uuid(&changed.tenant_id) {
            Ok(tenant) => Event::TenantChanged { tenant, revision: changed.revision },
            Err(_) => Event::Reset,
        },
        Some(Wire::Heartbeat(Heartbeat { lag, unproven })) => {
            Event::Heartbeat { lag: span(lag), unproven }
        }
        Some(Wire::Transition(_)) => Event::Nothing,
        Some(Wire::Ending(_)) => Event::Ending,
        Some(Wire::CatalogueChanged(changed)) => {
            Event::CatalogueChanged { revision: changed.revision }
        }
        Some(Wire::Reset(_)) | None => Event::Reset,
    }
}

fn reason(word: i32) -> Reason {
    match DecisionReason::try_from(word) {
        Err(_) | Ok(DecisionReason::Unspecified) => Reason::Unspecified,
        Ok(DecisionReason::Enabled) => Reason::Enabled,
        Ok(DecisionReason::TenantNotFound) => Reason::TenantNotFound,
        Ok(DecisionReason::TenantSuspended) => Reason::TenantSuspended,
        Ok(DecisionReason::TenantCancelled) => Reason::TenantCancelled,
        Ok(DecisionReason::TenantNotServed) => Reason::TenantNotServed,
        Ok(DecisionReason::ModuleNotFound) => Reason::ModuleNotFound,
        Ok(DecisionReason::NotSubscribed) => Reason::NotSubscribed,
        Ok(DecisionReason::SubscriptionSuspended) => Reason::SubscriptionSuspended,
        Ok(DecisionReason::SubscriptionCancelled) => Reason::SubscriptionCancelled,
        Ok(DecisionReason::SubscriptionExpired) => Reason::SubscriptionExpired,
        Ok(DecisionReason::SubscriptionInactive) => Reason::SubscriptionInactive,
        Ok(DecisionReason::SubscriptionNotStarted) => Reason::SubscriptionNotStarted,
        Ok(DecisionReason::TrialEnded) => Reason::TrialEnded,
    }
}

fn status(word: i32) -> TenantStatus {
    match StatusWord::try_from(word) {
        Ok(StatusWord::Active) => TenantStatus::Active,
        Ok(StatusWord::Pending) => TenantStatus::Pending,
        Ok(StatusWord::PendingSetup) => TenantStatus::PendingSetup,
        Ok(StatusWord::Suspended) => TenantStatus::Suspended,
        Ok(StatusWord::Cancelled) => TenantStatus::Cancelled,
        Ok(StatusWord::Failed) => TenantStatus::Failed,
        Err(_) | Ok(StatusWord::Unspecified | StatusWord::Other) => TenantStatus::Other,
    }
}

fn source(word: i32) -> TenantSource {
    match SourceWord::try_from(word) {
        Ok(SourceWord::BearerToken) => TenantSource::BearerToken,
        Ok(SourceWord::TenantId) => TenantSource::TenantId,
        Ok(SourceWord::Host) => TenantSource::Host,
        Ok(SourceWord::Certificate) => TenantSource::Certificate,
        Err(_) | Ok(SourceWord::Unspecified) => TenantSource::Unspecified,
    }
}

/// What NOT_FOUND means for a tenant's list: it is held as long as a denial.
pub(crate) fn absent() -> List {
    let told =
        Told { revision: 0, as_of: or_always(None), valid_until: NEVER, max_age: 0, stale: false };
    List { rights: None, status: TenantStatus::Other, told, terms: None }
}
