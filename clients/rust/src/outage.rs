//! While the server does not answer: what is answered by the outage rule, and what is said of it.

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use uuid::Uuid;

use crate::{
    Answer, OnOutage, Reason, Resolved,
    answer::Words,
    ask::Credentials,
    clock::{ALWAYS, Micros, NEVER, micros},
    core::Core,
    counters::By,
    flight::OnEnd,
    list::List,
};

/// The message of a denial by the outage rule.
pub(crate) const NOT_CHECKED: &str = "It cannot be checked at the moment whether your account may use this. Please try again in a moment.";

/// What can be lost.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Part {
    /// Questions are not answered.
    Server,
    /// Changes are not received.
    Stream,
}

/// After a loss has been said, the next one is not said for this long: what comes and goes many times a
/// second must not fill a disk.
const QUIET: Micros = 60_000_000;

/// What is lost, and since when.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    /// Is anything lost? Looked at with each answer of the server.
    is_any: AtomicBool,
    lost: Mutex<Lost>,
    /// Answers by the outage rule, since something was lost.
    answers: AtomicU64,
    /// A question is under way in the background, to find out whether the server is back.
    is_probing: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
struct Lost {
    server: bool,
    stream: bool,
    since: Micros,
    /// It has been said; then its end is said too.
    is_said: bool,
    quiet_until: Micros,
}

impl Lost {
    fn part(&mut self, part: Part) -> &mut bool {
        match part {
            Part::Server => &mut self.server,
            Part::Stream => &mut self.stream,
        }
    }
}

impl Core {
    /// Something is lost. Said once, until all is back.
    pub(crate) fn lost(&self, part: Part, cause: &str) {
        let now = self.clock.now();
        let is_to_be_said = {
            let mut lost = self.outage.lost.lock();
            *lost.part(part) = true;
            if !self.outage.is_any.swap(true, Ordering::AcqRel) {
                lost.since = now;
                self.outage.answers.store(0, Ordering::Relaxed);
                self.counters.outage.set(1.0);
            }
            let is_to_be_said = !lost.is_said && now >= lost.quiet_until;
            if is_to_be_said {
                (lost.is_said, lost.quiet_until) = (true, now + QUIET);
            }
            is_to_be_said
        };
        if is_to_be_said {
            let (endpoint, rule) = (self.server().endpoint(), self.on_outage);
            tracing::warn!(%endpoint, %rule, "entitlementd at {endpoint} is lost: {cause}. What cannot be asked is {rule}");
        }
    }

    /// It is back.
    pub(crate) fn back(&self, part: Part) {
        if !self.outage.is_any.load(Ordering::Acquire) {
            return;
        }
        let (seconds, is_to_be_said) = {
            let mut lost = self.outage.lost.lock();
            *lost.part(part) = false;
            if lost.server || lost.stream || !self.outage.is_any.swap(false, Ordering::AcqRel) {
                return;
            }
            self.counters.outage.set(0.0);
            let seconds = (self.clock.now() - lost.since) / 1_000_000;
            (seconds, mem::take(&mut lost.is_said))
        };
        if is_to_be_said {
            let (endpoint, rule) = (self.server().endpoint(), self.on_outage);
            let answers = self.outage.answers.load(Ordering::Relaxed);
            tracing::warn!(%endpoint, %rule, answers, seconds, "entitlementd at {endpoint} is back after {seconds} s. By the outage rule, {answers} answers were given");
        }
    }

    /// What is answered at once while an outage is known, so that nobody waits who need not: what is
    /// held, by the outage rule. A question in the background finds out whether the server is back.
    pub(crate) fn check_in_outage(
        self: &Arc<Self>,
        tenant: Uuid,
        module: &str,
        min_revision: u64,
    ) -> Option<Answer> {
        if !self.is_outage_known() {
            return None;
        }
        let answer = self.grant_by_rule(tenant, module, min_revision)?;
        self.probe_list(tenant, min_revision);
        self.count_by_rule(&self.counters.modules);
        Some(answer)
    }

    /// The same for the list.
    pub(crate) fn list_in_outage(
        self: &Arc<Self>,
        tenant: Uuid,
        min_revision: u64,
    ) -> Option<List> {
        let list = self.is_outage_known().then(|| self.list_by_rule(tenant, min_revision))??;
        self.probe_list(tenant, min_revision);
        Some(list)
    }

