//! What somebody who watches may hear, as the callers' file says at the moment.

use std::{collections::HashSet, sync::Arc};

use tokio::sync::watch;

use super::WatchMessage;
use crate::{
    domain::TenantId,
    security::callers::Caller,
    service::{
        Api,
        caller::{CallerGate, CallerIdentity, Credentials, NotAdmitted},
    },
};

/// Who watches. A stream may outlast what its caller may do.
pub(super) struct WatcherRights {
    gate: CallerGate,
    credentials: Credentials,
    caller: Option<Arc<Caller>>,
    changes: watch::Receiver<()>,
}

impl WatcherRights {
    /// Of somebody who has shown this, and was let in.
    pub(super) fn new(gate: &CallerGate, credentials: Credentials) -> Result<Self, NotAdmitted> {
        // Watched first, so that no change is missed.
        let changes = gate.changes();
        let caller = gate.known_by(&credentials)?;
        Ok(Self { gate: gate.clone(), credentials, caller, changes })
    }

    /// Who it is now.
    pub(super) fn identity(&self) -> CallerIdentity<'_> {
        CallerIdentity::new(self.caller.as_deref())
    }

    /// Waits until the callers' file has changed. It has then yet to be looked at again.
    pub(super) async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            // The gate is here, and so is its sender.
            std::future::pending::<()>().await;
        }
        self.changes.mark_changed();
    }

    /// Finds out, where the file has changed, whether whoever watches these tenants still may.
    pub(super) fn look_again(
        &mut self,
        api: &Api,
        wanted: &HashSet<TenantId>,
    ) -> Result<(), NotAdmitted> {
        if !self.changes.has_changed().unwrap_or(false) {
            return Ok(());
        }
        self.changes.mark_unchanged();
        self.caller =
            self.gate.known_by(&self.credentials).map_err(|refused| api.counted(refused))?;
        api.permit_watch(self.identity(), wanted)
    }

    /// Is it for this watcher? Of modules that it may not ask about it hears nothing.
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
