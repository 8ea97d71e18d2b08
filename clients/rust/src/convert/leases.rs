//! Signed leases, to the wire and from it.

use chrono::{DateTime, Utc};
use prost_types::Timestamp;
use tonic::Status;
use uuid::Uuid;

use super::{instant, reason};
use crate::{
    IssuedLease, LeaseRequest,
    clock::date,
    lease_request::LeasedModule,
    proto::v1::{FeatureName, IssueLeaseRequest, IssueLeaseResponse, LeasedModule as WireModule},
};

pub(crate) fn lease_request(
    tenant: Uuid,
    wanted: LeaseRequest,
    min_revision: u64,
) -> Result<IssueLeaseRequest, Status> {
    let LeaseRequest { modules, features, ttl, audience } = wanted;
    let name = |(module_code, feature_key)| FeatureName { module_code, feature_key };
    let too_long = |_| Status::invalid_argument("ttl: no span of the wire is so long");
    Ok(IssueLeaseRequest {
        tenant_id: tenant.to_string(),
        module_codes: modules,
        features: features.into_iter().map(name).collect(),
        ttl: ttl.map(TryInto::try_into).transpose().map_err(too_long)?,
        audience,
        min_revision: (min_revision > 0).then_some(min_revision),
    })
}

pub(crate) fn issued_lease(response: IssueLeaseResponse) -> Result<IssuedLease, Status> {
    let IssueLeaseResponse { lease, issued_at, expires_at, modules, features: _, freshness } =
        response;
    let freshness = freshness.unwrap_or_default();
    let read = |at| date_of(at).ok_or_else(|| Status::internal("a lease without its ends"));
    Ok(IssuedLease {
        token: lease,
        issued_at: read(issued_at)?,
        expires_at: read(expires_at)?,
        modules: modules.into_iter().map(leased_module).collect(),
        revision: freshness.revision,
        stale: freshness.stale,
    })
}

fn leased_module(module: WireModule) -> LeasedModule {
    let WireModule { module_code, granted, reason: why, message, until } = module;
    LeasedModule { code: module_code, granted, reason: reason(why), message, until: date_of(until) }
}

fn date_of(at: Option<Timestamp>) -> Option<DateTime<Utc>> {
    instant(at).and_then(date)
}
