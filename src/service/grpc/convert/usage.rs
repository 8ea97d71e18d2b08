//! Usage, from the wire and to it.

use std::time::Duration;

use tonic::{Request, Status};

use super::{
    features::{limit_enforcement, limit_kind, limit_reason, limit_source},
    requests::{Fields, caller},
    responses::{reason, timestamp},
};
use crate::{
    domain::{
        LimitSource, UsageKey,
        limits::{HOLDS, MAX_LIMIT_KEY_CHARS, MAX_RECONCILED, MAX_USAGE_AMOUNT},
    },
    proto::v1 as pb,
    service::usage::{ReconcileQuery, ReleaseQuery, ReserveOutcome, ReserveQuery, UsageState},
};

pub(in crate::service) fn reserve_query(
    request: &Request<pb::ReserveUsageRequest>,
) -> Result<ReserveQuery<'_>, Status> {
    let pb::ReserveUsageRequest { tenant_id, meter, key, amount, module_code, hold_for, partial } =
        request.get_ref();
    let mut fields = Fields::default();
    let tenant = fields.tenant(caller(request), tenant_id, None, None);
    fields.key("meter", meter, MAX_LIMIT_KEY_CHARS);
    let key = usage_key(&mut fields, "key", key);
    self::amount(&mut fields, "amount", *amount);
    let module = module(&mut fields, module_code);
    let hold_for = hold_for.and_then(|hold| {
        let good = Duration::try_from(hold).ok().filter(|hold| HOLDS.contains(hold));
        if good.is_none() {
            fields.violated("hold_for", "must be 1 s to 24 h");
        }
        good
    });
    let both = tenant.zip(key);
    let (tenant, key) = fields.all_good(both)?;
    Ok(ReserveQuery { tenant, meter, key, amount: *amount, module, hold_for, partial: *partial })
}

pub(in crate::service) fn release_query(
    request: &Request<pb::ReleaseUsageRequest>,
) -> Result<ReleaseQuery<'_>, Status> {
    let pb::ReleaseUsageRequest { tenant_id, meter, key, only_held } = request.get_ref();
    let mut fields = Fields::default();
    let tenant = fields.tenant(caller(request), tenant_id, None, None);
    fields.key("meter", meter, MAX_LIMIT_KEY_CHARS);
    let key = usage_key(&mut fields, "key", key);
    let (tenant, key) = fields.all_good(tenant.zip(key))?;
    Ok(ReleaseQuery { tenant, meter, key, only_held: *only_held })
}

pub(in crate::service) fn reconcile_query(
    request: &Request<pb::ReconcileUsageRequest>,
) -> Result<ReconcileQuery<'_>, Status> {
    let pb::ReconcileUsageRequest { tenant_id, meter, keys, as_of, after_key, up_to_key } =
        request.get_ref();
    let mut fields = Fields::default();
    let tenant = fields.tenant(caller(request), tenant_id, None, None);
    fields.key("meter", meter, MAX_LIMIT_KEY_CHARS);
    if as_of.is_none() {
        fields.violated("as_of", "must be given: when the keys were read, at the latest");
    }
    let as_of = fields.instant("as_of", as_of.as_ref());
    for (field, key) in [("after_key", after_key), ("up_to_key", up_to_key)] {
        if !key.is_empty() {
            usage_key(&mut fields, field, key);
        }
    }
    if !up_to_key.is_empty() && after_key >= up_to_key {
        fields.violated("up_to_key", "must come after after_key");
    }
    let count = keys.len();
    let mut read = Vec::new();
    if count > MAX_RECONCILED {
        let most = format!("must hold at most {MAX_RECONCILED} keys, not {count}: send ranges");
        fields.violated("keys", most);
    } else {
        for (index, key) in keys.iter().enumerate() {
            let field = format!("keys[{index}]");
            let is_in_range = key > after_key && (up_to_key.is_empty() || key <= up_to_key);
            if !is_in_range {
                fields.violated(field.as_str(), "must lie in the range of after_key and up_to_key");
            }
            read.extend(usage_key(&mut fields, &field, key));
        }
    }
    // Each once: a statement cannot write one row twice.
    read.sort_unstable();
    read.dedup();
    let (tenant, as_of) = fields.all_good(tenant.zip(as_of))?;
    Ok(ReconcileQuery { tenant, meter, keys: read, as_of, after: after_key, up_to: up_to_key })
}

/// `None`: none is named.
pub(super) fn module<'a>(fields: &mut Fields, code: &'a str) -> Option<&'a str> {
    let module = (!code.is_empty()).then_some(code)?;
    fields.module("module_code", module);
    Some(module)
}

pub(super) fn amount(fields: &mut Fields, field: &str, amount: i64) {
    if !(1..=MAX_USAGE_AMOUNT).contains(&amount) {
        fields.violated(field, format!("must be 1 to {MAX_USAGE_AMOUNT}, not {amount}"));
    }
}

pub(super) fn usage_key(fields: &mut Fields, field: &str, key: &str) -> Option<UsageKey> {
    UsageKey::parse(key).map_err(|error| fields.violated(field, error.to_string())).ok()
}

pub(in crate::service) fn reserve_response(
    outcome: ReserveOutcome<'_>,
) -> pb::ReserveUsageResponse {
    pb::ReserveUsageResponse {
        granted: outcome.granted.is_some(),
        granted_amount: outcome.granted.unwrap_or_default(),
        repeated_request: outcome.repeated,
        state: Some(state(outcome.state)),
    }
}

pub(in crate::service) fn release_response(
    released_amount: i64,
    after: UsageState<'_>,
) -> pb::ReleaseUsageResponse {
    pb::ReleaseUsageResponse { released_amount, state: Some(state(after)) }
}

pub(in crate::service) fn reconcile_response(
    counted: i64,
    released: i64,
    after: UsageState<'_>,
) -> pb::ReconcileUsageResponse {
    pb::ReconcileUsageResponse { counted, released, state: Some(state(after)) }
}

pub(super) fn state(state: UsageState<'_>) -> pb::UsageState {
    let limit = state.limit.as_ref();
    pb::UsageState {
        meter: state.meter.to_owned(),
        reason: limit_reason(state.reason).into(),
        message: state.message,
        limit: limit.and_then(|limit| limit.limit),
        used: state.counter.used,
        held: state.counter.held,
        remaining: limit.and_then(|limit| limit.remaining(state.counter.taken())),
        source: limit_source(limit.map_or(LimitSource::None, |limit| limit.source)).into(),
        kind: limit.map_or(pb::LimitKind::Unspecified, |limit| limit_kind(limit.kind)).into(),
        enforcement: limit_enforcement(state.enforcement).into(),
        resets_at: state.resets_at.map(timestamp),
        plan_slugs: state.plan_slugs,
        denial_reason: state.denial.map(reason).unwrap_or_default().into(),
    }
}
