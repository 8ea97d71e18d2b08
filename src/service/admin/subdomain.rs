//! CheckSubdomain.

use std::sync::Arc;

use super::AdminApi;
use crate::{
    domain::{Subdomain, SubdomainRefusal, subdomain::RESERVED_SUBDOMAINS},
    service::admin::error::AdminError,
};

/// Whether a subdomain is available.
#[derive(Debug)]
pub(in crate::service) struct SubdomainVerdict {
    /// The schema that would belong to it; `None`: it is not a valid subdomain.
    pub(in crate::service) schema: Option<String>,
    /// Why it is not available; `None`: it is.
    pub(in crate::service) refusal: Option<SubdomainRefusal>,
}

impl AdminApi {
    pub(in crate::service) async fn check_subdomain(
        &self,
        text: &str,
    ) -> Result<SubdomainVerdict, AdminError> {
        let subdomain = match Subdomain::parse(text) {
            Ok(subdomain) => subdomain,
            Err(error) => {
                return Ok(SubdomainVerdict { schema: None, refusal: Some(error.into()) });
            }
        };
        let schema = Some(subdomain.database_schema());
        if self.is_reserved(text) {
            return Ok(SubdomainVerdict { schema, refusal: Some(SubdomainRefusal::Reserved) });
        }
        let store = Arc::clone(&self.core.store);
        let checked =
            self.limiter.read(async move { store.check_subdomain(&subdomain).await }).await;
        Ok(SubdomainVerdict { schema, refusal: checked?.err() })
    }

    pub(in crate::service) fn is_reserved(&self, subdomain: &str) -> bool {
        RESERVED_SUBDOMAINS.contains(&subdomain) || self.core.api.hosts.is_reserved(subdomain)
    }
}
