//! Questions: answered from what is held, else by the server, else by the outage rule.

mod features;
mod limits;
mod usage;
mod usage_outage;
mod who;

use std::{collections::HashMap, sync::Arc};

use futures_util::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;
use tonic::Status;
use tonic_types::StatusExt;
use uuid::Uuid;

pub(crate) use self::{features::Named, limits::LimitOf, usage_outage::Allowed};
use crate::{
    Answer, Error, FeatureAnswer, LimitEnforcement, OnOutage, Resolved, UsageOutage,
    ask::{Ask, Judged, Listed},
    clock::Clock,
    counters::Counters,
    error::is_outage,
    flight::Flights,
    gate::{Gate, Turn},
    held::{Began, Held, Look},
    keyed::Key,
    list::{List, Told},
    outage::{Outage, Part},
};

/// A question that is under way. Callers that ask after a change of the tenant, or in another era,
/// ask again.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Question<T> {
    about: T,
    news: u64,
    era: u64,
    min_revision: u64,
}

impl<T> Question<T> {
    fn new(about: T, Began { news, era, min_revision, .. }: Began) -> Self {
        Self { about, news, era, min_revision }
    }
}

/// Everything that the handles of a client share.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) held: Held,
    pub(crate) clock: Clock,
    pub(crate) counters: Counters,
    ask: Arc<dyn Ask>,
    pub(crate) on_outage: OnOutage,
    pub(crate) gate: Gate,
    key: Key,
    pub(crate) outage: Outage,
    allowed: Allowed,
    /// What was last heard of it, of whichever tenant: it is the server's.
    enforcement: Mutex<LimitEnforcement>,
    lists: Flights<Question<Uuid>, List>,
    reasons: Flights<Question<(Uuid, Box<str>)>, Judged>,
    features: Flights<Question<(Uuid, Box<str>)>, FeatureAnswer>,
    resolved: Flights<Question<u128>, (Resolved, Told)>,
}

impl Core {
    pub(crate) fn new(
        ask: Arc<dyn Ask>,
        on_outage: OnOutage,
        capacity: usize,
        clock: Clock,
    ) -> Self {
        Self {
            held: Held::new(capacity),
            clock,
            counters: Counters::new(),
            ask,
            on_outage,
            outage: Outage::default(),
            allowed: Allowed::default(),
            enforcement: Mutex::default(),
            gate: Gate::default(),
            key: Key::random(),
            lists: Flights::new(),
            reasons: Flights::new(),
            features: Flights::new(),
            resolved: Flights::new(),
        }
    }

    /// The same, with rules for meters while the server does not answer.
    pub(crate) fn with_usage_outage(self, rules: HashMap<String, UsageOutage>) -> Self {
        Self { allowed: Allowed::new(rules), ..self }
    }

    pub(crate) fn server(&self) -> &dyn Ask {
        &*self.ask
    }

    /// A question that cannot be answered from what is held.
    pub(crate) async fn check(
        self: &Arc<Self>,
        tenant: Uuid,
        module: &str,
        min_revision: u64,
    ) -> Result<Answer, Error> {
        if let Some(answer) = self.check_in_outage(tenant, module, min_revision) {
            return Ok(answer);
        }
        match self.find_out(tenant, module, min_revision).await {
            Ok(answer) => {
                self.counters.modules.server.increment(1);
                Ok(answer)
            }
            Err(status) if is_outage(&status) => Ok(self.by_rule(tenant, module, min_revision)),
            Err(status) => Err(Error::Refused(status)),
        }
    }

    async fn find_out(
        self: &Arc<Self>,
        tenant: Uuid,
        module: &str,
        min_revision: u64,
    ) -> Result<Answer, Status> {
        let now = self.clock.now();
        if let Look::AskForList = self.held.look(tenant, module, min_revision, now)
            && let Some(answer) =
                self.fetch_list(tenant, min_revision).await?.grant(module, self.clock.now())
        {
            return Ok(answer);
        }
        let answer = self.fetch_reason(tenant, module, min_revision).await?.answer;
        if answer.allowed {
            // The list is older than the answer, or our clock is not the server's.
            self.held.doubt(tenant);
        }
        Ok(answer)
    }

