//! Counting: always the server's. The rule of a meter may stand in for it, and what that has allowed
//! is recorded later.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tonic::Status;
use uuid::Uuid;

use super::{Core, is_unanswered};
use crate::{
    Error, IssuedLease, LeaseRequest,
    gate::Turn,
    usage::{
        Acquire, Granted, Message, Range, Reconciled, Reservation, Reserve, Settle, UsageEvent,
        UsageHistory, UsageOutcome, UsageQuery, first_of, ranges,
    },
};

impl Core {
    /// Takes so much. While the server is known not to answer, nobody waits for it.
    pub(crate) async fn reserve(
        self: &Arc<Self>,
        tenant: Uuid,
        wanted: Reserve,
    ) -> Result<Reservation, Error> {
        if self.allowed.allows(&wanted.meter) && self.is_outage_known() {
            self.probe_list(tenant, 0);
            let status = Status::unavailable("it did not answer a moment ago");
            return self.reserve_by_rule(tenant, wanted, status);
        }
        match self.take_turn() {
            Ok(()) => self.reserve_at_once(tenant, wanted).await,
            Err(status) if self.allowed.allows(&wanted.meter) => {
                self.reserve_by_rule(tenant, wanted, status)
            }
            Err(status) => Err(status.into()),
        }
    }

    /// While the server is known not to answer, nobody waits for it, and nothing is sent.
    fn take_turn(&self) -> Result<(), Status> {
        match self.gate.turn() {
            Turn::No => {
                Err(Status::unavailable("it did not answer a moment ago, and was not asked"))
            }
            // Never in the background: nobody would know that it was counted.
            Turn::Ask | Turn::Probe => Ok(()),
        }
    }

    /// Writes down what was used, one message after the other.
    pub(crate) async fn record(&self, events: Vec<UsageEvent>) -> Result<Vec<UsageOutcome>, Error> {
        let (mut left, mut outcomes) = (events.into_iter(), Vec::new());
        while left.len() > 0 {
            let message = Message { events: first_of(&mut left), producer: None };
            outcomes.extend(self.record_message(message).await?);
        }
        Ok(outcomes)
    }

    /// The same in one message.
    pub(crate) async fn record_message(
        &self,
        message: Message,
    ) -> Result<Vec<UsageOutcome>, Error> {
        self.take_turn()?;
        self.counted(self.ask.record(message)).await
    }

    /// What was used of a meter over time.
    pub(crate) async fn query_usage(
        &self,
        tenant: Uuid,
        query: UsageQuery,
    ) -> Result<UsageHistory, Error> {
        self.take_turn()?;
        self.counted(self.ask.query_usage(tenant, query)).await
    }

    /// The same, whatever is known of an outage.
    pub(crate) async fn reserve_at_once(
        self: &Arc<Self>,
        tenant: Uuid,
        wanted: Reserve,
    ) -> Result<Reservation, Error> {
        let by_rule = self.allowed.allows(&wanted.meter).then(|| wanted.clone());
        match (self.counted(self.ask.reserve(tenant, wanted)).await, by_rule) {
            (Err(Error::Unavailable(status)), Some(wanted)) => {
                self.reserve_by_rule(tenant, wanted, status)
            }
            (answer, _) => {
                if answer.is_ok() {
                    self.counters.usage.server.increment(1);
                }
                answer
            }
        }
    }

    /// Has a lease signed: always by the server, whatever is held.
    pub(crate) async fn issue_lease(
        &self,
        tenant: Uuid,
        wanted: LeaseRequest,
        min_revision: u64,
    ) -> Result<IssuedLease, Error> {
        self.take_turn()?;
        self.counted(self.ask.issue_lease(tenant, wanted, min_revision)).await
    }

    /// Takes a slice.
    pub(crate) async fn acquire(&self, asked: Acquire) -> Result<Granted, Error> {
        self.take_turn()?;
        self.counted(self.ask.acquire(asked)).await
    }

    /// Says what was spent of one.
    pub(crate) async fn settle(&self, settled: Settle) -> Result<(), Error> {
        self.take_turn()?;
        self.counted(self.ask.settle(settled)).await
    }

    /// Gives back what a key took, or only what it holds still.
    pub(crate) async fn release(
        &self,
        tenant: Uuid,
        meter: &str,
        key: &str,
        only_held: bool,
    ) -> Result<i64, Error> {
        // What was allowed in an outage is not counted yet, or was, and nobody heard of it.
        let allowed = if only_held { 0 } else { self.allowed.take_back(tenant, meter, key).await };
        let released = self.counted(self.ask.release(tenant, meter, key, only_held)).await?;
        Ok(released.max(allowed))
    }

    /// Puts a level right, one range after the other.
    pub(crate) async fn reconcile(
        &self,
        tenant: Uuid,
        meter: &str,
        keys: Vec<String>,
        as_of: prost_types::Timestamp,
    ) -> Result<Reconciled, Error> {
        let mut all = Reconciled::default();
        for Range { after, up_to, keys } in ranges(keys) {
            let range = Range { after, up_to, keys };
            all = all.and(self.counted(self.ask.reconcile(tenant, meter, range, as_of)).await?);
        }
        Ok(all)
    }

    /// Where the server does not answer, that is no outage for other questions: it may be slow to
    /// write, and know all that it is asked.
    async fn counted<T>(&self, asked: BoxFuture<'static, Result<T, Status>>) -> Result<T, Error> {
        let answer = asked.await;
        if !answer.as_ref().is_err_and(is_unanswered) {
            self.answered();
        }
        Ok(answer?)
    }
}
