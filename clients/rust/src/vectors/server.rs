//! What answers as the steps of a case say, in the place of the server.

use std::{collections::HashMap, sync::Arc};

use chrono::DateTime;
use futures_util::{
    future::{BoxFuture, FutureExt, ready},
    stream::{self, StreamExt},
};
use parking_lot::Mutex;
use prost_types::{Duration, Timestamp};
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, oneshot};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use uuid::Uuid;

use crate::{
    LimitDecision, Reconciled, Reservation, Reserve, Resolved,
    ask::{Ask, Event, Events, Judged, JudgedFeature, Listed, OwnedCredentials},
    clock::{Clock, ManualClock},
    convert,
    limit::Wanted,
    list::Told as ToldOfList,
    pool::Pools,
    proto::v1::{CheckModuleResponse, EnabledModule, Freshness, ListEnabledModulesResponse},
    usage::Range,
};

/// 2026-01-01T00:00:00Z.
const BEGINNING: i64 = 1_767_225_600;

/// One stream of changes, as the server has it.
#[derive(Clone, Debug)]
pub(super) struct Told(mpsc::UnboundedSender<Option<Event>>);

impl Told {
    pub(super) fn tell(&self, event: Event) {
        // A stream that was let go of hears nothing.
        drop(self.0.send(Some(event)));
    }

    pub(super) fn end(&self) {
        drop(self.0.send(None));
    }

    pub(super) fn is_over(&self) -> bool {
        self.0.is_closed()
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        self.0.same_channel(&other.0)
    }
}

#[derive(Debug)]
pub(super) struct Server {
    pub(super) clock: ManualClock,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    tenants: HashMap<Uuid, Value>,
    fails: Option<Code>,
    /// The revisions that it was asked for with.
    asked: Vec<u64>,
    /// The answer to the next question is under way until the other end of this is dropped.
    hold: Option<oneshot::Receiver<()>>,
    streams: Vec<Told>,
}

impl Default for Server {
    fn default() -> Self {
        let beginning = DateTime::from_timestamp(BEGINNING, 0).unwrap();
        Self { clock: ManualClock::at(beginning), state: Arc::default() }
    }
}

impl Server {
    pub(super) fn know(&self, tenant: Uuid, facts: Value) {
        self.state.lock().tenants.insert(tenant, facts);
    }

    pub(super) fn fail(&self, code: Option<Code>) {
        self.state.lock().fails = code;
    }

    pub(super) fn asked(&self) -> Vec<u64> {
        self.state.lock().asked.clone()
    }

    pub(super) fn hold_next(&self) -> oneshot::Sender<()> {
        let (end, hold) = oneshot::channel();
        self.state.lock().hold = Some(hold);
        end
    }

    pub(super) fn is_to_hold(&self) -> bool {
        self.state.lock().hold.is_some()
    }

    /// The streams that somebody listens to.
    pub(super) fn streams(&self) -> Vec<Told> {
        let streams = &self.state.lock().streams;
        streams.iter().filter(|told| !told.is_over()).cloned().collect()
    }

    /// What it would answer now, once that is no longer under way.
    fn answer<T: Send + 'static>(
        &self,
        tenant: Uuid,
        least: u64,
        by: impl FnOnce(&Facts) -> T + Send + 'static,
    ) -> BoxFuture<'static, Result<T, Status>> {
        let (state, clock) = (Arc::clone(&self.state), Clock::Manual(self.clock.clone()));
        async move {
            let (answer, hold) = {
                let mut state = state.lock();
                state.asked.push(least);
                let second = clock.now() / 1_000_000 - BEGINNING;
                let facts = state.tenants.get(&tenant).cloned();
                let facts = facts.unwrap_or_else(|| json!({"revision": 0, "modules": null}));
                let facts = Facts { facts, second };
                let answer = facts.refuse(state.fails, least).map_or_else(|| Ok(by(&facts)), Err);
                (answer, state.hold.take())
            };
            if let Some(hold) = hold {
                // An error: the other end was dropped.
                drop(hold.await);
            }
            answer
        }
        .boxed()
    }
}

/// What the server knows of a tenant, at a second of the case.
struct Facts {
    facts: Value,
    second: i64,
}

impl Facts {
    fn refuse(&self, fails: Option<Code>, least: u64) -> Option<Status> {
        if let Some(code) = fails {
            return Some(Status::new(code, "as the step says"));
        }
        let details = || ErrorDetails::with_error_info("NOT_FRESH_ENOUGH", "entitlement.v1", []);
        (least > self.revision())
            .then(|| Status::with_error_details(Code::Unavailable, "not that fresh", details()))
    }

    fn revision(&self) -> u64 {
        self.facts["revision"].as_u64().unwrap()
    }

