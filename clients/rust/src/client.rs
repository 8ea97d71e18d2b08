//! The client.

mod features;
mod over_time;
mod usage;

use std::sync::Arc;

use tokio::runtime::Handle;
use tonic::Status;
use uuid::Uuid;

use crate::{
    Answer, Authorized, Config, ConfigError, EnabledModule, Error, IssuedLease, LeaseRequest,
    Resolved, TenantStatus, ask::Credentials, clock::date, core::Core, held::Look, list::List,
    remote::Remote, watch::Watching,
};

/// Answers whether a tenant may use a module, mostly from its own memory. Cheap to clone: make one
/// for a process.
#[derive(Clone, Debug)]
pub struct Entitlements {
    core: Arc<Core>,
    watching: Arc<Watching>,
    min_revision: u64,
}

/// What a tenant may use.
#[derive(Clone, Debug)]
pub struct EnabledModules {
    /// The modules, in the order in which they are to be shown.
    pub modules: Vec<EnabledModule>,
    /// A tenant that is not served has no modules; this says why.
    pub tenant_status: TenantStatus,
    /// The revision of the facts that it rests on; 0: the server does not count.
    pub revision: u64,
    /// When those facts were read; `None` if it rests on none.
    pub as_of: Option<chrono::DateTime<chrono::Utc>>,
    /// Was it given without asking whether it still holds, because the server or its database was
    /// unreachable?
    pub stale: bool,
    /// Was it given by the outage rule?
    pub by_outage_rule: bool,
}

impl Entitlements {
    /// A client of the server that the configuration names. It connects on first use, and watches
    /// for changes from now on.
    ///
    /// # Errors
    ///
    /// If the configuration is unusable, or there is no tokio runtime. Not if the server is
    /// unreachable: the outage rule covers that.
    pub fn connect(config: Config) -> Result<Self, ConfigError> {
        Handle::try_current().map_err(|_| ConfigError::NoRuntime)?;
        let core = Core::new(
            Arc::new(Remote::new(&config)?),
            config.on_outage,
            config.capacity,
            config.clock.clone(),
        );
        let core = Arc::new(core.with_usage_outage(config.usage_outage));
        let watching =
            if config.watch { Watching::start(Arc::clone(&core)) } else { Watching::nobody(false) };
        Ok(Self::of(core, watching))
    }

    pub(crate) fn of(core: Arc<Core>, watching: Watching) -> Self {
        Self { core, watching: Arc::new(watching), min_revision: 0 }
    }

    /// Resolves once changes are being received: what is asked for from 4 s later on is good until it
    /// changes, and before that for a while. A service need not wait for this.
    pub async fn watching(&self) {
        self.watching.opened().await;
    }

    /// This client, but its answers about a tenant rest on this revision or a later one. To read
    /// your own write, read the tenant's revision after the commit. Older answers are asked for
    /// again, and the outage rule does not use them.
    #[must_use]
    pub fn at_least(&self, min_revision: u64) -> Self {
        Self { min_revision, ..self.clone() }
    }

    /// May this tenant use this module now?
    ///
    /// In an outage, the rule that the client was made with answers. A module or tenant that does
    /// not exist is denied.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] where the server refuses the question: an invalid module code, or a
    /// caller that may not ask.
    pub async fn check(&self, tenant: Uuid, module: &str) -> Result<Answer, Error> {
        if let Some(answer) = self.check_held(tenant, module) {
            return Ok(answer);
        }
        // Boxed, so that the future of an answer that is held stays small.
        Box::pin(self.core.check(tenant, module, self.min_revision)).await
    }

    /// The answer, if one is held. Never asks the server: for code that cannot wait.
    pub fn check_held(&self, tenant: Uuid, module: &str) -> Option<Answer> {
        match self.core.held.look(tenant, module, self.min_revision, self.core.clock.now()) {
            Look::Answer(answer) => {
                self.core.counters.modules.held.increment(1);
                Some(answer)
            }
            Look::AskWhy | Look::AskForList => None,
        }
    }

    /// Returns an error if the tenant may not use the module: for `?` in a handler.
    ///
    /// # Errors
    ///
    /// [`Error::Denied`] with the answer, and those of `check`.
    pub async fn require(&self, tenant: Uuid, module: &str) -> Result<(), Error> {
        let answer = self.check(tenant, module).await?;
        if answer.allowed { Ok(()) } else { Err(Error::Denied(answer)) }
    }

