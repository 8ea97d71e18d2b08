//! Which tenant a request belongs to, once everything it carries has been read and looked up.

use thiserror::Error;

use super::{Facts, Reason, TenantId};

/// What identified the tenant, the strongest first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TenantSource {
    /// A verified bearer token.
    BearerToken,
    /// A client's certificate.
    Certificate,
    /// The id that was passed on.
    TenantId,
    /// The host that was passed on.
    Host,
}

/// Why a request does not belong to a served tenant.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Unresolved {
    /// Token, id and host do not name the same tenant.
    #[error("the token, the tenant id and the host do not name the same tenant")]
    Conflict,
    /// Nothing names a tenant.
    #[error("no tenant is named, or the named one does not exist")]
    NotNamed,
    /// The named tenant does not exist.
    #[error("no tenant is named, or the named one does not exist")]
    NotFound,
    /// The tenant exists, but is not served; the reason is one of line 2 of the decision table.
    #[error("the tenant is not served")]
    NotServed(Reason),
}

/// The tenant ids that a request contains.
#[derive(Clone, Copy, Debug, Default)]
pub struct NamedIds {
    /// From a verified token.
    pub by_token: Option<TenantId>,
    /// From a certificate.
    pub by_certificate: Option<TenantId>,
    /// From an id that was passed on.
    pub by_id: Option<TenantId>,
}

impl NamedIds {
    /// The one tenant that token, certificate and id name, and the strongest of these sources.
    ///
    /// None of them overrides another: different tenants are a conflict.
    pub fn agreed(self) -> Result<Option<(TenantId, TenantSource)>, Unresolved> {
        let sources = [
            (self.by_token, TenantSource::BearerToken),
            (self.by_certificate, TenantSource::Certificate),
            (self.by_id, TenantSource::TenantId),
        ];
        let mut named = sources.into_iter().filter_map(|(id, source)| Some((id?, source)));
        let Some(strongest) = named.next() else { return Ok(None) };
        if named.any(|(id, _)| id != strongest.0) {
            Err(Unresolved::Conflict)
        } else {
            Ok(Some(strongest))
        }
    }
}

/// What was found for one identifier of a tenant: its facts, or that it does not exist.
pub type Found = Option<Facts>;

/// Determines the one tenant. Each argument is `None` if the request has no such identifier.
pub fn resolve(
    by_id: Option<(Found, TenantSource)>,
    by_host: Option<Found>,
) -> Result<(Facts, TenantSource), Unresolved> {
    let id_of = |facts: &Facts| facts.tenant.id;
    let (facts, source) = match (by_id, by_host) {
        (Some((found, source)), Some(by_host)) => {
            // Two identifiers that are both unknown do not name different tenants.
            if found.as_ref().map(id_of) != by_host.as_ref().map(id_of) {
                return Err(Unresolved::Conflict);
            }
            (found, source)
        }
        (Some(by_id), None) => by_id,
        (None, Some(by_host)) => (by_host, TenantSource::Host),
        (None, None) => return Err(Unresolved::NotNamed),
    };
    let facts = facts.ok_or(Unresolved::NotFound)?;
    match facts.status().denial() {
        Some(reason) => Err(Unresolved::NotServed(reason)),
        None => Ok((facts, source)),
    }
}
