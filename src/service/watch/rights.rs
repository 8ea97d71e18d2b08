//! What a watcher may receive, according to the current callers' file.

use std::{collections::HashSet, sync::Arc};

use tokio::sync::watch;

use super::WatchMessage;
use crate::{
    domain::TenantId,
    security::callers::{Caller, CallerService},
    service::{
        Api,
        caller::{CallerGate, CallerIdentity, Credentials, NotAdmitted},
    },
};

/// The rights of a watcher. A stream may outlast its caller's rights.
pub(super) struct WatcherRights {
    gate: CallerGate,
    credentials: Credentials,
    caller: Option<Arc<Caller>>,
    changes: watch::Receiver<()>,
}

impl WatcherRights {
    /// For a caller that showed these credentials, and was admitted.
    pub(super) fn new(gate: &CallerGate, credentials: Credentials) -> Result<Self, NotAdmitted> {
        // Subscribed first, so that no change is missed.
        let changes = gate.changes();
        let caller = gate.known_by(&credentials, CallerService::Entitlement)?;
        Ok(Self { gate: gate.clone(), credentials, caller, changes })
    }

    /// The caller as it is now.
    pub(super) fn identity(&self) -> CallerIdentity<'_> {
        CallerIdentity::new(self.caller.as_deref(), None)
    }

    /// Waits until the callers' file has changed. The caller must then call [`Self::look_again`].
    pub(super) async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            // The gate is held here, and so is its sender.
            std::future::pending::<()>().await;
        }
        self.changes.mark_changed();
    }

    /// If the file has changed, checks whether the caller may still watch these tenants.
    pub(super) fn look_again(
        &mut self,
        api: &Api,
        wanted: &HashSet<TenantId>,
    ) -> Result<(), NotAdmitted> {
        if !self.changes.has_changed().unwrap_or(false) {
            return Ok(());
        }
        self.changes.mark_unchanged();
        let caller = self.gate.known_by(&self.credentials, CallerService::Entitlement);
        self.caller = caller.map_err(|refused| api.counted(refused))?;
        api.permit_watch(self.identity(), wanted)
    }

    /// May the watcher receive this message? It receives nothing about modules that it may not ask
    /// about.
    pub(super) fn may_hear(&self, told: &WatchMessage) -> bool {
        match told {
            WatchMessage::Transition { module, .. } => self.identity().may_ask_of(module.as_str()),
            WatchMessage::Opened { .. }
            | WatchMessage::Tenant { .. }
            | WatchMessage::Catalogue { .. }
            | WatchMessage::Reset
            | WatchMessage::Heartbeat { .. }
            | WatchMessage::Ending => true,
        }
    }
}
