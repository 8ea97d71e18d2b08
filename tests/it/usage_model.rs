//! Whatever is asked of two servers, in whatever order, while limits change and time passes: each
//! answer is the one of a model that knows keys alone.

mod model;

use std::collections::BTreeSet;

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Utc};
use entitlementd::proto::v1::{
    CheckLimitRequest, ReconcileUsageRequest, ReleaseUsageRequest, ReserveUsageRequest, UsageState,
};
use prost_types::Timestamp;
use tonic::Code;

use self::model::{Counter, List, Meter, Model, Told, Wanted};
use crate::{
    folding::open,
    harness::{Database, NOW, Row, Server, dice::Dice, id},
    on_both,
    usage::{Client, ORDERS, USERS, client},
};

const SEEDS: [u64; 4] = [1, 20_261_123, 77_777, 987_654_321];
const STEPS: usize = 250;
const KEYS: usize = 8;
/// Of keys that are only ever in lists.
const STRANGERS: usize = 3;
const METERS: [&str; 2] = [ORDERS, USERS];

/// What all runs together come across: a model that was only ever asked for a few things would prove little.
const EVERYTHING: [&str; 10] = [
    "all",
    "an end of a month",
    "another amount",
    "nothing",
    "part",
    "repeated",
    "run out",
    "over the limit",
    "taken for good",
    "unlimited",
];

/// Two servers of one database, and what they should say.
struct Run {
    seed: u64,
    step: usize,
    dice: Dice,
    database: Database,
    servers: [Server; 2],
    clients: [Client; 2],
    tenants: [u32; 2],
    model: Model,
    /// Of [`EVERYTHING`].
    seen: BTreeSet<&'static str>,
}

fn counter(state: Option<UsageState>) -> Counter {
    let UsageState { used, held, remaining, .. } = state.unwrap();
    Counter { used, held, remaining }
}

fn timestamp(at: DateTime<Utc>) -> Timestamp {
    Timestamp { seconds: at.timestamp(), nanos: at.timestamp_subsec_nanos() as i32 }
}

fn end_of_month(now: DateTime<Utc>) -> DateTime<Utc> {
    let first = NaiveDate::from_ymd_opt(now.year(), now.month(), 1).unwrap();
    let next = first + chrono::Months::new(1);
    next.and_time(chrono::NaiveTime::MIN).and_utc()
}

impl Run {
    async fn new(database: &Database, number: u32, seed: u64) -> Self {
        let tenants = [number * 2 + 1, number * 2 + 2];
        for tenant in tenants {
            database.mk_subscribed(tenant, "finance", Row::default()).await;
            database.put_on_plan(tenant, "starter").await;
        }
        let start = async || {
            let flags = ["--changes", "off", "--enforce-limits", "on"];
            Server::start_with(database.again().await, &flags).await
        };
        let servers = [start().await, start().await];
        let clients = [client(&servers[0]).await, client(&servers[1]).await];
        let (dice, model) = (Dice::of(seed, 0), Model::at(NOW));
        let database = database.again().await;
        let seen = BTreeSet::new();
        let mut run =
            Self { seed, step: 0, dice, database, servers, clients, tenants, model, seen };
        run.plan(ORDERS, Some(20)).await;
        run.plan(USERS, Some(5)).await;
        run
    }

    /// Says where a comparison failed, so that it can be seen again.
    fn place(&self) -> String {
        format!("seed {}, step {}, at {}", self.seed, self.step, self.model.now)
    }

    fn meter(&mut self) -> Meter {
        (self.dice.pick(&self.tenants), self.dice.pick(&METERS))
    }

    fn key(&mut self) -> String {
        format!("k{}", self.dice.below(KEYS))
    }

    fn client(&mut self) -> Client {
        self.clients[self.dice.below(2)].clone()
    }

    fn pass(&mut self, by: TimeDelta) {
        self.model.now += by;
        self.servers.iter().for_each(|server| server.clock.advance(by));
    }

    async fn step(&mut self) {
        match self.dice.below(22) {
            0..9 => self.reserve_something().await,
            9 | 10 => self.confirm().await,
            11..14 => self.release().await,
            14 | 15 => self.reconcile().await,
            16 | 17 => self.change_a_limit().await,
            18 | 19 => self.check().await,
            _ => self.let_time_pass(),
        }
    }

