//! Holding every tenant.

use std::{convert::Infallible, time::Duration};

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::sleep;

use super::Follow;
use crate::{cache::LoadError, server::jittered, store::TenantKey};

/// Tenants that are asked for at the same time: as many as the upstream is asked for at once.
const AT_ONCE: usize = 800;
/// Between two times that all tenants are looked through, at least; and after one that has failed.
const PAUSE: Duration = Duration::from_secs(1);

impl Follow<'_> {
    /// Looks through all tenants whenever there may be others, or what is held may not be so, and
    /// never returns.
    pub(super) async fn hold_all(&self) -> Infallible {
        loop {
            self.sweep.notified().await;
            while let Err(error) = self.look_through().await {
                tracing::debug!(%error, "not all tenants could be read: {error}");
                sleep(jittered(PAUSE)).await;
            }
            sleep(jittered(PAUSE)).await;
        }
    }

    /// Reads what is not held, or not known to be so.
    async fn look_through(&self) -> Result<(), LoadError> {
        let cache = &self.api.cache;
        let keys = cache.tenant_keys().await?;
        let ids = keys.into_iter().filter_map(|key| match key {
            TenantKey::Id(id) => Some(id),
            TenantKey::Subdomain(_) => None,
        });
        let ids: Vec<_> = ids.collect();
        let (tenants, capacity) = (ids.len(), cache.settings().capacity);
        if tenants > capacity {
            tracing::warn!(
                tenants,
                capacity,
                "there are {tenants} tenants, and --cache-capacity is {capacity}: not all are held"
            );
        }
        stream::iter(ids.into_iter().take(capacity))
            .map(|id| cache.hold(id, self.api.clock.now()))
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }
}
