//! Keeping usage in order: the log of the ERP's transactions is counted, days are reported, what is not
//! needed any more is forgotten, and counters are proven.

use std::{collections::BTreeSet, sync::atomic::Ordering, time::Duration};

use chrono_tz::Tz;
use tokio::time::{sleep, timeout};

use super::{PATIENCE, Usage};
use crate::{
    domain::Catalogue,
    store::{
        StoreError,
        usage::{Reported, ReportedDay, WrongCounter},
    },
};

/// How long some days may take to be reported, one by one where that is needed.
const REPORT_PATIENCE: Duration = Duration::from_mins(1);

/// Meters that are passed over at a time while the log is counted.
const MAX_BUSY: usize = 1_000;

/// The pause between two statements that forget.
const BETWEEN_STEPS: Duration = Duration::from_millis(100);

impl Usage {
    /// Does something wait that the ERP's own transactions have logged?
    pub async fn has_log(&self) -> Result<bool, StoreError> {
        self.0.store.has_usage_log().await
    }

    /// Counts what the ERP's own transactions have logged, but for what counts with a meter that
    /// somebody else has locked: that waits for the next time. `zone` is that of the servers.
    pub async fn fold_log(&self, catalogue: &Catalogue, zone: Tz) -> Result<(), StoreError> {
        let (inner, mut busy) = (&self.0, BTreeSet::new());
        loop {
            let folding = inner.store.fold_usage_log(catalogue, &busy, zone, inner.clock.now());
            let folded = timeout(PATIENCE, folding).await.unwrap_or(Err(StoreError::TimedOut))?;
            if folded.refused > 0 {
                let count = folded.refused;
                tracing::warn!(
                    count,
                    "what entitlement_count has logged cannot be counted: see entitlement_usage_log.refused"
                );
            }
            if !folded.has_more || busy.len() > MAX_BUSY {
                return Ok(());
            }
            busy.extend(folded.locked);
        }
    }

    /// Writes the days that have changed where the ERP's reports read them. `zone` is that of the servers.
    pub async fn report(&self, zone: Tz) -> Result<(), StoreError> {
        let mut last: Option<ReportedDay> = None;
        loop {
            let reporting = self.0.store.report_usage(last.as_ref(), zone);
            let Reported { last: next, refused, error } =
                timeout(REPORT_PATIENCE, reporting).await.unwrap_or(Err(StoreError::TimedOut))?;
            if let Some(error) = error {
                tracing::warn!(%error, refused, "usage_metrics does not take some days: {error}");
            }
            if next.is_none() {
                return Ok(());
            }
            last = next;
            // Others have work to do as well.
            sleep(BETWEEN_STEPS).await;
        }
    }

    /// Forgets what is not needed any more, and proves that every counter is the sum of its keys.
    pub async fn keep(&self) -> Result<(), StoreError> {
        let inner = &self.0;
        if let Err(error) = self.forget().await {
            tracing::warn!(%error, "usage that is not needed any more was not forgotten: {error}");
        }
        let wrong = inner.store.verify_usage(inner.clock.now()).await?;
        inner.wrong.store(wrong.len(), Ordering::Relaxed);
        if let Some(WrongCounter { tenant, meter, period, .. }) = wrong.first() {
            tracing::error!(
                count = wrong.len(),
                %tenant,
                meter,
                period,
                "usage counters are not the sums of their keys: run `entitlementd usage verify`"
            );
        }
        Ok(())
    }

    async fn forget(&self) -> Result<(), StoreError> {
        let inner = &self.0;
        while inner.store.forget_usage_keys(inner.clock.now()).await? {
            // Others have work to do as well.
            sleep(BETWEEN_STEPS).await;
        }
        while inner.store.forget_usage_of_nobody().await? {
            sleep(BETWEEN_STEPS).await;
        }
        Ok(())
    }

    /// How many counters were not the sums of their keys when that was last looked at: must be 0.
    pub fn wrong(&self) -> usize {
        self.0.wrong.load(Ordering::Relaxed)
    }
}