    /// The list: held, fetched, or by the outage rule; also whether it was by the outage rule.
    pub(crate) async fn list(
        self: &Arc<Self>,
        tenant: Uuid,
        min_revision: u64,
    ) -> Result<(List, bool), Error> {
        if let Some(list) = self.held.list(tenant, min_revision, self.clock.now()) {
            return Ok((list, false));
        }
        if let Some(list) = self.list_in_outage(tenant, min_revision) {
            return Ok((list, true));
        }
        match self.fetch_list(tenant, min_revision).await {
            Ok(list) => Ok((list, false)),
            Err(status) if is_outage(&status) => {
                let stale = self.list_by_rule(tenant, min_revision);
                stale.map(|list| (list, true)).ok_or_else(|| status.into())
            }
            Err(status) => Err(status.into()),
        }
    }

    pub(crate) async fn fetch_list(
        self: &Arc<Self>,
        tenant: Uuid,
        min_revision: u64,
    ) -> Result<List, Status> {
        let began = self.held.begin(tenant, min_revision, self.clock.now());
        let core = Arc::clone(self);
        let ask = move || {
            async move {
                // Somebody else's question may have ended since this one was found to be necessary.
                if let Some(list) = core.held.list(tenant, min_revision, began.at) {
                    return Ok(list);
                }
                let asked = core.ask.list(tenant, began.min_revision);
                let Listed { list, catalogue_revision } = core.ask(asked).await?;
                let enforcement = list.terms.as_ref().map(|terms| terms.enforcement());
                if let Some(known) = enforcement.filter(|it| *it != LimitEnforcement::Unspecified) {
                    *core.enforcement.lock() = known;
                }
                if core.held.is_catalogue_current(catalogue_revision) {
                    core.held.keep_list(tenant, list.clone(), began);
                }
                Ok(list)
            }
            .boxed()
        };
        self.lists.join(Question::new(tenant, began), ask).await
    }

    async fn fetch_reason(
        self: &Arc<Self>,
        tenant: Uuid,
        module: &str,
        min_revision: u64,
    ) -> Result<Judged, Status> {
        let began = self.held.begin(tenant, min_revision, self.clock.now());
        let (core, about) = (Arc::clone(self), (tenant, Box::from(module)));
        let code = module.to_owned();
        let ask = move || {
            async move {
                if let Look::Answer(answer) = core.held.look(tenant, &code, min_revision, began.at)
                {
                    return Ok(Judged { answer, max_age: 0, catalogue_revision: 0 });
                }
                let judged = core.ask(core.ask.check(tenant, &code, began.min_revision)).await?;
                let is_current = core.held.is_catalogue_current(judged.catalogue_revision);
                if is_current && !judged.answer.allowed {
                    core.held.keep_denial(
                        tenant,
                        &code,
                        judged.answer.clone(),
                        judged.max_age,
                        began,
                    );
                }
                Ok(judged)
            }
            .boxed()
        };
        self.reasons.join(Question::new(about, began), ask).await
    }

    /// Asks the server, and records whether it answered. While it is known not to answer nobody waits:
    /// now and then a question goes on in the background, to find out whether it is back.
    async fn ask<T: Send + 'static>(
        self: &Arc<Self>,
        asked: BoxFuture<'static, Result<T, Status>>,
    ) -> Result<T, Status> {
        match self.gate.turn() {
            Turn::Ask => self.noted(asked).await,
            turn => {
                if turn == Turn::Probe {
                    let core = Arc::clone(self);
                    tokio::spawn(async move { drop(core.noted(asked).await) });
                }
                Err(Status::unavailable("it did not answer a moment ago"))
            }
        }
    }

    async fn noted<T>(&self, asked: BoxFuture<'static, Result<T, Status>>) -> Result<T, Status> {
        let era = self.held.stream.era();
        let answer = asked.await;
        match &answer {
            Err(status) if is_unanswered(status) => {
                // Where a stream has opened meanwhile, it is back already.
                if !self.held.stream.has_opened_since(era) {
                    self.gate.close();
                    self.lost(Part::Server, status.message());
                }
            }
            _ => self.answered(),
        }
        answer
    }

    /// The server has answered.
    pub(crate) fn answered(&self) {
        self.gate.open();
        self.back(Part::Server);
    }
}

/// Did the server not answer? A status of its own is an answer, whatever it is.
fn is_unanswered(status: &Status) -> bool {
    is_outage(status) && status.get_details_error_info().is_none()
}
