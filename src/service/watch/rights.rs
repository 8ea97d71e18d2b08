//! What a watcher may receive, according to the current callers' file.

use std::collections::HashSet;

use super::WatchMessage;
use crate::{
    domain::TenantId,
    security::callers::CallerService,
    service::{
        Api,
        caller::{CallerGate, CallerIdentity, Credentials, NotAdmitted},
        stream_rights::StreamRights,
    },
};

/// The rights of a watcher.
pub(super) struct WatcherRights(StreamRights);

impl WatcherRights {
    /// For a caller that showed these credentials, and was admitted.
    pub(super) fn new(gate: &CallerGate, credentials: Credentials) -> Result<Self, NotAdmitted> {
        StreamRights::new(gate, credentials, CallerService::Entitlement).map(Self)
    }

    /// The caller as it is now.
    pub(super) fn identity(&self) -> CallerIdentity<'_> {
        self.0.identity()
    }

    /// Waits until the callers' file has changed. The caller must then call [`Self::look_again`].
    pub(super) async fn changed(&mut self) {
        self.0.changed().await;
    }

    /// If the file has changed, checks whether the caller may still watch these tenants.
    pub(super) fn look_again(
        &mut self,
        api: &Api,
        wanted: &HashSet<TenantId>,
    ) -> Result<(), NotAdmitted> {
        if self.0.look_again(api)? {
            api.permit_watch(self.identity(), wanted)?;
        }
        Ok(())
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
