//! The route map: what a request needs, by its method and path.
//!
//! Rules come from three places. For equal paths and methods, a rule from the command line takes
//! precedence over one of a file, and that over one of the catalogue; otherwise the most specific
//! rule decides, whatever the order.

mod catalogue;
mod check;
mod closed;
mod demands;
mod file;
mod import;
mod map;
mod method;
mod outline;
mod path;
mod propose;
pub(crate) mod routers;
mod template;
#[cfg(test)]
mod tests;
mod write;

use std::fmt;

pub use self::{
    catalogue::{EndpointProblem, UnreadableEndpoint, rules_of},
    check::{Finding, check},
    closed::take_out_what_opens,
    file::{UnreadableRoutes, parse, read},
    import::{Imported, InvalidOpenApi, Operation, import},
    map::{Conflict, RouteMap},
    method::{RefusedMethod, check_method},
    outline::{ANY, MAX_OUTLINE_BYTES, REST, outline},
    path::{MAX_PATH_BYTES, PathReading, RefusedPath, target_text},
    propose::{Proposal, propose},
    template::{InvalidTemplate, PathTemplate},
    write::write,
};
use crate::domain::{Catalogue, ModuleCode};

/// A segment that no template contains literally.
const FRESH: &str = "\u{fffd}";

/// What a request needs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Access {
    /// Nothing: it passes, and no tenant is resolved.
    Public,
    /// Nothing: it passes. A tenant that is named, and served, is passed on to the upstream.
    PublicWithTenant,
    /// A tenant that is served.
    Tenant,
    /// A tenant that may use one of these modules. Never empty.
    AnyOf(Vec<ModuleCode>),
    /// That one of these callers asks about it. Empty: nobody passes.
    Callers(Vec<String>),
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Public => f.write_str("public"),
            Self::PublicWithTenant => f.write_str("public, with the tenant if one is named"),
            Self::Tenant => f.write_str("tenant"),
            Self::AnyOf(modules) => {
                let words: Vec<&str> = modules.iter().map(ModuleCode::as_str).collect();
                f.write_str(&words.join(" or "))
            }
            Self::Callers(callers) if callers.is_empty() => f.write_str("closed"),
            Self::Callers(callers) => write!(f, "closed, except to {}", callers.join(" and ")),
        }
    }
}

/// Whether a request's bearer token is looked at.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum TokenUse {
    /// It is: it must be valid, and name the tenant that the header or the host names.
    #[default]
    Verify,
    /// It is not: header and host name the tenant. For logins, to which browsers attach a token that
    /// has expired.
    Ignore,
}

/// The origin of a rule, in ascending order of precedence.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Origin {
    /// `modules.api_endpoints`.
    Catalogue,
    /// A file, at this line (of TOML: where the rule begins).
    File(usize),
    /// The command line.
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Catalogue => f.write_str("catalogue"),
            Self::File(line) => write!(f, "line {line}"),
            Self::Flag => f.write_str("command line"),
        }
    }
}

impl Origin {
    /// The precedence among rules with equal paths: lines of a file rank equally.
    fn rank(self) -> u8 {
        match self {
            Self::Catalogue => 0,
            Self::File(_) => 1,
            Self::Flag => 2,
        }
    }
}

/// What requests for some paths need.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The paths.
    pub path: PathTemplate,
    /// The methods, in capitals; empty: all.
    pub methods: Vec<String>,
    /// What they need.
    pub access: Access,
    /// The key of a feature that one of the modules must have on as well. Only where modules are
    /// named.
    pub feature: Option<Box<str>>,
    /// The tenant must be verified: by a token, or by the caller's certificate.
    pub verified: bool,
    /// Whether the bearer token is looked at.
    pub token: TokenUse,
    /// False: a request that would be refused passes, and is marked with the reason.
    pub enforce: bool,
    /// Where it comes from.
    pub origin: Origin,
}

impl Rule {
    /// An enforced rule for all methods.
    pub fn new(path: PathTemplate, access: Access, origin: Origin) -> Self {
        Self {
            path,
            methods: Vec::new(),
            access,
            feature: None,
            verified: false,
            token: TokenUse::Verify,
            enforce: true,
            origin,
        }
    }

    /// Is it open to proxies of some names?
    pub fn names_callers(&self) -> bool {
        matches!(&self.access, Access::Callers(callers) if !callers.is_empty())
    }

    /// The modules that it names.
    pub fn modules(&self) -> &[ModuleCode] {
        match &self.access {
            Access::AnyOf(modules) => modules,
            _ => &[],
        }
    }

    /// The modules of this rule that a catalogue lacks.
    pub fn unknown_modules(&self, catalogue: &Catalogue) -> Vec<&ModuleCode> {
        self.modules().iter().filter(|module| catalogue.module(module.as_str()).is_none()).collect()
    }

    /// The modules of this rule for which a catalogue does not define its feature. Only flags of
    /// single tenants can switch it on there.
    pub fn modules_without_feature(&self, catalogue: &Catalogue) -> Vec<&ModuleCode> {
        let (Access::AnyOf(modules), Some(key)) = (&self.access, self.feature.as_deref()) else {
            return Vec::new();
        };
        let lacks = |module: &&ModuleCode| {
            let known = catalogue.module(module.as_str());
            known.is_some_and(|module| {
                catalogue.definitions().feature(module.code.as_str(), key).is_none()
            })
        };
        modules.iter().filter(lacks).collect()
    }

    /// What it asks for, in words: `finance, with the feature multi_currency`.
    pub fn needs(&self) -> String {
        match &self.feature {
            None => self.access.to_string(),
            Some(key) => format!("{}, with the feature {key}", self.access),
        }
    }

    /// Do two rules have equal requirements?
    fn demands_as(&self, other: &Self) -> bool {
        self.access == other.access
            && self.feature == other.feature
            && self.verified == other.verified
            && self.token == other.token
            && self.enforce == other.enforce
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let methods = if self.methods.is_empty() { "*".to_owned() } else { self.methods.join("|") };
        write!(f, "{methods} {} ({}; {})", self.path, self.needs(), self.origin)
    }
}