    /// Asks for a list in the background, to find out whether the server is back.
    pub(crate) fn probe_list(self: &Arc<Self>, tenant: Uuid, min_revision: u64) {
        self.probe(|core| async move { drop(core.fetch_list(tenant, min_revision).await) });
    }

    /// The same for who it is.
    pub(crate) fn resolved_in_outage(
        self: &Arc<Self>,
        key: u128,
        credentials: Credentials<'_>,
    ) -> Option<Resolved> {
        let resolved = self.is_outage_known().then(|| self.resolved_by_rule(key))??;
        self.probe(|core| {
            let credentials = credentials.into();
            async move { drop(core.fetch_resolved(key, credentials).await) }
        });
        Some(resolved)
    }

    /// The server has not answered and its stream says nothing to the contrary, or that is so silent
    /// that the server will not answer.
    pub(crate) fn is_outage_known(&self) -> bool {
        let (stream, now) = (&self.held.stream, self.clock.now());
        stream.is_silent(now) || !self.gate.is_open() && !stream.is_trusted(now)
    }

    /// Asks in the background whether the server is back, if nobody does.
    fn probe<F: Future<Output = ()> + Send + 'static>(
        self: &Arc<Self>,
        question: impl FnOnce(Arc<Self>) -> F,
    ) {
        let is_probing = &self.outage.is_probing;
        if self.gate.is_due() && !is_probing.swap(true, Ordering::AcqRel) {
            let (question, is_probing) = (question(Arc::clone(self)), Arc::clone(is_probing));
            tokio::spawn(async move {
                let _end = OnEnd(|| is_probing.store(false, Ordering::Release));
                question.await;
            });
        }
    }

    /// What the outage rule answers. It never uses facts older than the caller wants.
    pub(crate) fn by_rule(&self, tenant: Uuid, module: &str, min_revision: u64) -> Answer {
        self.count_by_rule(&self.counters.modules);
        self.grant_by_rule(tenant, module, min_revision)
            .unwrap_or_else(|| by_rule(self.on_outage == OnOutage::Allow))
    }

    fn grant_by_rule(&self, tenant: Uuid, module: &str, min_revision: u64) -> Option<Answer> {
        let grant = self.stale_list(tenant, min_revision)?.grant(module, self.clock.now())?;
        Some(Answer { stale: true, by_outage_rule: true, ..grant })
    }

    /// The list that the outage rule gives; `None`: it has none to give.
    pub(crate) fn list_by_rule(&self, tenant: Uuid, min_revision: u64) -> Option<List> {
        let list = self.stale_list(tenant, min_revision)?;
        self.count_by_rule(&self.counters.modules);
        Some(list)
    }

    pub(crate) fn stale_list(&self, tenant: Uuid, min_revision: u64) -> Option<List> {
        let OnOutage::ServeStale(most) = self.on_outage else { return None };
        self.held.stale_list(tenant, min_revision, micros(most), self.clock.now())
    }

    /// Who it is, by the outage rule. Whoever is not held cannot be named by any rule.
    pub(crate) fn resolved_by_rule(&self, key: u128) -> Option<Resolved> {
        let most = match self.on_outage {
            OnOutage::Deny => return None,
            OnOutage::ServeStale(most) => micros(most),
            OnOutage::Allow => NEVER,
        };
        let resolved = self.held.stale_resolved(key, most, self.clock.now())?;
        self.count_by_rule(&self.counters.modules);
        Some(Resolved { stale: true, by_outage_rule: true, ..resolved })
    }

    pub(crate) fn count_by_rule(&self, about: &By) {
        about.outage_rule.increment(1);
        self.outage.answers.fetch_add(1, Ordering::Relaxed);
    }
}

fn by_rule(allowed: bool) -> Answer {
    Answer {
        allowed,
        reason: Reason::Unspecified,
        stale: true,
        by_outage_rule: true,
        revision: 0,
        as_of: ALWAYS,
        valid_until: NEVER,
        words: (!allowed).then(|| Words::of(NOT_CHECKED.to_owned()).into()),
    }
}
