//! Questions about limits: decided by the list, else by the server, else by the outage rule.

use std::sync::Arc;

use tonic::Status;
use uuid::Uuid;

use super::Core;
use crate::{
    Error, LimitAnswer, LimitDecision, LimitEnforcement, OnOutage, error::is_outage, limit::Wanted,
    outage::NOT_CHECKED,
};

/// A limit of a tenant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LimitOf<'a> {
    pub(crate) tenant: Uuid,
    pub(crate) key: &'a str,
}

impl Core {
    /// What a limit is, if that is held.
    pub(crate) fn limit_held(&self, about: LimitOf<'_>, min_revision: u64) -> Option<LimitAnswer> {
        let answer = self.held.limit(about.tenant, about.key, min_revision, self.clock.now())?;
        self.counters.limits.held.increment(1);
        Some(answer)
    }

    /// What a limit is, where that is not held. No rule can make up a number: one that denies
    /// answers nothing.
    pub(crate) async fn limit(
        self: &Arc<Self>,
        about: LimitOf<'_>,
        min_revision: u64,
    ) -> Result<LimitAnswer, Error> {
        let nothing = Wanted { observed: 0, amount: 0 };
        match self.find_out_limit(about, nothing, min_revision).await {
            Ok(decision) => Ok(decision.in_force),
            Err(status) if is_outage(&status) => match self.on_outage {
                OnOutage::Allow => Ok(self.limit_by_rule(about, nothing, min_revision).in_force),
                OnOutage::Deny | OnOutage::ServeStale(_) => {
                    let stale = self.stale_limit(about, min_revision);
                    stale
                        .inspect(|_| self.count_by_rule(&self.counters.limits))
                        .ok_or_else(|| Error::Unavailable(status))
                }
            },
            Err(status) => Err(Error::Refused(status)),
        }
    }

    /// Is so much within a limit that is not held?
    pub(crate) async fn within_limit(
        self: &Arc<Self>,
        about: LimitOf<'_>,
        wanted: Wanted,
        min_revision: u64,
    ) -> Result<LimitDecision, Error> {
        match self.find_out_limit(about, wanted, min_revision).await {
            Ok(decision) => Ok(decision),
            Err(status) if is_outage(&status) => {
                Ok(self.limit_by_rule(about, wanted, min_revision))
            }
            Err(status) => Err(Error::Refused(status)),
        }
    }

    async fn find_out_limit(
        self: &Arc<Self>,
        about: LimitOf<'_>,
        wanted: Wanted,
        min_revision: u64,
    ) -> Result<LimitDecision, Status> {
        let LimitOf { tenant, key } = about;
        if self.is_outage_known()
            && let Some(answer) = self.stale_limit(about, min_revision)
        {
            self.probe_list(tenant, min_revision);
            self.count_by_rule(&self.counters.limits);
            return Ok(answer.decide(key, wanted));
        }
        let list = self.fetch_list(tenant, min_revision).await?;
        let decision = match list.limit(key, self.clock.now()) {
            Some(answer) => answer.decide(key, wanted),
            None => {
                let least = self.held.begin(tenant, min_revision, self.clock.now()).min_revision;
                self.ask(self.ask.limit(tenant, key, wanted, least)).await?
            }
        };
        self.counters.limits.server.increment(1);
        Ok(decision)
    }

    /// What the outage rule answers. It never uses facts older than the caller wants, and it refuses
    /// nothing that the server, when it was last heard, did not refuse either.
    fn limit_by_rule(
        &self,
        about: LimitOf<'_>,
        wanted: Wanted,
        min_revision: u64,
    ) -> LimitDecision {
        self.count_by_rule(&self.counters.limits);
        match self.stale_limit(about, min_revision) {
            Some(answer) => answer.decide(about.key, wanted),
            None => {
                let enforcement = *self.enforcement.lock();
                let refuses =
                    matches!(enforcement, LimitEnforcement::On | LimitEnforcement::Unspecified)
                        || self.held.is_tenant_denied(about.tenant);
                let refused = (refuses && self.on_outage != OnOutage::Allow).then_some(NOT_CHECKED);
                LimitDecision::by_rule(refused, enforcement, wanted)
            }
        }
    }

    fn stale_limit(&self, about: LimitOf<'_>, min_revision: u64) -> Option<LimitAnswer> {
        let list = self.stale_list(about.tenant, min_revision)?;
        let answer = list.limit(about.key, self.clock.now())?;
        Some(LimitAnswer { stale: true, by_outage_rule: true, ..answer })
    }
}
