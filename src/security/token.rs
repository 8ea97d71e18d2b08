//! Bearer tokens: from a JWT to the tenant that it vouches for.
//!
//! Each key is bound to one algorithm when it is read. What a token says of its own algorithm only
//! selects among the keys, so neither `none` nor an asymmetric key used as a shared secret gets
//! anywhere.

mod jwk;
mod keys;
mod remote;

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::Arc,
};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use jsonwebtoken::decode_header;
use serde_json::{Map, Value};
use thiserror::Error;

pub use self::{
    keys::{AddedKeys, HeldKeys, InvalidKeys, KeySet},
    remote::RemoteKeys,
};
use super::lease_keys::LEASE_TYPE;
use crate::domain::{TenantId, limits::MAX_TOKEN_BYTES};

/// The tolerated difference between two clocks, by RFC 7519, section 4.1.4: "no more than a few
/// minutes".
const LEEWAY: TimeDelta = TimeDelta::seconds(60);

/// What a token must contain, besides a valid signature.
#[derive(Clone, Debug, Default)]
pub struct TokenRules {
    /// The required `iss`; `None`: any.
    pub issuer: Option<String>,
    /// The required entry of `aud`; `None`: any.
    pub audience: Option<String>,
    /// The claim that names the tenant.
    pub tenant_claim: String,
    /// The tenants that each issuer may name; an issuer that is not in here may name any.
    pub issuer_tenants: HashMap<String, HashSet<TenantId>>,
}

impl TokenRules {
    /// May a token with this `iss` name this tenant?
    fn may_name(&self, issuer: Option<&Value>, tenant: TenantId) -> bool {
        let bound =
            issuer.and_then(Value::as_str).and_then(|issuer| self.issuer_tenants.get(issuer));
        bound.is_none_or(|tenants| tenants.contains(&tenant))
    }
}

/// What a valid token proves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Vouched {
    /// The tenant that it names; `None`: it names none.
    pub tenant: Option<TenantId>,
    /// Its `exp`: an answer that rests on it must not be kept longer.
    pub expires_at: DateTime<Utc>,
}

/// The token is not valid, or cannot be verified. The text is for the log; a caller learns only
/// that.
#[derive(Debug, Error)]
pub enum InvalidToken {
    /// There is nothing to verify it with.
    #[error("no key is configured")]
    NoKey,
    /// More than [`MAX_TOKEN_BYTES`].
    #[error("it is longer than {MAX_TOKEN_BYTES} bytes")]
    TooLong,
    /// No key has its algorithm and key id.
    #[error("no key for its algorithm and key id")]
    UnknownKey,
    /// The keys of an issuer have never been fetched: the token may be valid.
    #[error("the keys of an issuer have not been fetched yet")]
    NoKeysYet,
    /// Its header has extensions that must be understood (RFC 7515, section 4.1.11). None are
    /// supported.
    #[error("its header has `crit`, and no extension is understood here")]
    Critical,
    /// It is a signed lease, whoever has signed it: that says what a tenant may use, and vouches for
    /// nobody.
    #[error("it is a signed lease, and no user's token")]
    Lease,
    /// Malformed, or the signature does not match.
    #[error("{0}")]
    Refused(#[from] jsonwebtoken::errors::Error),
    /// A claim is missing, or does not have the required value.
    #[error("its claim {0:?} is missing or not as wanted")]
    Claim(String),
    /// Its issuer is bound to tenants, and this is not one of them.
    #[error("its issuer may not name the tenant {0}")]
    ForeignTenant(TenantId),
    /// It has expired (`exp`).
    #[error("it has expired")]
    Expired,
    /// It is not valid yet (`nbf`).
    #[error("it is not valid yet")]
    NotYetValid,
}

/// The keys that verify tokens, and what tokens must contain.
pub struct Tokens {
    /// From files: available from the start.
    held: Vec<Arc<HeldKeys>>,
    /// From URLs.
    remote: Vec<Arc<RemoteKeys>>,
    rules: TokenRules,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: usize = self.held.iter().map(|held| held.taken().keys).sum();
        let mut debug = f.debug_struct("Tokens");
        debug
            .field("keys", &keys)
            .field("remote", &self.remote.len())
            .field("rules", &self.rules)
            .finish()
    }
}

impl Tokens {
    /// Without keys: every token is refused until some are added.
    pub fn new(rules: TokenRules) -> Self {
        Self { held: Vec::new(), remote: Vec::new(), rules }
    }

    /// Adds keys that are there from the start, and that may be replaced.
    pub fn hold(&mut self, keys: KeySet) -> Arc<HeldKeys> {
        let held = Arc::new(HeldKeys::new(keys));
        self.held.push(Arc::clone(&held));
        held
    }

    /// Adds a set of keys that will be fetched. It verifies tokens of this issuer only; `None`:
    /// those of the issuer in the rules.
    pub fn add_remote(&mut self, issuer: Option<String>) -> Arc<RemoteKeys> {
        let keys = Arc::new(RemoteKeys::new(issuer));
        self.remote.push(Arc::clone(&keys));
        keys
    }

    /// The sets of keys that are fetched.
    pub fn remote(&self) -> &[Arc<RemoteKeys>] {
        &self.remote
    }

