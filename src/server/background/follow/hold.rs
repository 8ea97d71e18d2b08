//! Holding every tenant.

use std::{collections::HashSet, convert::Infallible, time::Duration};

use futures_util::{StreamExt, stream};
use tokio::time::{sleep, timeout};

use super::Follow;
use crate::{
    config::Hold,
    domain::TenantId,
    server::jittered,
    store::{LoadTenant, StoreError, TenantKey},
};

/// Tenants that are asked for at the same time: as many as the upstream is asked for at once.
const AT_ONCE: usize = 800;
/// Between two attempts at what could not be read: first, and last.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_mins(1)];
/// How long the keys of all tenants may take, over a slow link.
const LIST_PATIENCE: Duration = Duration::from_mins(1);

/// What is to be read.
#[derive(Debug)]
pub(super) enum Wanted {
    /// Every tenant that is not known to be as it is held.
    All,
    /// These.
    Some(HashSet<TenantId>),
}

impl Default for Wanted {
    fn default() -> Self {
        Self::Some(HashSet::new())
    }
}

impl Follow<'_> {
    /// This is to be read, where every tenant is held.
    pub(super) fn want(&self, more: Wanted) {
        let is_nothing = matches!(&more, Wanted::Some(ids) if ids.is_empty());
        if is_nothing || self.hold != Hold::All {
            return;
        }
        let mut wanted = self.wanted.lock();
        match (&mut *wanted, more) {
            (Wanted::Some(ids), Wanted::Some(more)) => ids.extend(more),
            (Wanted::All, _) => {}
            (wanted, Wanted::All) => *wanted = Wanted::All,
        }
        self.wants.notify_one();
    }

    /// Reads what is wanted, and never returns.
    pub(super) async fn hold_all(&self) -> Infallible {
        let [shortest, longest] = PAUSES;
        let mut pause = shortest;
        loop {
            self.wants.notified().await;
            let wanted = std::mem::take(&mut *self.wanted.lock());
            let is_all = matches!(wanted, Wanted::All);
            let ids = match wanted {
                Wanted::Some(ids) => ids.into_iter().collect(),
                Wanted::All => match self.every_tenant().await {
                    Ok(ids) => ids,
                    Err(error) => {
                        tracing::info!(%error, "the tenants cannot be listed yet: {error}");
                        self.want(Wanted::All);
                        Vec::new()
                    }
                },
            };
            let read = ids.len();
            let failed = self.read(ids).await;
            if is_all && read > 0 {
                tracing::info!(read, failed = failed.len(), "{read} tenants were looked through");
            }
            // One that cannot be read is no reason to read the others again.
            let has_failed = !failed.is_empty() || (is_all && read == 0);
            self.want(Wanted::Some(failed));
            sleep(jittered(pause)).await;
            pause = if has_failed { (pause * 2).min(longest) } else { shortest };
        }
    }

    /// The tenants that there are, as far as there is room for them.
    async fn every_tenant(&self) -> Result<Vec<TenantId>, StoreError> {
        let keys = timeout(LIST_PATIENCE, self.upstream.load_keys()).await;
        let keys = keys.unwrap_or(Err(StoreError::TimedOut))?.value;
        let ids = keys.into_iter().filter_map(|key| match key {
            TenantKey::Id(id) => Some(id),
            TenantKey::Subdomain(_) => None,
        });
        let mut ids: Vec<_> = ids.collect();
        let (tenants, capacity) = (ids.len(), self.api.cache.settings().capacity);
        if tenants > capacity {
            tracing::warn!(
                tenants,
                capacity,
                "there are {tenants} tenants, and --cache-capacity is {capacity}: not all are held"
            );
            ids.truncate(capacity);
        }
        Ok(ids)
    }

    /// Reads tenants, and gives those that could not be read.
    async fn read(&self, ids: Vec<TenantId>) -> HashSet<TenantId> {
        let cache = &self.api.cache;
        let failed = stream::iter(ids)
            .map(async |id| cache.hold(id, self.api.clock.now()).await.is_err().then_some(id))
            .buffer_unordered(AT_ONCE)
            .filter_map(async |failed| failed);
        failed.collect().await
    }
}
