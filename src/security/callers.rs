//! Callers: who may ask, which service, and about whom.
//!
//! ```toml
//! [[caller]]
//! name = "orders"                                     # in logs and metrics
//! certificates = ["spiffe://erp/ns/prod/sa/orders"]   # a URI or a name of the DNS in its certificate
//! tokens_sha256 = ["5e88...42d8"]                     # hashes of its bearer tokens
//! services = ["entitlement"]                          # entitlement, ext-authz, forward-auth, usage, usage-corrections, leases, replication
//! tenants = ["7c9e6679-7425-40de-944b-e07fc1f90ae7"]  # whom it may ask about; absent: all
//! modules = ["orders", "wms"]                         # what it may ask about; absent: all
//! meters = ["transactions_monthly"]                   # what it may count, with the service usage; absent: all
//! vouches_for = "7c9e6679-7425-40de-944b-e07fc1f90ae7" # the tenant that its certificate names, behind a proxy
//! rate = 500                                          # requests a second; absent: as --caller-rate says
//! ```

use std::{
    collections::{HashMap, HashSet},
    num::NonZeroU32,
    sync::Arc,
    time::Duration,
};

use governor::{
    DefaultDirectRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};
use serde::Deserialize;
use thiserror::Error;

use super::hashes::{self, Hash};
use crate::domain::{
    ActorName, ModuleCode, TenantId, ids::validate_key, limits::MAX_LIMIT_KEY_CHARS,
};

/// A service that callers may use.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum CallerService {
    /// `EntitlementService`.
    Entitlement,
    /// Envoy's external authorization.
    ExtAuthz,
    /// Forward auth over HTTP.
    ForwardAuth,
    /// `UsageService`, which writes.
    Usage,
    /// Taking back what was recorded, beside `UsageService`.
    UsageCorrections,
    /// `ReplicationService`, for instances without a database.
    Replication,
    /// `LeaseService`: what it signs cannot be taken back.
    Leases,
}