    /// Verifies a token, with or without `Bearer ` before it. If its key is not known, the keys are
    /// fetched again.
    pub async fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<Vouched, InvalidToken> {
        match self.verify_held(token, now) {
            // Boxed, so that the future of a token whose key is held stays small.
            Err(InvalidToken::UnknownKey | InvalidToken::NoKeysYet)
                if Box::pin(self.refresh(now)).await =>
            {
                self.verify_held(token, now)
            }
            outcome => outcome,
        }
    }

    async fn refresh(&self, now: DateTime<Utc>) -> bool {
        join_all(self.remote.iter().map(|keys| keys.refresh(now))).await.contains(&true)
    }

    /// Verifies a token with the keys that are available, without fetching.
    pub fn verify_held(&self, token: &str, now: DateTime<Utc>) -> Result<Vouched, InvalidToken> {
        let token = strip_scheme(token);
        if token.len() > MAX_TOKEN_BYTES {
            return Err(InvalidToken::TooLong);
        }
        if self.held.is_empty() && self.remote.is_empty() {
            return Err(InvalidToken::NoKey);
        }
        let header = decode_header(token)?;
        if header.crit.is_some() {
            return Err(InvalidToken::Critical);
        }
        if header.typ.as_deref().is_some_and(is_lease) {
            return Err(InvalidToken::Lease);
        }
        let mut outcome = Err(InvalidToken::UnknownKey);
        let rule = self.rules.issuer.as_deref();
        for keys in &self.held {
            match keys.current().verify_signature(token, &header) {
                Ok(claims) => return self.judge(&claims, rule, now),
                Err(error) => {
                    outcome = outcome.map_err(|before| the_one_that_says_more(before, error));
                }
            }
        }
        for remote in &self.remote {
            let keys = remote.current();
            match keys
                .map_or(Err(InvalidToken::NoKeysYet), |keys| keys.verify_signature(token, &header))
            {
                Ok(claims) => return self.judge(&claims, remote.issuer().or(rule), now),
                Err(error) => {
                    outcome = outcome.map_err(|before| the_one_that_says_more(before, error));
                }
            }
        }
        outcome
    }

    fn judge(
        &self,
        claims: &Map<String, Value>,
        issuer: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<Vouched, InvalidToken> {
        let bad = |claim: &str| InvalidToken::Claim(claim.to_owned());
        let expires_at = claims.get("exp").and_then(numeric_date).ok_or_else(|| bad("exp"))?;
        if expires_at <= now - LEEWAY {
            return Err(InvalidToken::Expired);
        }
        if let Some(not_before) = claims.get("nbf")
            && now + LEEWAY < numeric_date(not_before).ok_or_else(|| bad("nbf"))?
        {
            return Err(InvalidToken::NotYetValid);
        }
        if !issuer.is_none_or(|wanted| claims.get("iss").is_some_and(|iss| iss == wanted)) {
            return Err(bad("iss"));
        }
        if !self
            .rules
            .audience
            .as_ref()
            .is_none_or(|wanted| names_audience(claims.get("aud"), wanted))
        {
            return Err(bad("aud"));
        }
        let claim = &self.rules.tenant_claim;
        let tenant = match claims.get(claim) {
            None | Some(Value::Null) => None,
            Some(Value::String(id)) => Some(TenantId::parse(id).map_err(|_| bad(claim))?),
            Some(_) => return Err(bad(claim)),
        };
        if let Some(tenant) = tenant
            && !self.rules.may_name(claims.get("iss"), tenant)
        {
            return Err(InvalidToken::ForeignTenant(tenant));
        }
        Ok(Vouched { tenant, expires_at })
    }
}

/// The more informative of two errors: a key that did not match, or one that may still be fetched,
/// is reported rather than an unknown key.
fn the_one_that_says_more(before: InvalidToken, error: InvalidToken) -> InvalidToken {
    if matches!(error, InvalidToken::UnknownKey) { before } else { error }
}

/// Seconds since 1970, fractions allowed (RFC 7519, section 2, `NumericDate`), up to the year 9999.
/// A fraction of a second is well within the leeway.
fn numeric_date(value: &Value) -> Option<DateTime<Utc>> {
    const LATEST: f64 = 253_402_300_799.0;
    let seconds = value.as_f64()?.floor();
    #[expect(clippy::cast_possible_truncation, reason = "whole, and far from the ends of an i64")]
    (0.0..=LATEST).contains(&seconds).then(|| DateTime::from_timestamp(seconds as i64, 0)).flatten()
}

fn names_audience(aud: Option<&Value>, wanted: &str) -> bool {
    match aud {
        Some(Value::String(aud)) => aud == wanted,
        Some(Value::Array(all)) => all.iter().any(|aud| aud == wanted),
        _ => false,
    }
}

/// Is a `typ` that of signed leases? It is the name of a media type, in any case, whose "application/"
/// may be left out (RFC 7515, section 4.1.9).
fn is_lease(typ: &str) -> bool {
    let typ = typ.trim().to_ascii_lowercase();
    typ.strip_prefix("application/").unwrap_or(&typ) == LEASE_TYPE
}

/// The scheme's name is case-insensitive (RFC 9110, section 11.1).
fn strip_scheme(token: &str) -> &str {
    match token.split_at_checked(7) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("Bearer ") => rest.trim_matches(' '),
        _ => token,
    }
}
