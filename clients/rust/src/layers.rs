//! Layers that find a request's tenant, and let it pass where the tenant may use a module. Feature
//! `tower`; with feature `axum`, [`Resolved`](crate::Resolved) is an argument of handlers, and
//! errors are responses; with feature `tonic`, layers stand in front of tonic's services. The
//! crate's own page has an example of each.

mod answers;
mod count;
mod module;
mod paths;
mod request;
mod tenant;

#[cfg(feature = "axum")]
pub(crate) use answers::problem;
pub use answers::{Grpc, Http, Protocol};
pub use count::{CountLayer, CountedService};
pub use module::{ModuleGate, RequireModule};
pub use tenant::{TenantGate, TenantLayer};

use http::{HeaderValue, Response};

use crate::{Entitlements, Refusal};

/// Marks the response to a request that shadow mode let pass. Its value is the reason.
pub const WOULD_DENY: &str = "x-entitlement-would-deny";

/// Are requests refused?
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Enforce {
    /// They are.
    #[default]
    On,
    /// Shadow mode: what would be refused passes, is logged and counted, and its response is marked
    /// with [`WOULD_DENY`].
    Off,
}

/// What both layers know, and how they handle a refusal.
#[derive(Clone, Debug)]
struct Setup {
    entitlements: Entitlements,
    enforce: Enforce,
    with_bearer_token: bool,
}

impl Setup {
    fn new(entitlements: &Entitlements) -> Self {
        Self { entitlements: entitlements.clone(), enforce: Enforce::On, with_bearer_token: true }
    }

    /// The refusal, if enforced; otherwise the mark that the response is to carry.
    fn judge(&self, refusal: Refusal) -> Result<Mark, Refusal> {
        if self.enforce == Enforce::On {
            return Err(refusal);
        }
        tracing::warn!(code = ?refusal.code(), reason = refusal.reason(), "would be refused: {}", refusal.detail());
        self.entitlements.count_would_deny();
        Ok(Mark(HeaderValue::from_str(refusal.reason()).ok()))
    }
}

/// What the response to a request is marked with, if anything.
#[derive(Debug, Default)]
struct Mark(Option<HeaderValue>);

impl Mark {
    /// The innermost mark stays: it is the most specific.
    fn put<B>(self, mut response: Response<B>) -> Response<B> {
        if let Some(reason) = self.0 {
            response.headers_mut().entry(WOULD_DENY).or_insert(reason);
        }
        response
    }
}
