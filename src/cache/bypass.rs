//! Reading past the cache.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tracing::Instrument;

use super::{Cache, Known, LoadError, fair_limiter::Requester, load::span};
use crate::{
    domain::TenantId,
    store::{LoadTenant, Source, StoreError, TenantKey},
};

impl<L: LoadTenant> Cache<L> {
    /// What the database holds now, whatever the cache holds, for somebody who wants this revision.
    pub async fn read_bypassing(
        &self,
        id: TenantId,
        revision: u64,
        requester: Requester,
        now: DateTime<Utc>,
    ) -> Result<Known, LoadError> {
        let inner = Arc::clone(&self.0);
        // A load of its own: one that is under way may have begun before the write that the caller
        // wants to see.
        let known = self.take_bypass_turn(requester, async move {
            let (key, sent) = (TenantKey::Id(id), inner.send(now));
            let source = Source::AtLeast(revision);
            let read = inner.read(std::slice::from_ref(&key), source, now).await?;
            let (sent, is_ahead) = (sent.answered(&read), read.is_ahead);
            let loaded = read.value.into_iter().next().transpose();
            let loaded = loaded.inspect_err(|error| inner.failed(error))?;
            // What is ahead of the changes that are received is not kept: none of them would end it if a
            // failover loses it.
            let keep = |loaded| {
                if is_ahead { Known::of(loaded) } else { inner.put_in_place(&key, loaded, sent) }
            };
            Ok(loaded.map(keep))
        });
        // One was asked for, so there is one.
        known.await?.ok_or(LoadError::Abandoned)
    }

    /// Runs a read that bypasses the cache: only a few at a time, so that connections are left to
    /// the loads, and with a timeout.
    pub async fn bypass<T: Send + 'static>(
        &self,
        requester: Requester,
        reading: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, LoadError> {
        let inner = Arc::clone(&self.0);
        self.take_bypass_turn(requester, async move { inner.in_time(reading).await }).await
    }

    /// Runs a read that has its own timeout when it is its turn.
    async fn take_bypass_turn<T: Send + 'static>(
        &self,
        requester: Requester,
        reading: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, LoadError> {
        let inner = Arc::clone(&self.0);
        let reading = async move {
            let _turn =
                inner.bypass.take(requester).await.inspect_err(|_| inner.tally.overloads.add())?;
            let read = reading.await;
            // A read that fails may have been too large by itself: the breaker follows what loads
            // find.
            if read.is_ok() {
                inner.breaker.close();
            }
            Ok(read?)
        };
        self.0.runtime.spawn(reading.instrument(span())).await.unwrap_or(Err(LoadError::Abandoned))
    }
}
