//! RecordUsage and QueryUsage: what was used already, once each, and over time.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use entitlementd::proto::v1::{
    QueryUsageRequest, QueryUsageResponse, RecordUsageRequest, RecordUsageResponse,
    ReserveUsageRequest, UsageEvent, UsageGranularity as Granularity, UsageOutcome as Outcome,
};
use futures_util::stream::poll_fn;
use tokio::sync::mpsc;
use tonic::{Code, Request, Status, Streaming};

use crate::{
    callers::{callers, write_callers},
    harness::{
        Database, Server, field_violations, id, postgres, process, proxy::Proxy, reason_of,
        server::NOW, until_so,
    },
    on_both,
    usage::{Client, ORDERS, USERS, client, order, release, reserve, started, timestamp},
};

/// A stream that records: messages go in, and outcomes come out.
pub struct Recorder {
    messages: mpsc::Sender<RecordUsageRequest>,
    answers: Streaming<RecordUsageResponse>,
}

impl Recorder {
    pub async fn open(client: &mut Client) -> Self {
        Self::try_open(client).await.unwrap()
    }

    async fn try_open(client: &mut Client) -> Result<Self, Status> {
        Self::open_as(client, None).await
    }

    pub async fn open_as(client: &mut Client, token: Option<&str>) -> Result<Self, Status> {
        let (messages, mut received) = mpsc::channel(4);
        let mut request = Request::new(poll_fn(move |context| received.poll_recv(context)));
        if let Some(token) = token {
            let bearer = format!("Bearer {token}").parse().unwrap();
            request.metadata_mut().insert("authorization", bearer);
        }
        let answers = client.record_usage(request).await?.into_inner();
        Ok(Self { messages, answers })
    }

    pub async fn send(
        &mut self,
        message: RecordUsageRequest,
    ) -> Result<RecordUsageResponse, Status> {
        self.messages.send(message).await.unwrap();
        self.answers.message().await.map(Option::unwrap)
    }

    pub async fn record(&mut self, events: Vec<UsageEvent>) -> Vec<Outcome> {
        let message = RecordUsageRequest { events, ..Default::default() };
        self.send(message).await.unwrap().outcomes().collect()
    }
}

pub fn event(key: &str, amount: i64) -> UsageEvent {
    UsageEvent {
        key: key.into(),
        tenant_id: id(1),
        meter: ORDERS.into(),
        amount,
        ..Default::default()
    }
}

fn at(key: &str, amount: i64, instant: &str) -> UsageEvent {
    UsageEvent { at: Some(timestamp(instant.parse().unwrap())), ..event(key, amount) }
}

fn correction(key: &str, corrects: &str, amount: i64) -> UsageEvent {
    UsageEvent { corrects_key: corrects.into(), ..event(key, -amount) }
}

fn query(start: &str, end: &str, granularity: Granularity) -> QueryUsageRequest {
    let instant = |text: &str| Some(timestamp(text.parse().unwrap()));
    QueryUsageRequest {
        tenant_id: id(1),
        meter: ORDERS.into(),
        start_time: instant(start),
        end_time: instant(end),
        granularity: granularity.into(),
        ..Default::default()
    }
}

async fn ask(client: &mut Client, request: QueryUsageRequest) -> QueryUsageResponse {
    client.query_usage(request).await.unwrap().into_inner()
}

/// When each span begins, its module, its amount, its things, and what came late.
fn spans(response: &QueryUsageResponse) -> Vec<(String, &str, i64, i64, i64)> {
    let span = |span: &entitlementd::proto::v1::UsageSpan| {
        let start = DateTime::from_timestamp(span.start_time.unwrap().seconds, 0).unwrap();
        (start.format("%m-%d %H:%M").to_string(), span.amount, span.event_count, span.late_amount)
    };
    let all = response.spans.iter().map(|it| (span(it), it.module_code.as_str()));
    all.map(|((start, amount, events, late), module)| (start, module, amount, events, late))
        .collect()
}

async fn used(client: &mut Client) -> i64 {
    let state = release(client, ORDERS, "nothing").await.state.unwrap();
    state.used
}