/// An error in a file of callers.
#[derive(Debug, Error)]
pub enum InvalidCallers {
    /// It is not valid TOML, or not as described.
    #[error("{0}")]
    Toml(#[from] toml::de::Error),
    /// An entry that makes no sense.
    #[error("the caller {name:?}: {problem}")]
    Caller {
        /// The caller's name.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    caller: Vec<CallerEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CallerEntry {
    name: String,
    #[serde(default)]
    certificates: Vec<String>,
    #[serde(default)]
    tokens_sha256: Vec<String>,
    services: Vec<CallerService>,
    tenants: Option<Vec<String>>,
    modules: Option<Vec<String>>,
    meters: Option<Vec<String>>,
    vouches_for: Option<String>,
    rate: Option<NonZeroU32>,
}

/// Somebody who may ask.
#[derive(Debug)]
pub struct Caller {
    /// Its name in logs, and in the decision log.
    pub name: ActorName,
    /// The tenant that its certificate identifies, if a proxy passes it on.
    pub vouches_for: Option<TenantId>,
    services: Vec<CallerService>,
    tenants: Option<HashSet<TenantId>>,
    modules: Option<HashSet<ModuleCode>>,
    meters: Option<HashSet<String>>,
    rate: Option<Rate>,
}

impl Caller {
    /// May it use this service?
    pub fn may_use(&self, service: CallerService) -> bool {
        self.services.contains(&service)
    }

    /// May it ask about any tenant?
    pub fn may_ask_about_all(&self) -> bool {
        self.tenants.is_none()
    }

    /// The tenants that it may ask about; `None`: all.
    pub fn tenants(&self) -> Option<&HashSet<TenantId>> {
        self.tenants.as_ref()
    }

    /// May it ask about this tenant?
    pub fn may_ask_about(&self, tenant: TenantId) -> bool {
        self.tenants.as_ref().is_none_or(|tenants| tenants.contains(&tenant))
    }

    /// May it ask about this module?
    pub fn may_ask_of(&self, module: &str) -> bool {
        self.modules.as_ref().is_none_or(|modules| modules.contains(module))
    }

    /// What it may ask about, ordered by code; `None`: all.
    pub fn modules(&self) -> Option<Vec<&str>> {
        let mut codes: Vec<&str> = self.modules.as_ref()?.iter().map(ModuleCode::as_str).collect();
        codes.sort_unstable();
        Some(codes)
    }

    /// May it ask about any module?
    pub fn may_ask_of_all_modules(&self) -> bool {
        self.modules.is_none()
    }

    /// May it count with this meter?
    pub fn may_count(&self, meter: &str) -> bool {
        self.meters.as_ref().is_none_or(|meters| meters.contains(meter))
    }

    /// Counts a request. Err: too many; how long to wait.
    pub fn take_turn(&self) -> Result<(), Duration> {
        self.rate.as_ref().map_or(Ok(()), Rate::take_turn)
    }
}

/// A rate in requests per second. A second's worth of requests may come at once.
#[derive(Debug)]
pub struct Rate(DefaultDirectRateLimiter);

impl Rate {
    /// This many requests per second.
    pub fn new(per_second: NonZeroU32) -> Self {
        Self(RateLimiter::direct(Quota::per_second(per_second)))
    }

    /// Counts a request. Err: too many; how long to wait.
    pub fn take_turn(&self) -> Result<(), Duration> {
        self.0.check().map_err(|early| early.wait_time_from(DefaultClock::default().now()))
    }
}

/// All callers.
#[derive(Debug, Default)]
pub struct Callers {
    by_certificate: HashMap<String, Arc<Caller>>,
    // Not in constant time: timing may reveal parts of a hash, but nobody finds the token of a
    // hash.
    by_token: HashMap<Hash, Arc<Caller>>,
}

/// The stored form of a token.
pub type TokenHash = Hash;

/// The hash by which a token is identified.
pub fn hash_of(token: &str) -> TokenHash {
    hashes::hash(token)
}

impl Callers {
    /// Parses a file of callers. A caller without a rate of its own gets the general one.
    pub fn parse(text: &str, rate: Option<NonZeroU32>) -> Result<Self, InvalidCallers> {
        let file: File = toml::from_str(text)?;
        let mut callers = Self::default();
        let mut names = HashSet::new();
        for written in file.caller {
            let name = written.name.clone();
            let wrong = |problem| InvalidCallers::Caller { name: name.clone(), problem };
            if !names.insert(name.clone()) {
                return Err(wrong("stands in the file twice".to_owned()));
            }
            callers.add(written, rate).map_err(wrong)?;
        }
        Ok(callers)
    }

    fn add(&mut self, written: CallerEntry, rate: Option<NonZeroU32>) -> Result<(), String> {
        let CallerEntry {
            name,
            certificates,
            tokens_sha256,
            services,
            tenants,
            modules,
            meters,
            vouches_for,
            rate: own,
        } = written;
        if certificates.is_empty() && tokens_sha256.is_empty() {
            return Err("needs certificates or tokens_sha256: how else is it known?".to_owned());
        }
        if services.contains(&CallerService::Replication) && modules.is_some() {
            return Err(
                "modules cannot be restricted with the service replication: a tenant is sent whole"
                    .to_owned(),
            );
        }
        let tenant = |id: &String| TenantId::parse(id).map_err(|error| format!("{id:?} {error}"));
        let module = |code: String| match ModuleCode::validate(&code) {
            Ok(_) => Ok(ModuleCode::new(&code)),
            Err(error) => Err(format!("{code:?} {error}")),
        };
        let meter = |key: String| match validate_key(&key, MAX_LIMIT_KEY_CHARS) {
            Ok(_) => Ok(key),
            Err(error) => Err(format!("{key:?} {error}")),
        };
        let caller = Arc::new(Caller {
            name: name.parse().map_err(|error| format!("its name: {error}"))?,
            vouches_for: vouches_for.as_ref().map(tenant).transpose()?,
            services,
            tenants: tenants.map(|ids| ids.iter().map(tenant).collect()).transpose()?,
            modules: modules.map(|codes| codes.into_iter().map(module).collect()).transpose()?,
            meters: meters.map(|keys| keys.into_iter().map(meter).collect()).transpose()?,
            rate: own.or(rate).map(Rate::new),
        });
        self.add_certificates(certificates, &caller)?;
        self.add_tokens(tokens_sha256, &caller)
    }

    fn add_certificates(
        &mut self,
        certificates: Vec<String>,
        caller: &Arc<Caller>,
    ) -> Result<(), String> {
        for certificate in certificates {
            // DNS names are case-insensitive; URIs are not.
            let key = if certificate.contains("://") {
                certificate
            } else {
                certificate.to_ascii_lowercase()
            };
            match self.by_certificate.get(&key) {
                None => {}
                Some(other) if Arc::ptr_eq(other, caller) => {
                    return Err(format!("the certificate {key:?} stands there twice"));
                }
                Some(other) => {
                    return Err(format!(
                        "the certificate {key:?} is also of the caller {:?}",
                        other.name.as_str()
                    ));
                }
            }
            self.by_certificate.insert(key, Arc::clone(caller));
        }
        Ok(())
    }

    fn add_tokens(
        &mut self,
        tokens_sha256: Vec<String>,
        caller: &Arc<Caller>,
    ) -> Result<(), String> {
        for hash in tokens_sha256 {
            // Its text is left out: it may be the token itself.
            let hash =
                hashes::parse(&hash).ok_or("tokens_sha256: expected 64 hexadecimal digits")?;
            match self.by_token.insert(hash, Arc::clone(caller)) {
                None => {}
                Some(other) if Arc::ptr_eq(&other, caller) => {
                    return Err("a token of it stands there twice".to_owned());
                }
                Some(other) => {
                    return Err(format!(
                        "a token of it is also of the caller {:?}",
                        other.name.as_str()
                    ));
                }
            }
        }
        Ok(())
    }

    /// The caller with this token.
    pub fn by_token(&self, token: &str) -> Option<&Arc<Caller>> {
        self.by_hash(&hash_of(token))
    }

    /// The caller whose token has this hash.
    pub fn by_hash(&self, hash: &TokenHash) -> Option<&Arc<Caller>> {
        self.by_token.get(hash)
    }

    /// The caller with one of the names in a certificate: the first name that is known.
    pub fn by_names(&self, names: &[String]) -> Option<&Arc<Caller>> {
        names.iter().find_map(|name| self.by_certificate.get(name))
    }

    /// The caller with this name.
    pub fn by_name(&self, name: &str) -> Option<&Arc<Caller>> {
        self.by_certificate.get(name)
    }
}

#[cfg(test)]
mod tests;