    fn list(&self) -> Listed {
        let Some(rights) = self.facts["modules"].as_object() else {
            return convert::absent().into();
        };
        let modules = rights.iter().filter(|(_, right)| self.second < end(right));
        let modules = modules.map(|(code, right)| EnabledModule {
            code: code.clone(),
            starts_at: instant(right["starts_at"].as_i64()),
            valid_until: instant(right["valid_until"].as_i64()),
            ..EnabledModule::default()
        });
        let response = ListEnabledModulesResponse {
            modules: modules.collect(),
            freshness: Some(self.freshness("max_age", 30, rights)),
            ..ListEnabledModulesResponse::default()
        };
        convert::listed(response, &Pools::default())
    }

    fn judge(&self, module: &str) -> Judged {
        let right = &self.facts["modules"][module];
        let has_started = right["starts_at"].as_i64().is_none_or(|start| start <= self.second);
        let allowed = right.is_object() && has_started && self.second < end(right);
        let age = if allowed { ("max_age", 30) } else { ("denial_max_age", 5) };
        let rights = Map::from_iter([(module.to_owned(), right.clone())]);
        convert::checked(CheckModuleResponse {
            allowed,
            freshness: Some(self.freshness(age.0, age.1, &rights)),
            ..CheckModuleResponse::default()
        })
    }

    fn freshness(&self, age: &str, usual: i64, rights: &Map<String, Value>) -> Freshness {
        let changes =
            rights.values().flat_map(|right| [&right["starts_at"], &right["valid_until"]]);
        let ahead = changes.filter_map(Value::as_i64).filter(|second| *second > self.second);
        let seconds = self.facts[age].as_i64().unwrap_or(usual);
        Freshness {
            revision: self.revision(),
            valid_until: instant(ahead.min()),
            max_age: Some(Duration { seconds, nanos: 0 }),
            stale: self.facts["stale"] == true,
            catalogue_revision: self.facts["catalogue_revision"].as_u64().unwrap_or_default(),
            ..Freshness::default()
        }
    }
}

fn end(right: &Value) -> i64 {
    right["valid_until"].as_i64().unwrap_or(i64::MAX)
}

fn instant(second: Option<i64>) -> Option<Timestamp> {
    second.map(|second| Timestamp { seconds: BEGINNING + second, nanos: 0 })
}

impl Ask for Server {
    fn list(&self, tenant: Uuid, min_revision: u64) -> BoxFuture<'static, Result<Listed, Status>> {
        let listed = self.answer(tenant, min_revision, Facts::list);
        let or_absent = |status: Status| match status.code() {
            Code::NotFound => Ok(convert::absent().into()),
            _ => Err(status),
        };
        listed.map(move |listed| listed.or_else(or_absent)).boxed()
    }

    fn check(
        &self,
        tenant: Uuid,
        module: &str,
        min_revision: u64,
    ) -> BoxFuture<'static, Result<Judged, Status>> {
        let module = module.to_owned();
        self.answer(tenant, min_revision, move |facts| facts.judge(&module))
    }

    fn feature(
        &self,
        _: Uuid,
        _: (&str, &str),
        _: u64,
    ) -> BoxFuture<'static, Result<JudgedFeature, Status>> {
        ready(Err(Status::unimplemented("the vectors do not ask this"))).boxed()
    }

    fn limit(
        &self,
        _: Uuid,
        _: &str,
        _: Wanted,
        _: u64,
    ) -> BoxFuture<'static, Result<LimitDecision, Status>> {
        ready(Err(Status::unimplemented("the vectors do not ask this"))).boxed()
    }

    fn resolve(
        &self,
        _: OwnedCredentials,
    ) -> BoxFuture<'static, Result<(Resolved, ToldOfList), Status>> {
        ready(Err(Status::unimplemented("the vectors do not ask this"))).boxed()
    }

    fn authorize(
        &self,
        _: OwnedCredentials,
        _: Vec<String>,
    ) -> BoxFuture<'static, Result<(Resolved, ToldOfList, Judged), Status>> {
        ready(Err(Status::unimplemented("the vectors do not ask this"))).boxed()
    }

    fn reserve(&self, _: Uuid, _: Reserve) -> BoxFuture<'static, Result<Reservation, Status>> {
        ready(Err(Status::unimplemented("the vectors do not ask this"))).boxed()
    }

    fn release(
        &self,
        _: Uuid,
        _: &str,
        _: &str,
        _: bool,
    ) -> BoxFuture<'static, Result<i64, Status>> {
        ready(Err(Status::unimplemented("the vectors do not ask this"))).boxed()
    }

    fn reconcile(
        &self,
        _: Uuid,
        _: &str,
        _: Range,
        _: Timestamp,
    ) -> BoxFuture<'static, Result<Reconciled, Status>> {
        ready(Err(Status::unimplemented("the vectors do not ask this"))).boxed()
    }

    fn endpoint(&self) -> String {
        "the vectors".to_owned()
    }

    fn watch(&self) -> BoxFuture<'static, Result<Events, Status>> {
        let state = Arc::clone(&self.state);
        async move {
            let (sender, mut told) = mpsc::unbounded_channel();
            state.lock().streams.push(Told(sender));
            let events =
                stream::poll_fn(move |context| told.poll_recv(context).map(Option::flatten));
            Ok(events.map(Ok).boxed())
        }
        .boxed()
    }
}
