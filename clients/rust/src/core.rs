//! Questions: answered from what is held, else by the server, else by the outage rule.

use std::{sync::Arc, time::Duration};

use futures_util::future::FutureExt;
use tonic::Status;
use tonic_types::StatusExt;
use uuid::Uuid;

use crate::{
    Answer, Error, OnOutage, Reason, Resolved,
    answer::Words,
    ask::{Ask, Credentials, Judged, OwnedCredentials},
    clock::{ALWAYS, Clock, NEVER, micros},
    counters::Counters,
    error::is_outage,
    flight::Flights,
    gate::Gate,
    held::{Began, Held, Look},
    keyed::Key,
    list::{List, Told},
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
    on_outage: OnOutage,
    pub(crate) gate: Gate,
    key: Key,
    lists: Flights<Question<Uuid>, List>,
    reasons: Flights<Question<(Uuid, Box<str>)>, Judged>,
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
            gate: Gate::default(),
            key: Key::random(),
            lists: Flights::new(),
            reasons: Flights::new(),
            resolved: Flights::new(),
        }
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
        match self.find_out(tenant, module, min_revision).await {
            Ok(answer) => {
                self.counters.by_server.increment(1);
                Ok(answer)
            }
            Err(status) if is_outage(&status) => {
                tracing::warn!(%tenant, module, code = ?status.code(), "entitlementd cannot be asked: {}", status.message());
                self.counters.by_outage_rule.increment(1);
                Ok(self.by_rule(tenant, module, min_revision))
            }
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
            self.held.doubt(tenant, self.clock.now());
        }
        Ok(answer)
    }

    /// What the outage rule answers. It never uses facts older than the caller wants.
    fn by_rule(&self, tenant: Uuid, module: &str, min_revision: u64) -> Answer {
        let now = self.clock.now();
        let held = |most: Duration| {
            self.held.stale_list(tenant, min_revision, micros(most), now)?.grant(module, now)
        };
        match self.on_outage {
            OnOutage::Deny => by_rule(false),
            OnOutage::Allow => by_rule(true),
            OnOutage::ServeStale(most) => match held(most) {
                Some(grant) => Answer { stale: true, by_outage_rule: true, ..grant },
                None => by_rule(false),
            },
        }
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
        let status = match self.fetch_list(tenant, min_revision).await {
            Ok(list) => return Ok((list, false)),
            Err(status) => status,
        };
        let now = self.clock.now();
        let stale = match self.on_outage {
            OnOutage::ServeStale(most) if is_outage(&status) => {
                self.held.stale_list(tenant, min_revision, micros(most), now)
            }
            _ => None,
        };
        stale.map(|list| (list, true)).ok_or_else(|| status.into())
    }

    async fn fetch_list(self: &Arc<Self>, tenant: Uuid, min_revision: u64) -> Result<List, Status> {
        let began = self.held.begin(tenant, min_revision, self.clock.now());
        let core = Arc::clone(self);
        let ask = move || {
            async move {
                // Somebody else's question may have ended since this one was found to be necessary.
                if let Some(list) = core.held.list(tenant, min_revision, began.at) {
                    return Ok(list);
                }
                let list = core.ask(core.ask.list(tenant, began.min_revision)).await?;
                core.held.keep_list(tenant, list.clone(), began);
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
                    return Ok(Judged { answer, max_age: 0 });
                }
                let judged = core.ask(core.ask.check(tenant, &code, began.min_revision)).await?;
                if !judged.answer.allowed {
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

    /// Resolves the tenant that these credentials identify.
    pub(crate) async fn resolve(
        self: &Arc<Self>,
        credentials: Credentials<'_>,
    ) -> Result<Resolved, Error> {
        let key = self.key.of(credentials);
        if let Some(resolved) = self.held.resolved(key, self.clock.now()) {
            return Ok(resolved);
        }
        let began = self.began_asking_who();
        let (core, owned) = (Arc::clone(self), OwnedCredentials::from(credentials));
        let ask = move || {
            async move {
                let (resolved, told) = core.ask(core.ask.resolve(owned)).await?;
                core.held.keep_resolved(key, resolved.clone(), told, began);
                Ok((resolved, told))
            }
            .boxed()
        };
        Ok(self.resolved.join(Question::new(key, began), ask).await?.0)
    }

    /// Resolves the tenant, and checks whether it may use one of these modules: one round trip if
    /// nothing is held.
    pub(crate) async fn authorize(
        self: &Arc<Self>,
        credentials: Credentials<'_>,
        modules: &[impl AsRef<str>],
    ) -> Result<(Resolved, Option<Answer>), Error> {
        let key = self.key.of(credentials);
        if let Some(resolved) = self.held.resolved(key, self.clock.now()) {
            return Ok((resolved, None));
        }
        let began = self.began_asking_who();
        let codes = modules.iter().map(|code| code.as_ref().to_owned()).collect();
        let (resolved, told, judged) =
            self.ask(self.ask.authorize(credentials.into(), codes)).await?;
        self.held.keep_resolved(key, resolved.clone(), told, began);
        self.counters.by_server.increment(1);
        Ok((resolved, Some(judged.answer)))
    }

    fn began_asking_who(&self) -> Began {
        let era = self.held.stream.era();
        Began { at: self.clock.now(), era, news: self.held.last_news(), min_revision: 0 }
    }

    /// Asks the server, if it is this caller's turn, and records whether it answered.
    async fn ask<T>(&self, asked: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
        if !self.gate.admits() {
            return Err(Status::unavailable("it did not answer a moment ago"));
        }
        let answer = asked.await;
        match &answer {
            // A status of the server's own is an answer, whatever it is.
            Err(status) if is_outage(status) && status.get_details_error_info().is_none() => {
                self.gate.close();
            }
            _ => self.gate.open(),
        }
        answer
    }
}

/// The message of a denial by the outage rule.
const NOT_CHECKED: &str = "It cannot be checked at the moment whether your account may use this. Please try again in a moment.";

fn by_rule(allowed: bool) -> Answer {
    Answer {
        allowed,
        reason: Reason::Unspecified,
        stale: true,
        by_outage_rule: true,
        revision: 0,
        as_of: ALWAYS,
        valid_until: NEVER,
        words: (!allowed)
            .then(|| Words { message: NOT_CHECKED.to_owned(), plan_slugs: Vec::new() }.into()),
    }
}
