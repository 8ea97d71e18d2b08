//! `tests/vectors/streams.json`, on the client itself: what it answers while a server tells it this
//! and that.

mod server;

use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};

use serde_json::Value;
use tokio::{sync::oneshot, task::JoinHandle, time};
use tonic::Code;
use uuid::Uuid;

use self::server::{Server, Told};
use crate::{
    Entitlements, OnOutage,
    clock::Clock,
    convert,
    core::Core,
    proto::v1::{
        WatchChangesResponse,
        watch_changes_response::{
            CatalogueChanged, Ending, Event, Heartbeat, Opened, Reset, TenantChanged,
        },
    },
    watch::Watching,
};

/// Turns of the runtime: more than any answer needs that waits for nobody else.
const TURNS: usize = 200;
/// Longer than the pause before a stream is opened again.
const PAUSE: Duration = Duration::from_millis(200);

/// A question that somebody has, and the end of its way.
type Begun = (JoinHandle<String>, Option<oneshot::Sender<()>>);

/// A case, step by step.
struct Story {
    server: Arc<Server>,
    client: Entitlements,
    begun: HashMap<String, Begun>,
    old: Option<Told>,
}

impl Story {
    fn new(rule: &Value) -> Self {
        let rule = match rule {
            Value::String(word) if word == "deny" => OnOutage::Deny,
            Value::String(word) if word == "allow" => OnOutage::Allow,
            rule => OnOutage::ServeStale(seconds(&rule["serve_stale"])),
        };
        let server = Arc::new(Server::default());
        let clock = Clock::Manual(server.clock.clone());
        let core = Arc::new(Core::new(Arc::clone(&server) as _, rule, 100, clock));
        let client = Entitlements::of(Arc::clone(&core), Watching::start(core));
        Self { server, client, begun: HashMap::new(), old: None }
    }

    async fn take(&mut self, step: &Value) {
        let asked = self.server.asked().len();
        let step_of = |name: &str| step.get(name);
        if let Some(facts) = step_of("server") {
            self.server.know(tenant(&facts["tenant"]), facts.clone());
        } else if let Some(word) = step_of("fails") {
            self.server.fail(word.as_str().map(code));
        } else if let Some(span) = step_of("advance") {
            self.server.clock.advance(seconds(span));
            time::advance(seconds(span)).await;
        } else if let Some(told) = step_of("tells") {
            let stream = self.stream(&step["stream"]).await;
            stream.tell(convert::event(event(told)));
            if told.get("ending").is_some() && step_of("stream").is_none() {
                self.old = Some(stream);
            }
        } else if step_of("ends").is_some() {
            self.stream(&step["stream"]).await.end();
        } else if let Some(which) = step_of("lets_go") {
            assert_eq!(self.old.as_ref().unwrap().is_over(), *which == "old", "{step}");
        } else if let Some(about) = step_of("check") {
            let said = asked_for(self.client.clone(), about, &step["at_least"]).await;
            assert_eq!(said, expected(step), "{step}");
        } else if let Some(about) = step_of("begin") {
            self.begin(about, text(&step["as"]), step["asks"] == true).await;
        } else {
            let (said, held) = self.begun.remove(text(&step["end"])).unwrap();
            drop(held);
            assert_eq!(said.await.unwrap(), expected(step), "{step}");
        }
        settle().await;
        if let Some(asks) = step["asks"].as_bool() {
            let asked = self.server.asked().split_off(asked);
            assert_eq!(!asked.is_empty(), asks, "{step}");
            let least = step["min_revision"].as_u64().unwrap_or_default();
            assert!(asked.iter().all(|revision| *revision == least), "{step}: {asked:?}");
        }
    }

    /// Somebody asks, and the server has the question, where it is to be asked.
    async fn begin(&mut self, about: &Value, name: &str, asks: bool) {
        let held = asks.then(|| self.server.hold_next());
        let (client, about) = (self.client.clone(), about.clone());
        let said = tokio::spawn(async move { asked_for(client, &about, &Value::Null).await });
        settle().await;
        assert!(!self.server.is_to_hold(), "it asks nothing");
        self.begun.insert(name.to_owned(), (said, held));
    }