    /// May it use one of these? The answer for the first that it may use; if there is none, for the
    /// first of all.
    ///
    /// # Errors
    ///
    /// Those of [`check`](Self::check), and [`Error::Refused`] where no module is named.
    pub async fn check_any(
        &self,
        tenant: Uuid,
        modules: &[impl AsRef<str>],
    ) -> Result<Answer, Error> {
        let (first, others) = modules.split_first().ok_or_else(no_module)?;
        let first = self.check(tenant, first.as_ref()).await?;
        if first.allowed {
            return Ok(first);
        }
        for module in others {
            let answer = self.check(tenant, module.as_ref()).await?;
            if answer.allowed {
                return Ok(answer);
            }
        }
        Ok(first)
    }

    /// May it use all of these? The answer for the first that it may not use; if there is none, for
    /// the last of all.
    ///
    /// # Errors
    ///
    /// Those of [`check`](Self::check), and [`Error::Refused`] where no module is named.
    pub async fn check_all(
        &self,
        tenant: Uuid,
        modules: &[impl AsRef<str>],
    ) -> Result<Answer, Error> {
        let (last, others) = modules.split_last().ok_or_else(no_module)?;
        for module in others {
            let answer = self.check(tenant, module.as_ref()).await?;
            if !answer.allowed {
                return Ok(answer);
            }
        }
        self.check(tenant, last.as_ref()).await
    }

    /// What may this tenant use now?
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with NOT_FOUND if the tenant does not exist; [`Error::Unavailable`] in an
    /// outage, if the rule has no list to serve.
    pub async fn enabled_modules(&self, tenant: Uuid) -> Result<EnabledModules, Error> {
        let (list, by_outage_rule) = self.core.list(tenant, self.min_revision).await?;
        let List { rights: Some(_), status, told, .. } = &list else {
            return Err(Error::Refused(Status::not_found("there is no such tenant")));
        };
        Ok(EnabledModules {
            modules: list.enabled(self.core.clock.now()),
            tenant_status: *status,
            revision: told.revision,
            as_of: date(told.as_of),
            stale: told.stale || by_outage_rule,
            by_outage_rule,
        })
    }

    /// Which tenant does a request belong to?
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with INVALID_ARGUMENT, UNAUTHENTICATED, PERMISSION_DENIED or NOT_FOUND,
    /// as the server says; [`Error::Unavailable`] in an outage, if the answer is not held.
    pub async fn resolve(&self, credentials: Credentials<'_>) -> Result<Resolved, Error> {
        match self.core.resolved(credentials) {
            Ok(resolved) => Ok(resolved),
            Err(key) => Box::pin(self.core.resolve(key, credentials)).await,
        }
    }

    /// Which tenant does a request belong to, and may it use one of these modules? One round trip
    /// where nothing is held.
    ///
    /// # Errors
    ///
    /// Those of [`resolve`](Self::resolve) and [`check_any`](Self::check_any); a denial is none.
    pub async fn authorize(
        &self,
        credentials: Credentials<'_>,
        modules: &[impl AsRef<str>],
    ) -> Result<Authorized, Error> {
        let (resolved, answer) = Box::pin(self.core.authorize(credentials, modules)).await?;
        let answer = match answer.filter(|answer| answer.revision >= self.min_revision) {
            Some(answer) => answer,
            None => self.check_any(resolved.tenant.id, modules).await?,
        };
        Ok(Authorized { resolved, answer })
    }

    /// Has a lease signed: what the tenant may use, for a place without a connection, where a
    /// [`LeaseVerifier`](crate::LeaseVerifier) verifies it. It cannot be taken back.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] in an outage: no outage rule signs anything. [`Error::Refused`] with
    /// PERMISSION_DENIED or NOT_FOUND for a tenant that is not served, with INVALID_ARGUMENT, with
    /// FAILED_PRECONDITION from a server without keys, with UNIMPLEMENTED from one that is older than
    /// signed leases, and for a caller without the service `leases`.
    pub async fn issue_lease(
        &self,
        tenant: Uuid,
        wanted: LeaseRequest,
    ) -> Result<IssuedLease, Error> {
        self.core.issue_lease(tenant, wanted, self.min_revision).await
    }

    #[cfg(feature = "tower")]
    pub(crate) fn count_would_deny(&self) {
        self.core.counters.would_deny.increment(1);
    }

    /// Are changes to be received at all?
    #[cfg(feature = "open-feature")]
    pub(crate) fn watches(&self) -> bool {
        self.watching.is_meant_to()
    }

    /// Are changes received now?
    #[cfg(feature = "open-feature")]
    pub(crate) fn hears_changes(&self) -> bool {
        let stream = &self.core.held.stream;
        stream.is_trusted(self.core.clock.now())
    }

    /// The number of tenants that something is held about.
    pub fn held_tenants(&self) -> usize {
        self.core.held.tenants()
    }
}

fn no_module() -> Error {
    Error::Refused(Status::invalid_argument("no module is named"))
}
