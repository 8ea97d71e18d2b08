//! What a request carries that may name a tenant.

use http::{HeaderMap, HeaderName, header, request::Parts};

use super::Setup;
use crate::{Credentials, Refusal, Resolved};

const TENANT_ID: HeaderName = HeaderName::from_static("x-tenant-id");

/// Why a layer in shadow mode found no tenant. Later layers need not ask again.
#[derive(Clone, Debug)]
pub(super) struct Unresolved(pub(super) Refusal);

impl Setup {
    /// The tenant that an earlier layer found, or else the one that the request names.
    pub(super) async fn resolve(&self, head: &Parts) -> Result<Resolved, Refusal> {
        let extensions = &head.extensions;
        if let Some(resolved) = extensions.get::<Resolved>() {
            return Ok(resolved.clone());
        }
        if let Some(Unresolved(refusal)) = extensions.get() {
            return Err(refusal.clone());
        }
        let credentials = Credentials::named(head, self.with_bearer_token)?;
        if credentials == Credentials::default() {
            return Err(Refusal::no_tenant());
        }
        Ok(self.entitlements.resolve(credentials).await?)
    }
}

impl<'a> Credentials<'a> {
    /// What a request carries: `X-Tenant-ID`, its host, and `Authorization` where the scheme is
    /// `Bearer`. Feature `tower`.
    ///
    /// # Errors
    ///
    /// If one of these headers comes twice, or is not text.
    pub fn of_request(head: &'a Parts) -> Result<Self, Refusal> {
        Self::named(head, true)
    }

    fn named(head: &'a Parts, with_bearer_token: bool) -> Result<Self, Refusal> {
        // `:authority` of HTTP/2 outranks a Host header: RFC 9113, 8.3.1.
        let host = match head.uri.authority() {
            Some(authority) => authority.as_str(),
            None => single(&head.headers, &header::HOST)?,
        };
        let tenant_id = single(&head.headers, &TENANT_ID)?;
        let authorization =
            if with_bearer_token { single(&head.headers, &header::AUTHORIZATION)? } else { "" };
        Ok(Self { tenant_id, host, bearer_token: bearer(authorization) })
    }
}

/// The value of a header; empty: it is absent. With two values, services could disagree on which
/// one counts.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a str, Refusal> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(""),
        (Some(value), None) => value.to_str().map_err(|_| Refusal::unreadable(name.as_str())),
        (Some(_), Some(_)) => Err(Refusal::unreadable(name.as_str())),
    }
}

/// Other schemes, for example Basic, are between the service and its caller.
fn bearer(authorization: &str) -> &str {
    match authorization.split_once(' ') {
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("bearer") => authorization,
        _ => "",
    }
}