    /// The stream that the client listens to; while there are two, the old or the new one.
    async fn stream(&self, which: &Value) -> Told {
        if which == "old" {
            return self.old.clone().unwrap();
        }
        loop {
            settle().await;
            let others = |told: &Told| !self.old.as_ref().is_some_and(|old| old.is(told));
            if let Some(told) = self.server.streams().into_iter().rev().find(others) {
                return told;
            }
            time::advance(PAUSE).await;
        }
    }
}

/// Everybody has had their turn who waits for nobody else.
async fn settle() {
    for _ in 0..TURNS {
        tokio::task::yield_now().await;
    }
}

async fn asked_for(client: Entitlements, about: &Value, least: &Value) -> String {
    let client = client.at_least(least.as_u64().unwrap_or_default());
    let Ok(answer) = client.check(tenant(&about[0]), text(&about[1])).await else {
        return "refused".to_owned();
    };
    let word = if answer.allowed() { "granted" } else { "denied" };
    match (answer.by_outage_rule(), answer.is_stale()) {
        (true, _) => format!("{word} by the rule"),
        (false, true) => format!("{word}, stale"),
        (false, false) => word.to_owned(),
    }
}

fn expected(step: &Value) -> String {
    let stale = if step["stale"] == true { ", stale" } else { "" };
    format!("{}{stale}", text(&step["is"]))
}

fn event(told: &Value) -> WatchChangesResponse {
    let (name, of) = told.as_object().unwrap().iter().next().unwrap();
    let revision = of["revision"].as_u64().unwrap_or_default();
    let event = match name.as_str() {
        "opened" => {
            let interval = &of["heartbeat_interval"];
            let heartbeat_interval =
                interval.is_number().then(|| seconds(interval).try_into().unwrap());
            Some(Event::Opened(Opened { heartbeat_interval, ..Opened::default() }))
        }
        "heartbeat" => {
            let lag = seconds(&of["lag"]).try_into().unwrap();
            let unproven = of["unproven"] == true;
            Some(Event::Heartbeat(Heartbeat { lag: Some(lag), unproven }))
        }
        "tenant_changed" => {
            let tenant_id = tenant(&of["tenant"]).to_string();
            Some(Event::TenantChanged(TenantChanged { tenant_id, revision }))
        }
        "catalogue_changed" => Some(Event::CatalogueChanged(CatalogueChanged { revision })),
        "reset" => Some(Event::Reset(Reset {})),
        "ending" => Some(Event::Ending(Ending {})),
        "unknown" => None,
        other => panic!("an unknown event: {other}"),
    };
    WatchChangesResponse { event }
}

fn tenant(number: &Value) -> Uuid {
    let number = number.as_u64().unwrap();
    Uuid::from_u128(0x0000_4000_8000_0000_0000_0000 | u128::from(number))
}

fn seconds(span: &Value) -> Duration {
    Duration::from_secs(span.as_u64().unwrap())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn code(word: &str) -> Code {
    let codes = (0..=16).map(Code::from_i32);
    let is_it = |code: &Code| format!("{code:?}").to_uppercase() == word.replace('_', "");
    codes.into_iter().find(is_it).unwrap()
}

#[tokio::test(start_paused = true)]
async fn streams_go_as_the_vectors_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/streams.json");
    let vectors: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    assert!(cases.len() > 60);
    let mut failed = Vec::new();
    for case in cases {
        // A task of its own: the others are played where one fails.
        if tokio::spawn(play(case.clone())).await.is_err() {
            failed.push(&case["name"]);
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

async fn play(case: Value) {
    let mut story = Story::new(&case["rule"]);
    for step in case["steps"].as_array().unwrap() {
        story.take(step).await;
    }
}
