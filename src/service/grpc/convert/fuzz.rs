//! What fuzzing calls: bytes, read as each of the requests.

use prost::Message;
use tonic::Request;

use super::{
    explain::{explain_query, feature_why, limit_why},
    ext_authz::proxy_attributes,
    requests::{
        authorize_query, batch_query, check_query, list_query, resolve_query, tenants_query,
        watch_query,
    },
    signed_lease::signed_lease_query,
    usage::{reconcile_query, release_query, reserve_query},
};
use crate::{
    domain::{
        ModuleCode,
        limits::{MAX_BATCH, MAX_PAGE, MAX_USAGE_AMOUNT},
    },
    proto::envoy::CheckRequest,
    service::caller::CallerIdentity,
};

/// Decodes bytes as each of the requests, and converts them: for fuzzing.
///
/// # Panics
///
/// If what is decoded exceeds the limits.
pub(crate) fn fuzz_requests(bytes: &[u8]) {
    fn read<M: Message + Default>(bytes: &[u8]) -> Option<Request<M>> {
        M::decode(bytes).ok().map(Request::new)
    }
    if let Some(request) = read(bytes)
        && let Ok(query) = check_query(&request)
    {
        assert!(ModuleCode::validate(query.module).is_ok(), "{query:?}");
    }
    if let Some(request) = read(bytes)
        && let Ok(query) = batch_query(&request)
    {
        assert!((1..=MAX_BATCH).contains(&query.modules.len()), "{query:?}");
    }
    _ = read(bytes).map(|request| list_query(&request).is_ok());
    _ = read(bytes).map(|request| resolve_query(&request).is_ok());
    _ = read(bytes).map(|request| authorize_query(&request).is_ok());
    _ = read(bytes).map(|request| explain_query(&request).is_ok());
    _ = read(bytes).map(|request| feature_why(&request).is_ok());
    _ = read(bytes).map(|request| limit_why(&request).is_ok());
    _ = read(bytes).map(|request| watch_query(&request).is_ok());
    _ = read(bytes).map(|request| release_query(&request).is_ok());
    _ = read(bytes).map(|request| reconcile_query(&request).is_ok());
    if let Some(request) = read(bytes)
        && let Ok(query) = signed_lease_query(&request)
    {
        assert!(query.modules.len() <= MAX_BATCH && query.features.len() <= MAX_BATCH, "{query:?}");
    }
    if let Some(request) = read(bytes)
        && let Ok(query) = reserve_query(&request)
    {
        assert!((1..=MAX_USAGE_AMOUNT).contains(&query.amount), "{query:?}");
    }
    if let Some(request) = read(bytes)
        && let Ok(query) = tenants_query(&request)
    {
        assert!(query.size <= MAX_PAGE, "{query:?}");
    }
    if let Some(request) = read::<CheckRequest>(bytes)
        && let Ok(attributes) = proxy_attributes(request.get_ref(), "x-tenant-id")
    {
        _ = attributes.authz_request(CallerIdentity::default(), None, "x-tenant-id");
    }
}