    async fn reserve_something(&mut self) {
        let (meter, key) = (self.meter(), self.key());
        // Mostly the same amount for a key, so that it is repeated rather than refused.
        let usual = 1 + i64::from(key.as_bytes()[1] % 4);
        let amount = if self.dice.once_in(6) { 1 + self.dice.below(9) as i64 } else { usual };
        let spans = [10, 60, 3600].map(TimeDelta::seconds);
        let hold = self.dice.once_in(3).then(|| self.dice.pick(&spans));
        // Of a level, a thing is one, unless somebody counts seats.
        let is_one = meter.1 == USERS && (hold.is_some() || !self.dice.once_in(8));
        let partial = self.dice.once_in(4);
        // More than there often is.
        let amount = if partial { 15 } else { amount };
        let amount = if is_one { 1 } else { amount };
        self.reserve(Wanted { meter, key, amount, hold, partial }).await;
    }

    /// Takes for good what is held.
    async fn confirm(&mut self) {
        let held = self.model.held();
        if held.is_empty() {
            return self.reserve_something().await;
        }
        let (meter, key, amount) = held[self.dice.below(held.len())].clone();
        self.reserve(Wanted { meter, key, amount, hold: None, partial: false }).await;
    }

    async fn reserve(&mut self, wanted: Wanted) {
        let request = ReserveUsageRequest {
            tenant_id: id(wanted.meter.0),
            meter: wanted.meter.1.to_owned(),
            key: wanted.key.clone(),
            amount: wanted.amount,
            module_code: String::new(),
            hold_for: wanted
                .hold
                .map(|hold| prost_types::Duration { seconds: hold.num_seconds(), nanos: 0 }),
            partial: wanted.partial,
        };
        let told = match self.client().reserve_usage(request).await {
            Err(status) if status.code() == Code::AlreadyExists => Told::Conflict,
            answer => {
                let answer = answer.unwrap().into_inner();
                let (amount, counter) = (answer.granted_amount, counter(answer.state));
                if answer.granted {
                    Told::Granted { amount, repeated: answer.repeated_request, counter }
                } else {
                    assert_eq!((amount, answer.repeated_request), (0, false), "{}", self.place());
                    Told::Refused(counter)
                }
            }
        };
        let is_held = self.model.is_held(wanted.meter, &wanted.key);
        let has_run_out = self.model.has_run_out(wanted.meter, &wanted.key);
        assert_eq!(told, self.model.reserve(&wanted), "{}: {wanted:?}", self.place());
        self.seen.extend(has_run_out.then_some("run out"));
        self.seen.insert(match told {
            Told::Conflict => "another amount",
            Told::Refused(Counter { remaining: Some(..0), .. }) => "over the limit",
            Told::Refused(_) => "nothing",
            Told::Granted { repeated: true, .. } if is_held && wanted.hold.is_none() => {
                "taken for good"
            }
            Told::Granted { repeated: true, .. } => "repeated",
            Told::Granted { amount, .. } if amount < wanted.amount => "part",
            Told::Granted { counter: Counter { remaining: None, .. }, .. } => "unlimited",
            Told::Granted { .. } => "all",
        });
    }

    async fn release(&mut self) {
        let (meter, key, only_held) = (self.meter(), self.key(), self.dice.once_in(3));
        let request = ReleaseUsageRequest {
            tenant_id: id(meter.0),
            meter: meter.1.to_owned(),
            key: key.clone(),
            only_held,
        };
        let answer = self.client().release_usage(request).await.unwrap().into_inner();
        let told = (answer.released_amount, counter(answer.state));
        let expected = self.model.release(meter, &key, only_held);
        assert_eq!(told, expected, "{}: {meter:?} {key} {only_held}", self.place());
    }

    async fn reconcile(&mut self) {
        let meter = (self.dice.pick(&self.tenants), USERS);
        let is_settled = self.dice.once_in(2);
        let as_of = if is_settled {
            // Everything that there is is old enough.
            self.pass(TimeDelta::seconds(6));
            self.model.now
        } else {
            self.model.now - TimeDelta::milliseconds(self.dice.below(8_000) as i64)
        };
        let is_range = self.dice.once_in(3);
        let (after, up_to) = if is_range { ("k2", "k5") } else { ("", "") };
        let names = (0..KEYS).map(|key| format!("k{key}"));
        let names = names.chain((0..STRANGERS).map(|key| format!("n{key}")));
        let mut keys = BTreeSet::new();
        for name in names {
            let is_meant = !is_range || (*after < *name && *name <= *up_to);
            let is_certain = is_settled || !self.model.has_run_out(meter, &name);
            if is_meant && is_certain && self.dice.once_in(2) {
                keys.insert(name);
            }
        }
        let (after, up_to) = (after.to_owned(), up_to.to_owned());
        let list = List { tenant: meter.0, keys, as_of, after, up_to };
        let request = ReconcileUsageRequest {
            tenant_id: id(list.tenant),
            meter: USERS.to_owned(),
            keys: list.keys.iter().cloned().collect(),
            as_of: Some(timestamp(as_of)),
            after_key: list.after.clone(),
            up_to_key: list.up_to.clone(),
        };
        let answer = self.client().reconcile_usage(request).await.unwrap().into_inner();
        let expected = self.model.reconcile(&list, meter);
        let place = self.place();
        assert_eq!(counter(answer.state), expected.counter, "{place}: {list:?}");
        assert_eq!(answer.released, expected.released, "{place}: {list:?}");
        assert_eq!(answer.counted, expected.counted, "{place}: {list:?}");
    }