on_both! {
    async fn what_was_used_is_written_down_once_whatever_the_limit(server: Server) {
        let (server, mut client) = started(server.database.again().await, &[]).await;
        let mut recorder = Recorder::open(&mut client).await;
        let outcomes = recorder.record(vec![event("o-1", 8), event("o-2", 8), event("o-1", 8)]).await;
        assert_eq!(outcomes, [Outcome::Counted, Outcome::Counted, Outcome::Repeated]);
        assert_eq!(recorder.record(vec![event("o-1", 8), event("o-2", 9)]).await, [Outcome::Repeated, Outcome::Conflict]);
        assert_eq!(used(&mut client).await, 16, "the limit is 10");
        assert!(!reserve(&mut client, order("o-3", 1)).await.granted);
        server.database.verify_usage().await;
    }

    async fn what_is_wrong_with_one_event_is_no_matter_of_the_others(server: Server) {
        let (server, mut client) = started(server.database.again().await, &["--usage-accept-late", "10d"]).await;
        let mut recorder = Recorder::open(&mut client).await;
        let late = NOW - TimeDelta::days(10) - TimeDelta::seconds(1);
        let early = NOW + TimeDelta::minutes(5) + TimeDelta::seconds(1);
        let dated = |key: &str, instant: DateTime<Utc>| UsageEvent { at: Some(timestamp(instant)), ..event(key, 1) };
        for (events, outcome) in [
            (vec![event("", 1), event("a b", 1), event("x", 0), event("x", -1), event("x", i64::MAX)], Outcome::Invalid),
            (vec![UsageEvent { tenant_id: "1".into(), ..event("x", 1) }], Outcome::Invalid),
            (vec![UsageEvent { meter: String::new(), ..event("x", 1) }], Outcome::Invalid),
            (vec![UsageEvent { corrects_key: "y".into(), ..event("x", 1) }], Outcome::Invalid),
            (vec![UsageEvent { tenant_id: id(7), ..event("x", 1) }], Outcome::UnknownTenant),
            (vec![UsageEvent { meter: "stars".into(), ..event("x", 1) }], Outcome::UnknownMeter),
            (vec![UsageEvent { meter: USERS.into(), ..event("x", 1) }], Outcome::UnknownMeter),
            (vec![UsageEvent { module_code: "moon".into(), ..event("x", 1) }], Outcome::UnknownModule),
            (vec![dated("x", late)], Outcome::TooLate),
            (vec![dated("x", early)], Outcome::TooEarly),
            (vec![correction("x", "nothing", 1)], Outcome::NothingToCorrect),
        ] {
            let wrong = events.len();
            let events = [vec![event("good", 1)], events, vec![event("good too", 1), event("good-2", 1)]].concat();
            let outcomes = recorder.record(events).await;
            assert!(outcomes[1..=wrong].iter().all(|it| *it == outcome), "{outcome:?}: {outcomes:?}");
            assert!(matches!(outcomes[0], Outcome::Counted | Outcome::Repeated), "{outcomes:?}");
            assert_eq!(outcomes[wrong + 1], Outcome::Invalid, "a key has no blanks");
        }
        let good = [dated("late", late + TimeDelta::seconds(1)), dated("early", early - TimeDelta::seconds(1))];
        assert_eq!(recorder.record(good.to_vec()).await, [Outcome::Counted; 2]);
        assert_eq!(used(&mut client).await, 4);
        server.database.verify_usage().await;
    }

    async fn a_message_that_is_wrong_as_a_whole_ends_the_stream(server: Server) {
        let (_server, mut client) = started(server.database.again().await, &[]).await;
        let message = |count: usize, producer: &str, sequence| RecordUsageRequest {
            events: vec![event("x", 1); count],
            producer_id: producer.into(),
            sequence,
        };
        for (message, field) in [
            (message(1001, "", 0), "events"),
            (message(1, "me", 1), "producer_id"),
            (message(1, "", 1), "producer_id"),
            (message(1, &id(77), 0), "sequence"),
            (message(1, &id(77), u64::MAX), "sequence"),
        ] {
            let error = Recorder::open(&mut client).await.send(message).await.unwrap_err();
            assert_eq!((error.code(), field_violations(&error)), (Code::InvalidArgument, vec![field.to_owned()]));
        }
        assert_eq!(used(&mut client).await, 0);
    }

    async fn what_was_counted_for_a_module_before_it_was_renamed_can_be_corrected(server: Server) {
        let (server, mut client) = started(server.database.again().await, &[]).await;
        let of = |module: &str, event: UsageEvent| UsageEvent { module_code: module.into(), ..event };
        let mut recorder = Recorder::open(&mut client).await;
        let counted = recorder.record(vec![of("finance", event("o-1", 5)), of("hrms", event("o-2", 5))]).await;
        assert_eq!(counted, [Outcome::Counted; 2]);
        server.database.execute(
            "INSERT INTO entitlement_module_aliases (alias, module_id) SELECT 'finance', id FROM modules WHERE code = 'finance';
             UPDATE modules SET code = 'books' WHERE code = 'finance'",
        ).await;
        // Longer than the catalogue is held.
        server.clock.advance(TimeDelta::minutes(10));
        let outcomes = recorder.record(vec![
            of("books", correction("c-1", "o-1", 2)),
            of("finance", correction("c-2", "o-1", 2)),
            of("books", correction("c-3", "o-2", 1)),
            of("hrms", correction("c-4", "o-1", 1)),
            correction("c-5", "o-1", 1),
        ]).await;
        assert_eq!(outcomes, [
            Outcome::Counted, Outcome::Counted,
            Outcome::NothingToCorrect, Outcome::NothingToCorrect, Outcome::NothingToCorrect,
        ]);
        // Another module gets the code that this one had, and with it what was counted.
        server.database.execute("INSERT INTO modules (code, name) VALUES ('finance', 'Finance')").await;
        server.clock.advance(TimeDelta::minutes(10));
        let outcomes = recorder.record(vec![of("books", correction("c-6", "o-1", 1))]).await;
        assert_eq!(outcomes, [Outcome::NothingToCorrect]);
        assert_eq!(used(&mut client).await, 6);
        server.database.verify_usage().await;
    }

    async fn a_correction_takes_back_what_it_names_from_the_month_that_it_was_counted_in(server: Server) {
        let (server, mut client) = started(server.database.again().await, &[]).await;
        server.clock.advance("2026-12-02T00:00:00Z".parse::<DateTime<Utc>>().unwrap() - NOW);
        let mut recorder = Recorder::open(&mut client).await;
        recorder.record(vec![at("o-1", 8, "2026-11-29T12:00:00Z"), event("o-2", 5)]).await;
        let outcomes = recorder.record(vec![
            correction("c-1", "o-1", 3),
            correction("c-1", "o-1", 3),
            correction("c-1", "o-2", 3),
            correction("c-2", "o-1", 6),
            correction("c-3", "o-1", 5),
            correction("c-4", "c-1", 1),
            event("o-1", 8),
            event("c-1", 3),
        ]).await;
        assert_eq!(outcomes, [
            Outcome::Counted, Outcome::Repeated, Outcome::Conflict, Outcome::NothingToCorrect,
            Outcome::Counted, Outcome::NothingToCorrect, Outcome::Repeated, Outcome::Conflict,
        ]);
        let days = ask(&mut client, query("2026-11-01T00:00:00Z", "2026-12-31T00:00:00Z", Granularity::Day)).await;
        assert_eq!(spans(&days), [("12-02 00:00".into(), "", 5, 1, 0)]);
        // What reserved a key holds may be corrected like any other.
        assert!(reserve(&mut client, order("o-5", 4)).await.granted);
        assert_eq!(recorder.record(vec![correction("c-5", "o-5", 4)]).await, [Outcome::Counted]);
        assert_eq!(release(&mut client, ORDERS, "o-5").await.released_amount, 0);
        server.database.verify_usage().await;
    }

    async fn what_is_held_is_taken_for_good_with_what_was_used_of_it(server: Server) {
        let (server, mut client) = started(server.database.again().await, &[]).await;
        assert!(reserve(&mut client, order("before", 6)).await.granted);
        let hold_for = Some(prost_types::Duration { seconds: 60, nanos: 0 });
        let held = |key: &str, amount| ReserveUsageRequest { hold_for, partial: true, ..order(key, amount) };
        assert_eq!(reserve(&mut client, held("part", 10)).await.granted_amount, 4);
        let mut recorder = Recorder::open(&mut client).await;
        assert_eq!(recorder.record(vec![event("part", 3)]).await, [Outcome::Counted]);
        assert_eq!(recorder.record(vec![event("part", 3), event("part", 4)]).await, [Outcome::Repeated, Outcome::Conflict]);
        assert_eq!(reserve(&mut client, held("rest", 1)).await.granted_amount, 1);
        assert_eq!(recorder.record(vec![event("rest", 9)]).await, [Outcome::Counted], "it was used, whatever the limit");
        assert_eq!(used(&mut client).await, 18);
        server.database.verify_usage().await;
    }

    async fn nothing_is_taken_back_for_another_module(server: Server) {
        let (server, mut client) = started(server.database.again().await, &[]).await;
        let of = |module: &str, event: UsageEvent| UsageEvent { module_code: module.into(), ..event };
        let mut recorder = Recorder::open(&mut client).await;
        let outcomes = recorder.record(vec![
            of("finance", event("a", 5)),
            correction("c-1", "a", 1),
            of("hrms", correction("c-2", "a", 1)),
            of("finance", correction("c-3", "a", 1)),
        ]).await;
        let (counted, nothing) = (Outcome::Counted, Outcome::NothingToCorrect);
        assert_eq!(outcomes, [counted, nothing, nothing, counted]);
        server.database.verify_usage().await;
    }

    async fn many_holds_that_have_run_out_stop_no_message(server: Server) {
        let (server, mut client) = started(server.database.again().await, &[]).await;
        let tenant = server.database.uuid(&id(1));
        // A transaction gives some hundred or thousand back: more than one has to.
        let (past, held) =
            if server.database.is_sqlite() { ("1000000", 800) } else { ("TIMESTAMPTZ 'epoch'", 2600) };
        let rows = format!(
            "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {held})
             INSERT INTO entitlement_usage_keys (tenant_id, meter, key, period, asked, amount, state, changed_at, expires_at, day)
             SELECT {tenant}, '{ORDERS}', 'held-' || n, '2026-11', 1, 1, 'held', {past}, {past}, '2026-11-23' FROM n"
        );
        server.database.execute(&rows).await;
        let counter = format!("INSERT INTO entitlement_usage_counters VALUES ({tenant}, '{ORDERS}', '2026-11', 0, {held})");
        server.database.execute(&counter).await;
        let mut recorder = Recorder::open(&mut client).await;
        let events = |prefix: &str| (0..300).map(|n| event(&format!("{prefix}-{n}"), 1)).collect();
        for prefix in ["a", "b"] {
            assert!(recorder.record(events(prefix)).await.iter().all(|it| *it == Outcome::Counted));
        }
        let state = release(&mut client, ORDERS, "nothing").await.state.unwrap();
        assert_eq!((state.used, state.held), (600, 0));
        server.database.verify_usage().await;
    }

    async fn hours_are_whole_whatever_instant_is_asked_for(server: Server) {
        let (_server, mut client) = started(server.database.again().await, &[]).await;
        let mut recorder = Recorder::open(&mut client).await;
        let day = |time: &str| format!("2026-11-20T{time}:00Z");
        let events = [("09:47", 1), ("10:01", 10), ("10:20", 100), ("10:50", 1000), ("11:01", 10_000)];
        let events = events.map(|(time, amount)| at(time, amount, &day(time)));
        recorder.record(events.to_vec()).await;
        for (from, to, expected) in [
            ("10:00", "11:00", vec![1110]),
            ("10:20", "10:21", vec![1110]),
            ("10:59", "11:00", vec![1110]),
            ("09:59", "11:01", vec![1, 1110, 10_000]),
        ] {
            let response = ask(&mut client, query(&day(from), &day(to), Granularity::Hour)).await;
            let amounts: Vec<_> = response.spans.iter().map(|span| span.amount).collect();
            assert_eq!(amounts, expected, "{from} to {to}");
        }
        let quarters = ask(&mut client, query(&day("10:20"), &day("10:46"), Granularity::QuarterHour)).await;
        let amounts: Vec<_> = quarters.spans.iter().map(|span| span.amount).collect();
        assert_eq!(amounts, [100, 1000]);
    }

    async fn a_producers_message_is_counted_once_whichever_stream_it_comes_on(server: Server) {
        let (server, mut client) = started(server.database.again().await, &[]).await;
        let message = |sequence, amount| RecordUsageRequest {
            events: vec![event("", amount), UsageEvent { module_code: "finance".into(), ..event("", 1) }],
            producer_id: id(77),
            sequence,
        };
        let mut first = Recorder::open(&mut client).await;
        let answer = first.send(message(1, 2)).await.unwrap();
        assert_eq!((answer.sequence, answer.outcomes().collect::<Vec<_>>()), (1, vec![Outcome::Counted; 2]));
        let mut second = Recorder::open(&mut client).await;
        for (sequence, outcome) in [(1, Outcome::Repeated), (2, Outcome::Counted), (1, Outcome::Repeated)] {
            let answer = second.send(message(sequence, 2)).await.unwrap();
            assert_eq!(answer.outcomes().collect::<Vec<_>>(), vec![outcome; 2], "{sequence}");
        }
        let gap = second.send(message(4, 2)).await.unwrap_err();
        assert_eq!((gap.code(), reason_of(&gap)), (Code::FailedPrecondition, "USAGE_SEQUENCE_GAP".into()));
        assert!(gap.message().contains("is 2"), "{}", gap.message());
        assert_eq!(first.send(message(3, 2)).await.unwrap().sequence, 3);
        assert_eq!(used(&mut client).await, 9);
        // Keys and sequences do not mix.
        let keyed = RecordUsageRequest { events: vec![event("o-1", 1)], ..message(4, 1) };
        assert_eq!(first.send(keyed).await.unwrap().outcomes().collect::<Vec<_>>(), [Outcome::Invalid]);
        server.database.verify_usage().await;
    }

    async fn usage_is_summed_up_by_quarters_hours_days_and_months(server: Server) {
        let (server, mut client) = started(server.database.again().await, &["--time-zone", "Asia/Kolkata"]).await;
        let of_module = |event: UsageEvent| UsageEvent { module_code: "finance".into(), ..event };
        let mut recorder = Recorder::open(&mut client).await;
        let outcomes = recorder.record(vec![
            // 23:50 and 00:10 in Kolkata, on either side of the month's end.
            at("a", 1, "2026-10-31T18:20:00Z"),
            at("b", 2, "2026-10-31T18:40:00Z"),
            of_module(at("c", 4, "2026-10-31T18:59:59Z")),
            of_module(at("d", 8, "2026-10-31T19:00:00Z")),
        ]).await;
        assert_eq!(outcomes, [Outcome::Counted; 4]);
        let mut asked = async |granularity| {
            let range = query("2026-10-31T18:25:00Z", "2026-11-27T00:00:00Z", granularity);
            ask(&mut client, range).await
        };
        let quarters = asked(Granularity::QuarterHour).await;
        assert_eq!(spans(&quarters), [
            ("10-31 18:15".into(), "", 1, 1, 1),
            ("10-31 18:30".into(), "", 2, 1, 2),
            ("10-31 18:45".into(), "", 4, 1, 4),
            ("10-31 19:00".into(), "", 8, 1, 8),
        ]);
        assert_eq!((quarters.total_amount, quarters.late_amount), (15, 15));
        let hours = asked(Granularity::Hour).await;
        assert_eq!(spans(&hours), [("10-31 17:30".into(), "", 1, 1, 1), ("10-31 18:30".into(), "", 14, 3, 14)]);
        let days = asked(Granularity::Day).await;
        assert_eq!(spans(&days), [("10-30 18:30".into(), "", 1, 1, 1), ("10-31 18:30".into(), "", 14, 3, 14)]);
        let months = asked(Granularity::Month).await;
        assert_eq!(spans(&months), [("09-30 18:30".into(), "", 1, 1, 1), ("10-31 18:30".into(), "", 14, 3, 14)]);
        assert_eq!(months.spans[1].end_time.unwrap().seconds, "2026-11-30T18:30:00Z".parse::<DateTime<Utc>>().unwrap().timestamp());

        let range = query("2026-10-31T00:00:00Z", "2026-11-27T00:00:00Z", Granularity::Month);
        let each = ask(&mut client, QueryUsageRequest { by_module: true, ..range.clone() }).await;
        let of = |response: &QueryUsageResponse| spans(response).iter().map(|it| (it.1.to_owned(), it.2)).collect::<Vec<_>>();
        assert_eq!(of(&each), [(String::new(), 1), (String::new(), 2), ("finance".into(), 12)]);
        let one = ask(&mut client, QueryUsageRequest { module_code: "finance".into(), ..range }).await;
        assert_eq!((one.spans.len(), one.total_amount), (1, 12));
        server.database.verify_usage().await;
    }

    async fn what_is_reserved_and_given_back_is_part_of_the_sums(server: Server) {
        let (server, mut client) = started(server.database.again().await, &[]).await;
        for (key, amount) in [("o-1", 4), ("o-2", 3)] {
            assert!(reserve(&mut client, order(key, amount)).await.granted);
        }
        let held = Some(prost_types::Duration { seconds: 60, nanos: 0 });
        reserve(&mut client, ReserveUsageRequest { hold_for: held, ..order("o-3", 1) }).await;
        let today = || query("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", Granularity::Day);
        assert_eq!(ask(&mut client, today()).await.total_amount, 7, "what is held is not used yet");
        server.clock.advance(TimeDelta::hours(2));
        assert_eq!(release(&mut client, ORDERS, "o-2").await.released_amount, 3);
        let after = ask(&mut client, today()).await;
        assert_eq!((after.total_amount, after.late_amount), (4, -3), "it was taken back late");
        server.database.verify_usage().await;
    }

    async fn days_of_all_tenants_are_exported(server: Server) {
        let (server, mut client) = started(server.database.again().await, &[]).await;
        server.database.mk_subscribed(2, "finance", crate::harness::Row::default()).await;
        let of_other = UsageEvent { tenant_id: id(2), module_code: "finance".into(), ..event("b", 2) };
        let mut recorder = Recorder::open(&mut client).await;
        let events = vec![at("a", 1, "2026-11-20T12:00:00Z"), event("c", 4), of_other];
        assert_eq!(recorder.record(events).await, [Outcome::Counted; 3]);
        let export = |more: &[&str]| {
            let fixed = ["usage", "export", "--from", "2026-11-20", "--to", "2026-11-24", "--database-url", &server.database.url];
            let output = process::run(&[&fixed[..], more].concat());
            assert_eq!(output.status.code(), Some(0), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        let all = export(&[]);
        let lines: Vec<&str> = all.lines().collect();
        assert_eq!(lines[0], "day,tenant_id,meter,module_code,amount,event_count,late_amount,recorded_at");
        let starts = [
            format!("2026-11-20,{},{ORDERS},,1,1,1,", id(1)),
            format!("2026-11-23,{},{ORDERS},,4,1,0,", id(1)),
            format!("2026-11-23,{},{ORDERS},finance,2,1,0,", id(2)),
        ];
        assert_eq!(lines.len(), 4, "{all}");
        assert!(lines[1..].iter().zip(&starts).all(|(line, start)| line.starts_with(start)), "{all}");
        let one = export(&["--tenant", &id(2), "--meter", ORDERS, "--json"]);
        let day: serde_json::Value = serde_json::from_str(&one).unwrap();
        assert_eq!((&day["module_code"], &day["amount"]), (&"finance".into(), &2.into()));
        let output = process::run(&["usage", "export", "--from", "2026-11-31", "--to", "2026-12-01", "--database-url", &server.database.url]);
        assert!(String::from_utf8_lossy(&output.stderr).contains("is not a day"), "{output:?}");
    }

    async fn a_question_about_usage_that_makes_no_sense_is_refused(server: Server) {
        let (_server, mut client) = started(server.database.again().await, &[]).await;
        let good = || query("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", Granularity::Day);
        for (request, field) in [
            (query("2026-11-01T00:00:00Z", "2026-11-01T00:00:00Z", Granularity::Day), "end_time"),
            (QueryUsageRequest { start_time: None, ..good() }, "start_time"),
            (QueryUsageRequest { granularity: 0, ..good() }, "granularity"),
            (QueryUsageRequest { granularity: 99, ..good() }, "granularity"),
            (QueryUsageRequest { meter: String::new(), ..good() }, "meter"),
        ] {
            let error = client.query_usage(request).await.unwrap_err();
            assert_eq!(field_violations(&error), [field]);
        }
        let level = client.query_usage(QueryUsageRequest { meter: USERS.into(), ..good() }).await.unwrap_err();
        assert_eq!((level.code(), reason_of(&level)), (Code::FailedPrecondition, "NOT_MONTHLY".into()));
        let unknown = ask(&mut client, QueryUsageRequest { meter: "stars".into(), ..good() }).await;
        assert_eq!(unknown.spans, []);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_record_may_not_correct_unless_that_was_given_too() {
    let callers = callers(&[
        ("till", "services = [\"usage\"]\nmodules = [\"finance\"]"),
        (
            "clerk",
            "services = [\"usage\", \"usage-corrections\"]\nmeters = [\"transactions_monthly\"]",
        ),
    ]);
    let flags = ["--callers-file", callers.path().to_str().unwrap()];
    let (_server, mut client) = started(Database::postgres().await, &flags).await;
    assert_eq!(Recorder::try_open(&mut client).await.err().unwrap().code(), Code::Unauthenticated);
    let mut till = Recorder::open_as(&mut client, Some("till")).await.unwrap();
    let of = |module: &str| UsageEvent { module_code: module.into(), ..event(module, 5) };
    let events = vec![event("o-1", 5), of("finance"), of("hrms"), correction("c-1", "o-1", 1)];
    let (counted, not_allowed) = (Outcome::Counted, Outcome::NotAllowed);
    assert_eq!(till.record(events).await, [counted, counted, not_allowed, not_allowed]);
    let mut clerk = Recorder::open_as(&mut client, Some("clerk")).await.unwrap();
    assert_eq!(clerk.record(vec![correction("c-1", "o-1", 1)]).await, [Outcome::Counted]);
    // A sum over all modules tells of those that it may not ask about.
    let mut ask_as_till = async |query: QueryUsageRequest| {
        let mut request = Request::new(query);
        request.metadata_mut().insert("authorization", "Bearer till".parse().unwrap());
        client.query_usage(request).await.map(tonic::Response::into_inner)
    };
    let all = query("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", Granularity::Day);
    assert_eq!(ask_as_till(all.clone()).await.unwrap_err().code(), Code::PermissionDenied);
    let own = QueryUsageRequest { module_code: "finance".into(), ..all };
    assert_eq!(ask_as_till(own).await.unwrap().total_amount, 5);
    // Rights are those of the file as it is, however long a stream lasts.
    write_callers(&callers, &[("clerk", "services = [\"entitlement\"]")]);
    until_so("its rights are gone", async || {
        let message = RecordUsageRequest { events: vec![event("o-9", 1)], ..Default::default() };
        let gone = clerk.messages.send(message).await.is_err();
        gone || clerk.answers.message().await.is_err()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_recorded_when_its_answer_was_lost_is_sent_again_and_counted_once() {
    let direct = Database::postgres().await;
    crate::usage::mk_customer(&direct).await;
    let port = postgres::shared().port();
    let proxy = Proxy::to(port).await;
    let url = direct.url.replace(&format!(":{port}/"), &format!(":{}/", proxy.port()));
    let server = Server::start_with(direct.by_way_of(url).await, &["--changes", "off"]).await;
    let mut client = client(&server).await;
    let cutting = async {
        for _ in 0..15 {
            // Spread over the messages: nothing waits for it.
            tokio::time::sleep(Duration::from_millis(30)).await;
            proxy.cut().await;
        }
    };
    let sending = async {
        for sequence in 1..=150 {
            let (events, producer_id) = (vec![event("", 1)], id(77));
            let message = RecordUsageRequest { events, producer_id, sequence };
            for attempt in 0.. {
                assert!(attempt < 40, "it is never counted");
                let mut stream = match Recorder::try_open(&mut client).await {
                    Ok(stream) => stream,
                    Err(error) => panic!("{error:?}"),
                };
                match stream.send(message.clone()).await {
                    Ok(_) => break,
                    Err(error) => assert_eq!(error.code(), Code::Unavailable, "{error:?}"),
                }
                // As a caller would: the database is gone for a moment.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    };
    tokio::join!(sending, cutting);
    let total = direct.one("SELECT used FROM entitlement_usage_counters WHERE period <> ''").await;
    assert_eq!(total.try_get::<i64>("", "used").unwrap(), 150);
    direct.verify_usage().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_caller_takes_half_of_the_streams_at_most() {
    let rights = "services = [\"usage\"]";
    let callers = callers(&[("greedy", rights), ("other", rights)]);
    let flags = ["--callers-file", callers.path().to_str().unwrap()];
    let (_server, mut client) = started(Database::postgres().await, &flags).await;
    let mut streams = Vec::new();
    for _ in 0..128 {
        streams.push(Recorder::open_as(&mut client, Some("greedy")).await.unwrap());
    }
    let refused = Recorder::open_as(&mut client, Some("greedy")).await.map(drop).unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    Recorder::open_as(&mut client, Some("other")).await.unwrap();
    // A stream that ends gives its place back.
    streams.truncate(100);
    until_so("a place is free", async || {
        Recorder::open_as(&mut client.clone(), Some("greedy")).await.is_ok()
    })
    .await;
}
