//! Signed leases, from the wire and to it.

use std::time::Duration;

use chrono::TimeDelta;
use tonic::{Request, Status};

use super::{
    features::{feature_decision, named, named_features},
    requests::{Fields, caller},
    responses::{freshness, reason, timestamp},
};
use crate::{
    domain::limits::{MAX_AUDIENCE_BYTES, MAX_BATCH},
    proto::v1 as pb,
    service::signed_lease::{IssuedLease, LeasedModule, SignedLeaseQuery},
};

/// The shortest lease: instants in a JWT are whole seconds.
const SHORTEST: Duration = Duration::from_secs(1);

pub(in crate::service) fn signed_lease_query(
    request: &Request<pb::IssueLeaseRequest>,
) -> Result<SignedLeaseQuery<'_>, Status> {
    let pb::IssueLeaseRequest { tenant_id, module_codes, features, ttl, audience, min_revision } =
        request.get_ref();
    let mut fields = Fields::default();
    let tenant = fields.tenant(caller(request), tenant_id, *min_revision, None);
    if module_codes.len() > MAX_BATCH {
        let count = module_codes.len();
        fields
            .violated("module_codes", format!("must hold at most {MAX_BATCH} codes, not {count}"));
    } else {
        fields.codes("module_codes", module_codes);
    }
    if features.len() > MAX_BATCH {
        let count = features.len();
        fields.violated("features", format!("must hold at most {MAX_BATCH} features, not {count}"));
    } else {
        named_features(&mut fields, features);
    }
    let ttl = ttl.map(|ttl| Duration::try_from(ttl).ok().filter(|ttl| *ttl >= SHORTEST));
    if ttl == Some(None) {
        fields.violated("ttl", "must be a second or more");
    }
    if audience.len() > MAX_AUDIENCE_BYTES || !audience.bytes().all(|byte| byte.is_ascii_graphic())
    {
        let words = format!("must be at most {MAX_AUDIENCE_BYTES} printable ASCII characters");
        fields.violated("audience", words);
    }
    Ok(SignedLeaseQuery {
        tenant: fields.all_good(tenant)?,
        modules: module_codes.iter().map(String::as_str).collect(),
        features: features.iter().map(named).collect(),
        // What no span can hold is longer than any lease.
        ttl: ttl.flatten().map(|ttl| TimeDelta::from_std(ttl).unwrap_or(TimeDelta::MAX)),
        audience,
    })
}

pub(in crate::service) fn signed_lease_response(issued: IssuedLease<'_>) -> pb::IssueLeaseResponse {
    let IssuedLease { token, term, modules, features, hint } = issued;
    pb::IssueLeaseResponse {
        lease: token,
        issued_at: Some(timestamp(term.issued_at)),
        expires_at: Some(timestamp(term.expires_at)),
        modules: modules.into_iter().map(leased_module).collect(),
        features: features.into_iter().map(feature_decision).collect(),
        freshness: Some(freshness(hint)),
    }
}

fn leased_module(module: LeasedModule) -> pb::LeasedModule {
    let LeasedModule { code, decision, until } = module;
    pb::LeasedModule {
        granted: until.is_some(),
        reason: reason(decision.reason).into(),
        message: decision.reason.message(&code),
        until: until.map(timestamp),
        module_code: code,
    }
}
