//! Having a lease signed.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::Reason;

/// What to have signed. Nothing named: all that the tenant may use, for as long as the server allows.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[must_use]
pub struct LeaseRequest {
    pub(crate) modules: Vec<String>,
    pub(crate) features: Vec<(String, String)>,
    pub(crate) ttl: Option<Duration>,
    pub(crate) audience: String,
}

impl LeaseRequest {
    /// Asks for this module too.
    pub fn module(mut self, code: impl Into<String>) -> Self {
        self.modules.push(code.into());
        self
    }

    /// Asks for this feature of a module too, and for the module.
    pub fn feature(mut self, module: impl Into<String>, key: impl Into<String>) -> Self {
        self.features.push((module.into(), key.into()));
        self
    }

    /// How long it is to last: a second or more, and no longer than the server allows.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// For whom it is: only a verifier with this [`audience`](crate::LeaseVerifier::audience) accepts it.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = audience.into();
        self
    }
}

/// A lease that was signed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct IssuedLease {
    /// The lease, to be handed on as it is. Whoever has it can show it.
    pub token: String,
    /// When it was issued.
    pub issued_at: DateTime<Utc>,
    /// When it ends: perhaps before what was asked for.
    pub expires_at: DateTime<Utc>,
    /// The modules that were asked for.
    pub modules: Vec<LeasedModule>,
    /// The revision of the facts that it rests on; 0: the server does not count.
    pub revision: u64,
    /// The server's database could not be asked: the lease ends the earlier.
    pub stale: bool,
}

/// A module that was asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LeasedModule {
    /// Its code, as it was asked for.
    pub code: String,
    /// Is it in the lease?
    pub granted: bool,
    /// Why, or why not.
    pub reason: Reason,
    /// On a denial, a sentence that can be shown to a person. Empty when granted.
    pub message: String,
    /// Until when the lease grants it; `None`: it does not.
    pub until: Option<DateTime<Utc>>,
}
