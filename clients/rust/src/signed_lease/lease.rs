//! A lease that was verified.

use std::{fmt, sync::Arc};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{LeaseAnswer, LeaseFeature, LeaseReason, Time, claims::Claims, guard::Now, instant};

/// A lease that was verified. What it answers depends on the time at which it is asked: one that is kept
/// ends by itself.
#[derive(Clone)]
pub struct SignedLease {
    pub(super) claims: Arc<Claims>,
    pub(super) clock: Arc<Time>,
}

impl SignedLease {
    /// May the tenant use this module now, by this lease?
    pub fn allows(&self, module: &str) -> bool {
        self.check(module).allowed
    }

    /// The same, with the reason.
    pub fn check(&self, module: &str) -> LeaseAnswer {
        self.check_at(module, self.clock.now())
    }

    /// Is a feature of a module on, and what is it set to?
    pub fn feature(&self, module: &str, key: &str) -> LeaseFeature {
        self.feature_at(module, key, self.clock.now())
    }

    /// The tenant whose lease it is.
    pub fn tenant(&self) -> Uuid {
        self.claims.tenant
    }

    /// When it was issued.
    pub fn issued_at(&self) -> DateTime<Utc> {
        instant(self.claims.issued_at)
    }

    /// When it ends. A module may end before.
    pub fn expires_at(&self) -> DateTime<Utc> {
        instant(self.claims.expires_at)
    }

    /// The revision of the tenant's facts that it rests on; 0: the server does not count.
    pub fn revision(&self) -> u64 {
        self.claims.revision
    }

    /// When those facts were read.
    pub fn as_of(&self) -> DateTime<Utc> {
        instant(self.claims.as_of)
    }

    /// The modules that it grants, each with its end, ordered by code; those that have ended meanwhile
    /// among them.
    pub fn modules(&self) -> impl Iterator<Item = (&str, DateTime<Utc>)> {
        self.claims.modules.iter().map(|(code, until)| (code.as_str(), instant(*until)))
    }

    pub(super) fn check_at(&self, module: &str, now: Now) -> LeaseAnswer {
        let Claims { issued_at, expires_at, modules, asked, .. } = &*self.claims;
        let guard = &self.clock.guard;
        guard.observe(*issued_at, *expires_at, now);
        let until = modules.get(module).copied();
        let reason = match (guard.ended(*expires_at, now), until) {
            (Some(ended), _) => ended,
            (None, Some(until)) => match guard.ended(until, now) {
                Some(LeaseReason::ClockSetBack) => LeaseReason::ClockSetBack,
                Some(_) => LeaseReason::Ended,
                None => LeaseReason::Granted,
            },
            (None, None) if asked.names(module) => LeaseReason::Denied,
            (None, None) => LeaseReason::NotAskedFor,
        };
        let allowed = reason == LeaseReason::Granted;
        LeaseAnswer { allowed, reason, until: until.map(instant) }
    }

    pub(super) fn feature_at(&self, module: &str, key: &str, now: Now) -> LeaseFeature {
        let LeaseAnswer { allowed, reason, .. } = self.check_at(module, now);
        let said = self.claims.features.get(module).and_then(|features| features.get(key));
        let (enabled, reason, value) = match said {
            _ if !allowed => (false, reason, None),
            None => (false, LeaseReason::NotAskedFor, None),
            Some(feature) if feature.on => (true, LeaseReason::Granted, feature.value.clone()),
            Some(_) => (false, LeaseReason::Off, None),
        };
        LeaseFeature { enabled, reason, value }
    }
}

impl fmt::Debug for SignedLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedLease")
            .field("tenant", &self.tenant())
            .field("expires_at", &self.expires_at())
            .field("modules", &self.claims.modules.keys())
            .finish_non_exhaustive()
    }
}
