//! The rights of whoever has opened a stream, which may outlast them.

use std::sync::Arc;

use tokio::sync::watch;

use super::{
    Api,
    caller::{CallerGate, CallerIdentity, Credentials, NotAdmitted},
};
use crate::security::callers::{Caller, CallerService};

/// Who has opened a stream, by the current callers' file.
pub(super) struct StreamRights {
    gate: CallerGate,
    credentials: Credentials,
    service: CallerService,
    caller: Option<Arc<Caller>>,
    changes: watch::Receiver<()>,
}

impl StreamRights {
    /// For a caller of a service that showed these credentials, and was admitted.
    pub(super) fn new(
        gate: &CallerGate,
        credentials: Credentials,
        service: CallerService,
    ) -> Result<Self, NotAdmitted> {
        // Subscribed first, so that no change is missed.
        let changes = gate.changes();
        let caller = gate.known_by(&credentials, service)?;
        Ok(Self { gate: gate.clone(), credentials, service, caller, changes })
    }

    /// The caller as it is now.
    pub(super) fn identity(&self) -> CallerIdentity<'_> {
        CallerIdentity::new(self.caller.as_deref(), None)
    }

    /// Waits until the callers' file has changed. The caller must then be looked for again.
    pub(super) async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            // The gate is held here, and so is its sender.
            std::future::pending::<()>().await;
        }
        self.changes.mark_changed();
    }

    /// If the file has changed, looks for the caller again. Has it?
    pub(super) fn look_again(&mut self, api: &Api) -> Result<bool, NotAdmitted> {
        if !self.changes.has_changed().unwrap_or(false) {
            return Ok(false);
        }
        self.changes.mark_unchanged();
        let caller = self.gate.known_by(&self.credentials, self.service);
        self.caller = caller.map_err(|refused| api.counted(refused))?;
        Ok(true)
    }
}
