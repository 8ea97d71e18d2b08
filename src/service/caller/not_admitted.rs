//! Why a caller may not ask, and how refusals are counted.

use std::time::Duration;

use crate::observability::metrics::label;

/// Why a caller may not ask.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NotAdmitted {
    /// Neither certificate nor token belongs to a known caller.
    Unknown,
    /// This caller may not use the service, or may not ask about the tenant, the module, or all
    /// tenants.
    NotAllowed(Scope),
    /// Too many requests: how long to wait.
    TooMany(Duration),
}

/// What a caller is not allowed to use or ask about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scope {
    /// This service.
    Service,
    /// This tenant.
    Tenant,
    /// This module.
    Module,
    /// All tenants.
    Enumeration,
    /// This meter.
    Meter,
}

label! {
    /// The kinds of refusals that are counted.
    pub(crate) enum NotAdmittedKind {
        /// The caller is not known.
        Unknown => "unknown",
        /// Too many requests.
        Rate => "rate",
        /// Not one of the caller's services.
        Service => "service",
        /// Not one of its tenants.
        Tenant => "tenant",
        /// Not one of its modules.
        Module => "module",
        /// It may not ask about all tenants.
        Enumeration => "enumeration",
        /// Not one of its meters.
        Meter => "meter",
    }
}

impl NotAdmitted {
    pub(super) fn kind(self) -> NotAdmittedKind {
        match self {
            Self::Unknown => NotAdmittedKind::Unknown,
            Self::TooMany(_) => NotAdmittedKind::Rate,
            Self::NotAllowed(Scope::Service) => NotAdmittedKind::Service,
            Self::NotAllowed(Scope::Tenant) => NotAdmittedKind::Tenant,
            Self::NotAllowed(Scope::Module) => NotAdmittedKind::Module,
            Self::NotAllowed(Scope::Enumeration) => NotAdmittedKind::Enumeration,
            Self::NotAllowed(Scope::Meter) => NotAdmittedKind::Meter,
        }
    }
}
