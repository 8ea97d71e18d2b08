//! Signed leases: what a tenant may use, verified without a connection.
//!
//! They have nothing to do with [`LeasedUsage`](crate::LeasedUsage), which takes slices of a limit.

mod claims;
mod guard;
mod json;
mod keys;
mod lease;
#[cfg(test)]
mod vectors;
mod words;

use std::{fmt, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use parking_lot::RwLock;
use uuid::Uuid;

use self::{
    claims::Claims,
    guard::{Guard, Now},
    keys::Keys,
};
pub use self::{
    keys::LeaseKeysError,
    lease::SignedLease,
    words::{LeaseAnswer, LeaseError, LeaseFeature, LeaseReason},
};
use crate::clock::{Clock, ManualClock, Micros, date, micros};

/// The most bytes that a lease may have: servers sign none that is larger.
const MAX_LEASE_BYTES: usize = 32 * 1024;

/// The `iss` of leases, unless a server was given another one (`--lease-issuer`).
const ISSUER: &str = "entitlementd";

/// How far two clocks may be apart, unless something else is said.
const SKEW: Duration = Duration::from_secs(60);

/// Verifies signed leases, without a connection: for shops, plants, and applications that must go on
/// where there is none.
///
/// It needs the set of public keys that servers publish at `/.well-known/jwks.json`: ship it with your
/// application, and fetch it now and then while there is a connection. Make one verifier for a process.
///
/// ```
/// # let jwks = br#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
/// # let (tenant, lease) = (uuid::Uuid::nil(), "no lease");
/// use entitlement_client::LeaseVerifier;
///
/// let verifier = LeaseVerifier::new(jwks)?;
/// match verifier.verify(tenant, lease) {
///     Ok(lease) if lease.allows("finance") => println!("until {}", lease.expires_at()),
///     Ok(lease) => println!("no: {}", lease.check("finance").reason),
///     Err(error) => println!("no: {error}"),
/// }
/// # Ok::<(), entitlement_client::LeaseKeysError>(())
/// ```
///
/// # Clocks
///
/// Whoever sets the device's clock back must not make a lease last longer. So a verifier knows an instant
/// before which it cannot be: what the clock showed when it was made, and the latest that it has seen
/// since, in leases and on the clock; from there it counts by a clock that nobody sets. Where the device
/// or the application may be started again, keep [`latest`](Self::latest) and give it to the next verifier
/// ([`not_before`](Self::not_before)). A clock that was wrong, and ahead, is believed no further than the
/// lease reaches that was verified by it.
pub struct LeaseVerifier {
    keys: RwLock<Arc<Keys>>,
    issuer: String,
    audience: Option<String>,
    clock: Arc<Time>,
}

/// What time it is, at the least.
struct Time {
    clock: Clock,
    guard: Guard,
}

impl Time {
    fn now(&self) -> Now {
        Now { wall: self.clock.now(), monotonic: self.clock.monotonic() }
    }
}

impl LeaseVerifier {
    /// A verifier with the set of public keys that servers publish.
    ///
    /// # Errors
    ///
    /// If that is no such set, holds no key for EdDSA, or holds a private one.
    pub fn new(jwks: &[u8]) -> Result<Self, LeaseKeysError> {
        let keys = RwLock::new(Arc::new(Keys::parse(jwks)?));
        let clock = Clock::System;
        let now = Now { wall: clock.now(), monotonic: clock.monotonic() };
        let clock = Arc::new(Time { clock, guard: Guard::new(now, micros(SKEW)) });
        Ok(Self { keys, issuer: ISSUER.to_owned(), audience: None, clock })
    }

    /// The `iss` that leases must have, where servers have `--lease-issuer`. Default: `entitlementd`.
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = issuer.into();
        self
    }

    /// Who this is: only leases for this audience are accepted. Default: only those that are for anybody.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// How far this clock and the server's may be apart: so much longer, too, everything lasts that a lease
    /// grants. Default: 60 s.
    #[must_use]
    pub fn skew(self, skew: Duration) -> Self {
        self.with(|clock, guard| (clock, guard.with_skew(micros(skew))))
    }

    /// It cannot be before this instant, which another verifier gave ([`latest`](Self::latest)) before the
    /// application was started again.
    #[must_use]
    pub fn not_before(self, latest: DateTime<Utc>) -> Self {
        self.with(|clock, guard| {
            let monotonic = clock.monotonic();
            (clock, guard.with_latest(latest.timestamp_micros(), monotonic))
        })
    }

    /// Uses a clock that is moved by hand: for tests.
    #[must_use]
    pub fn clock(self, clock: ManualClock) -> Self {
        self.with(|_, guard| {
            let clock = Clock::Manual(clock);
            let now = Now { wall: clock.now(), monotonic: clock.monotonic() };
            (clock, guard.begun_again(now))
        })
    }

    fn with(mut self, change: impl FnOnce(Clock, Guard) -> (Clock, Guard)) -> Self {
        let Time { clock, guard } = &*self.clock;
        let (clock, guard) = change(clock.clone(), guard.copy());
        self.clock = Arc::new(Time { clock, guard });
        self
    }

    /// Verifies with these keys from now on: those that servers publish now. Leases that were verified
    /// before go on.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new); then the keys before stay.
    pub fn replace_keys(&self, jwks: &[u8]) -> Result<(), LeaseKeysError> {
        let keys = Arc::new(Keys::parse(jwks)?);
        *self.keys.write() = keys;
        Ok(())
    }

    /// The latest instant that is known to have passed, by the leases that were verified and the time since:
    /// for the next verifier, after the application was started again ([`not_before`](Self::not_before)).
    /// Where you keep it, whoever can change it can make a lease last longer. `None`: no lease was verified
    /// yet.
    pub fn latest(&self) -> Option<DateTime<Utc>> {
        self.clock.guard.latest(self.clock.now()).and_then(date)
    }

    /// Verifies a lease of this tenant.
    ///
    /// # Errors
    ///
    /// [`LeaseError`] says why it is not accepted. With [`LeaseError::UnknownKey`], the keys may have
    /// changed: fetch them again.
    pub fn verify(&self, tenant: Uuid, lease: &str) -> Result<SignedLease, LeaseError> {
        self.verify_at(tenant, lease, self.clock.now())
    }

    fn verify_at(&self, tenant: Uuid, lease: &str, now: Now) -> Result<SignedLease, LeaseError> {
        if lease.len() > MAX_LEASE_BYTES {
            return Err(LeaseError::TooLarge);
        }
        let keys = Arc::clone(&self.keys.read());
        let claims = Claims::read(&keys.payload(lease)?)?;
        if claims.issuer != self.issuer {
            return Err(LeaseError::WrongIssuer);
        }
        if claims.tenant != tenant {
            return Err(LeaseError::WrongTenant);
        }
        // RFC 7519, section 4.1.3: whoever is no part of the audience must refuse it.
        if claims.audience != self.audience {
            return Err(LeaseError::WrongAudience);
        }
        let guard = &self.clock.guard;
        if guard.is_ahead(claims.issued_at.max(claims.not_before), now) {
            return Err(LeaseError::NotYetValid(instant(claims.not_before)));
        }
        guard.observe(claims.issued_at, claims.expires_at, now);
        let ended = instant(claims.expires_at);
        match guard.ended(claims.expires_at, now) {
            Some(LeaseReason::ClockSetBack) => Err(LeaseError::ClockSetBack(ended)),
            Some(_) => Err(LeaseError::Expired(ended)),
            None => Ok(SignedLease { claims: Arc::new(claims), clock: Arc::clone(&self.clock) }),
        }
    }
}

impl fmt::Debug for LeaseVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaseVerifier")
            .field("issuer", &self.issuer)
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

/// An instant that was read: those have a range that dates have too.
fn instant(at: Micros) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(at).unwrap_or_default()
}