    /// What is counted, to be checked: limits are checked by what a server holds of them.
    async fn check(&mut self) {
        let meter = self.meter();
        let request = CheckLimitRequest {
            tenant_id: id(meter.0),
            limit_key: meter.1.to_owned(),
            amount: 1,
            ..Default::default()
        };
        let server = self.dice.below(2);
        let answer = self.servers[server].client.check_limit(request).await.unwrap().into_inner();
        let Counter { used, held, .. } = self.model.counter(meter);
        assert_eq!((answer.used, answer.held), (used + held, held), "{}: {meter:?}", self.place());
    }

    /// By hand, and nobody tells the servers.
    async fn change_a_limit(&mut self) {
        let (meter, most) = (self.meter(), 12);
        let value = (!self.dice.once_in(6)).then(|| self.dice.below(most) as i64);
        match self.dice.below(3) {
            0 => {
                let value = value.map(|value| if meter.1 == ORDERS { value * 2 } else { value });
                self.plan(meter.1, value).await;
            }
            1 => self.drop_override(meter).await,
            _ => {
                let spans = [1, 60, 86_400].map(TimeDelta::seconds);
                let span = self.dice.once_in(2).then(|| self.dice.pick(&spans));
                let ends = span.map(|span| self.model.now + span);
                self.drop_override(meter).await;
                let literal = value.map_or_else(|| "NULL".to_owned(), |value| value.to_string());
                let at =
                    ends.map_or_else(|| "NULL".to_owned(), |at| format!("'{}'", at.to_rfc3339()));
                self.database.override_limit(meter.0, meter.1, &literal, &at).await;
                self.model.overrides.insert(meter, (value, ends));
            }
        }
    }

    async fn plan(&mut self, meter: &'static str, value: Option<i64>) {
        let literal = value.map_or_else(|| "NULL".to_owned(), |value| value.to_string());
        self.database.limit_of_plan("starter", &format!("max_{meter}"), &literal).await;
        self.model.planned.insert(meter, value);
    }

    async fn drop_override(&mut self, meter: Meter) {
        let (tenant, key) = (self.database.uuid(&id(meter.0)), meter.1);
        let delete = format!(
            "DELETE FROM entitlement_limit_overrides WHERE tenant_id = {tenant} AND key = '{key}'"
        );
        self.database.execute(&delete).await;
        self.model.overrides.remove(&meter);
    }

    /// Holds and overrides end, and so does the month, exactly.
    fn let_time_pass(&mut self) {
        let end = end_of_month(self.model.now) - self.model.now;
        let millisecond = TimeDelta::milliseconds(1);
        let spans = [1, 10, 60, 3600].map(TimeDelta::seconds);
        match self.dice.below(8) {
            0 if end > millisecond => self.pass(end - millisecond),
            1 => {
                self.pass(end);
                self.seen.insert("an end of a month");
            }
            2 | 3 => self.pass(millisecond),
            _ => {
                let span = self.dice.pick(&spans);
                self.pass(span);
            }
        }
    }
}

on_both! {
    async fn two_servers_answer_as_a_model_that_knows_keys_alone(server: Server) {
        let mut seen = BTreeSet::new();
        for (number, seed) in (0..).zip(SEEDS) {
            let mut run = Run::new(&server.database, number, seed).await;
            for step in 0..STEPS {
                run.step = step;
                run.step().await;
            }
            server.database.verify_usage().await;
            let wrong = open(&server.database).await.verify_usage(NOW).await.unwrap();
            assert!(wrong.is_empty(), "{}: {wrong:?}", run.place());
            seen.append(&mut run.seen);
        }
        assert_eq!(seen, BTreeSet::from(EVERYTHING));
    }
}
