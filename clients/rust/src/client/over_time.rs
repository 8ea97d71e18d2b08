//! What was used already, and what was used over time.

use std::{sync::Arc, time::Duration};

use tokio::{runtime::Handle, time::timeout};
use tonic::Status;
use uuid::Uuid;

use super::Entitlements;
use crate::{
    Error, Lease, LeasedUsage, UsageCounters, UsageEvent, UsageHistory, UsageOutcome, UsageQuery,
    usage::persist,
};

impl Entitlements {
    /// Writes down what was used, each key once, whatever the limit. Any number of events, of
    /// whichever tenants; what became of each is told in their order, after the commit. What is wrong
    /// with one is no matter of the others.
    ///
    /// They go in messages of up to 500, one after the other. Where an answer is lost the library
    /// sends the message again, twice at most within its deadline: keys make that safe.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] in an outage: some may have been counted, so record all of them again.
    /// [`Error::Refused`] with UNIMPLEMENTED from a server that is older than usage over time, and for
    /// a caller that may not count at all.
    pub async fn record(
        &self,
        events: impl IntoIterator<Item = UsageEvent>,
    ) -> Result<Vec<UsageOutcome>, Error> {
        // Whatever the iterator is, nothing of it is held while a message is on its way.
        let events: Vec<UsageEvent> = events.into_iter().collect();
        self.core.record(events).await
    }

    /// Adds up what is used in this process, and sends the sums at this interval: 5 s, say. Make one for
    /// a process, and close it at the end.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with FAILED_PRECONDITION where there is no tokio runtime.
    pub fn counters(&self, interval: Duration) -> Result<UsageCounters, Error> {
        Ok(UsageCounters::start(Arc::clone(&self.core), runtime()?, interval))
    }

    /// Takes of this tenant's limit from slices that are held in this process, so that most takes ask
    /// nobody, and none goes beyond the limit. The first slice is asked for with the first take.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with FAILED_PRECONDITION where there is no tokio runtime.
    pub fn leased(&self, tenant: Uuid, lease: Lease) -> Result<LeasedUsage, Error> {
        Ok(LeasedUsage::new(Arc::clone(&self.core), runtime()?, tenant, lease))
    }

    /// Records what was allowed in an outage by a meter's [`UsageOutage`](crate::UsageOutage), for that
    /// long at most: at the end of a process. While it runs that is done in the background.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] if the server did not answer in time, and [`Error::Refused`] for a caller
    /// that may not count. What was not recorded waits, and is tried again while the process runs.
    pub async fn record_allowed(&self, within: Duration) -> Result<(), Error> {
        let late = |_| Err(Status::deadline_exceeded("not all of it was recorded").into());
        timeout(within, persist(|| self.core.record_allowed())).await.unwrap_or_else(late)
    }

    /// What was used of a monthly meter over time: reserved, leased and spent, recorded and added up.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] in an outage; [`Error::Refused`] with INVALID_ARGUMENT, also for more
    /// than 10 000 spans, with FAILED_PRECONDITION for a level, which has no history, with UNIMPLEMENTED
    /// from a server that is older than usage over time, and for a caller that may not ask about it.
    pub async fn query_usage(
        &self,
        tenant: Uuid,
        query: UsageQuery,
    ) -> Result<UsageHistory, Error> {
        self.core.query_usage(tenant, query).await
    }
}

/// Where what goes on in the background runs.
pub(super) fn runtime() -> Result<Handle, Error> {
    Handle::try_current().map_err(|_| {
        let message = "it goes on in the background, and there is no tokio runtime";
        Error::Refused(Status::failed_precondition(message))
    })
}
