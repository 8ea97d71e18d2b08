//! What somebody who watches may hear, as the callers' file says at the moment.

use std::{collections::HashSet, sync::Arc};

use tokio::sync::watch;

use super::Told;
use crate::{
    domain::TenantId,
    security::callers::Caller,
    service::{
        Api,
        asker::{Asker, CallerGate, NotAdmitted, Shown},
    },
};

/// Who watches. A stream may outlast what its caller may do.
pub(super) struct Standing {
    gate: CallerGate,
    shown: Shown,
    caller: Option<Arc<Caller>>,
    changes: watch::Receiver<()>,
}

impl Standing {
    /// Of somebody who has shown this, and was let in.
    pub(super) fn new(gate: &CallerGate, shown: Shown) -> Result<Self, NotAdmitted> {
        // Watched first, so that no change is missed.
        let changes = gate.changes();
        let caller = gate.known_by(&shown)?;
        Ok(Self { gate: gate.clone(), shown, caller, changes })
    }

    /// Who it is now.
    pub(super) fn asker(&self) -> Asker<'_> {
        Asker::new(self.caller.as_deref())
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
    pub(super) fn look_again(&mut self, api: &Api, wanted: &HashSet<TenantId>) -> Result<(), NotAdmitted> {
        if !self.changes.has_changed().unwrap_or(false) {
            return Ok(());
        }
        self.changes.mark_unchanged();
        self.caller = self.gate.known_by(&self.shown).map_err(|refused| api.counted(refused))?;
        api.permit_watch(self.asker(), wanted)
    }

    /// Is it for this watcher? Of modules that it may not ask about it hears nothing.
    pub(super) fn may_hear(&self, told: &Told) -> bool {
        match told {
            Told::Transition { module, .. } => self.asker().may_ask_of(module.as_str()),
            Told::Opened { .. }
            | Told::Tenant { .. }
            | Told::Catalogue { .. }
            | Told::Reset
            | Told::Heartbeat { .. }
            | Told::Ending => true,
        }
    }
}
