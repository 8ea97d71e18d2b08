//! What the caller of a request may ask about.

use std::{collections::HashSet, sync::Arc};

use http::{Extensions, HeaderMap};

use super::{NotAdmitted, Scope};
use crate::{
    cache::Requester,
    domain::{Catalogue, CountableModules, TenantId},
    observability::log_limiter::{LogLimiter, log_limited},
    security::callers::{Caller, CallerService},
    service::{
        Api,
        request_id::{REQUEST_ID, is_request_id},
        trace::{TRACEPARENT, trace_id},
    },
};

/// The caller, and so what it may ask about, and which of its requests this is.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::service) struct CallerIdentity<'a> {
    caller: Option<&'a Caller>,
    headers: Option<&'a HeaderMap>,
}

impl<'a> CallerIdentity<'a> {
    /// A caller, and the headers of its request.
    pub(in crate::service) fn new(
        caller: Option<&'a Caller>,
        headers: Option<&'a HeaderMap>,
    ) -> Self {
        Self { caller, headers }
    }

    /// The caller of a request of gRPC. The front has put it there.
    pub(in crate::service) fn of(extensions: &'a Extensions, headers: &'a HeaderMap) -> Self {
        Self::new(extensions.get().map(|caller: &Arc<Caller>| &**caller), Some(headers))
    }

    /// The id of the request, if it has one that is suitable for a log.
    pub(in crate::service) fn request_id(self) -> Option<&'a str> {
        self.headers?.get(REQUEST_ID)?.to_str().ok().filter(|id| is_request_id(id))
    }

    /// The id of the trace that the request belongs to.
    pub(in crate::service) fn trace_id(self) -> Option<&'a str> {
        trace_id(self.headers?.get(TRACEPARENT)?.as_bytes())
    }

    /// The tenants that it may ask about; `None`: all.
    pub(in crate::service) fn tenants(self) -> Option<&'a HashSet<TenantId>> {
        self.caller.and_then(Caller::tenants)
    }

    /// May it ask about this tenant?
    pub(in crate::service) fn may_ask_about(self, tenant: TenantId) -> bool {
        self.caller.is_none_or(|caller| caller.may_ask_about(tenant))
    }

    /// May it ask about this module? Other modules are left out of lists.
    pub(in crate::service) fn may_ask_of(self, module: &str) -> bool {
        self.caller.is_none_or(|caller| caller.may_ask_of(module))
    }

    /// What it may ask about, ordered by code; `None`: all modules.
    pub(in crate::service) fn modules(self) -> Option<Vec<&'a str>> {
        self.caller?.modules()
    }

    /// Whose turn a read that bypasses the cache takes. Callers without names share one.
    pub(in crate::service) fn requester(self) -> Requester {
        Requester::called(self.name())
    }

    /// May it take back what was recorded?
    pub(in crate::service) fn may_correct(self) -> bool {
        self.caller.is_none_or(|caller| caller.may_use(CallerService::UsageCorrections))
    }

    /// May it count this tenant's use with this meter, for this module?
    pub(in crate::service) fn may_count(self, tenant: TenantId, meter: &str, module: &str) -> bool {
        self.caller.is_none_or(|caller| {
            caller.may_ask_about(tenant)
                && caller.may_count(meter)
                && (module.is_empty() || caller.may_ask_of(module))
        })
    }

    /// The modules for which it may count, as this catalogue knows them; `None`: all.
    pub(in crate::service) fn countable(
        self,
        catalogue: &Catalogue,
    ) -> Option<Arc<CountableModules>> {
        Some(CountableModules::new(self.modules()?, catalogue).into())
    }

    /// The caller's name; empty if callers have no names.
    pub(in crate::service) fn name(self) -> &'a str {
        self.caller.map_or("", |caller| caller.name.as_str())
    }
}

static NOT_ALLOWED: LogLimiter = LogLimiter::new();

impl Api {
    /// Refuses a question about a tenant that the caller may not ask about. `None`: the tenant is
    /// not known, or there is none.
    pub(in crate::service) fn permit_tenant(
        &self,
        caller: CallerIdentity<'_>,
        tenant: Option<TenantId>,
    ) -> Result<(), NotAdmitted> {
        let may = |caller: &Caller| {
            tenant.map_or(caller.may_ask_about_all(), |tenant| caller.may_ask_about(tenant))
        };
        self.permit_if(caller, may, Scope::Tenant)
    }

    /// Refuses a question about all tenants, if the caller may not ask about all.
    pub(in crate::service) fn permit_enumeration(
        &self,
        caller: CallerIdentity<'_>,
    ) -> Result<(), NotAdmitted> {
        self.permit_if(caller, Caller::may_ask_about_all, Scope::Enumeration)
    }

    /// Refuses a question about modules that the caller may not ask about.
    pub(in crate::service) fn permit_modules<'m>(
        &self,
        caller: CallerIdentity<'_>,
        mut modules: impl Iterator<Item = &'m str>,
    ) -> Result<(), NotAdmitted> {
        self.permit_if(
            caller,
            |caller| modules.all(|module| caller.may_ask_of(module)),
            Scope::Module,
        )
    }

    /// Refuses a question about all modules together, if the caller may not ask about all.
    pub(in crate::service) fn permit_all_modules(
        &self,
        caller: CallerIdentity<'_>,
    ) -> Result<(), NotAdmitted> {
        self.permit_if(caller, Caller::may_ask_of_all_modules, Scope::Module)
    }

    /// Refuses to count with a meter that the caller may not count with.
    pub(in crate::service) fn permit_meter(
        &self,
        caller: CallerIdentity<'_>,
        meter: &str,
    ) -> Result<(), NotAdmitted> {
        self.permit_if(caller, |caller| caller.may_count(meter), Scope::Meter)
    }

    /// Refuses to touch what was counted for a module that the caller may not count for.
    pub(in crate::service) fn refused_module(&self, caller: CallerIdentity<'_>) -> NotAdmitted {
        self.refused(caller.name(), Scope::Module)
    }

    fn permit_if(
        &self,
        CallerIdentity { caller, .. }: CallerIdentity<'_>,
        may: impl FnOnce(&Caller) -> bool,
        scope: Scope,
    ) -> Result<(), NotAdmitted> {
        let Some(caller) = caller.filter(|caller| !may(caller)) else { return Ok(()) };
        Err(self.refused(caller.name.as_str(), scope))
    }

    fn refused(&self, name: &str, scope: Scope) -> NotAdmitted {
        log_limited!(NOT_ALLOWED, info, caller = %name, ?scope, "{name} asked for what it may not: {scope:?}");
        self.counted(NotAdmitted::NotAllowed(scope))
    }

    /// Counts a refusal.
    pub(in crate::service) fn counted(&self, refused: NotAdmitted) -> NotAdmitted {
        self.metrics.caller_refusals.add(refused.kind());
        refused
    }
}
