//! Watching changes.

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use entitlementd::{
    clock::Clock,
    proto::v1::{
        CheckFeatureRequest, CheckLimitRequest, ListEnabledModulesRequest, WatchChangesRequest,
        WatchChangesResponse,
        entitlement_service_client::EntitlementServiceClient,
        watch_changes_response::{
            Ending, Event, Heartbeat, Opened, Reset, TenantChanged, Transition,
        },
    },
};
use sea_orm::ConnectionTrait;
use tokio::time::timeout;
use tonic::{Code, Status, Streaming, transport::Channel};

use crate::{
    change_log::revision,
    harness::{
        Database, Row, Server, field_violations, id, postgres,
        process::Process,
        proxy::Proxy,
        reason_of,
        server::{connect, endpoint},
    },
};

/// Longer than anything takes that is watched for.
const PATIENCE: Duration = Duration::from_secs(30);

pub type Watch = Streaming<WatchChangesResponse>;

async fn try_watch(
    client: &EntitlementServiceClient<Channel>,
    tenants: &[u32],
) -> Result<Watch, Status> {
    let tenant_ids = tenants.iter().map(|tenant| id(*tenant)).collect();
    client
        .clone()
        .watch_changes(WatchChangesRequest { tenant_ids, ..Default::default() })
        .await
        .map(tonic::Response::into_inner)
}

/// A stream that has said `opened`.
pub async fn watch(client: &EntitlementServiceClient<Channel>, tenants: &[u32]) -> Watch {
    let mut watch = try_watch(client, tenants).await.unwrap();
    assert!(matches!(
        next(&mut watch).await,
        Event::Opened(Opened { as_of: Some(_), heartbeat_interval: None })
    ));
    watch
}

/// The revision of the catalogue that is told next.
async fn catalogue_changed(watch: &mut Watch) -> u64 {
    loop {
        match next_change(watch).await {
            Event::CatalogueChanged(told) if told.revision > 0 => return told.revision,
            Event::CatalogueChanged(_) | Event::TenantChanged(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn next(watch: &mut Watch) -> Event {
    timeout(PATIENCE, watch.message())
        .await
        .expect("nothing is told")
        .unwrap()
        .expect("the stream has ended")
        .event
        .unwrap()
}

/// The next event that is no heartbeat and no reset: a server that has just begun may tell of one.
async fn next_change(watch: &mut Watch) -> Event {
    let change = async {
        loop {
            match next(watch).await {
                Event::Heartbeat(_) | Event::Reset(_) => {}
                event => return event,
            }
        }
    };
    timeout(PATIENCE, change).await.expect("no change is told")
}

async fn end(watch: &mut Watch) -> Result<(), Status> {
    while timeout(PATIENCE, watch.message()).await.expect("it does not end")?.is_some() {}
    Ok(())
}

/// Waits for news of a tenant at this revision or later.
async fn until_told(watch: &mut Watch, tenant: u32, at_least: u64) {
    loop {
        if let Event::TenantChanged(TenantChanged { tenant_id, revision }) =
            next_change(watch).await
            && tenant_id == id(tenant)
            && revision >= at_least
        {
            return;
        }
    }
}

async fn committed(database: &Database, tenant: u32) -> u64 {
    revision(database, tenant).await.cast_unsigned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_told_with_the_revision_at_which_it_is_answered() {
    for database in [Database::sqlite().await, Database::postgres().await] {
        let mut server = Server::start_fed(database).await;
        let mut all = watch(&server.client, &[]).await;
        let mut one = watch(&server.client, &[1]).await;
        for status in ["active", "suspended", "active"] {
            if revision(&server.database, 1).await == 0 {
                server.database.mk_subscribed(1, "finance", Row::default()).await;
                server.database.mk_tenant(2, "two", "active").await;
            }
            server.database.set_status(1, status).await;
            server
                .database
                .set_status(2, if status == "active" { "pending" } else { status })
                .await;
            let wanted = committed(&server.database, 1).await;
            until_told(&mut all, 1, wanted).await;
            until_told(&mut one, 1, wanted).await;
            let answer = server.check(1, "finance").await;
            assert_eq!(answer.allowed, status == "active", "the cache forgets before it tells");
            assert!(answer.freshness.unwrap().revision >= wanted);
        }
        server.database.set_status(2, "cancelled").await;
        until_told(&mut all, 2, committed(&server.database, 2).await).await;
        server.database.set_status(1, "cancelled").await;
        while let Event::TenantChanged(told) = next_change(&mut one).await {
            assert_eq!(told.tenant_id, id(1), "the other tenant is not watched");
            if told.revision >= committed(&server.database, 1).await {
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_the_catalogue_is_told_and_truncate_is_a_reset() {
    let server = Server::start_fed(Database::postgres().await).await;
    let mut all = watch(&server.client, &[]).await;
    server.database.execute("UPDATE plans SET price_inr = 1 WHERE slug = 'growth'").await;
    catalogue_changed(&mut all).await;
    server.database.execute("TRUNCATE tenant_subscriptions").await;
    while next(&mut all).await != Event::Reset(Reset {}) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_rests_on_the_catalogue_says_on_which_and_never_on_one_before_the_announced_one() {
    let mut server = Server::start_fed(Database::postgres().await).await;
    server.database.mk_subscribed(1, "finance", Row::default()).await;
    let mut all = watch(&server.client, &[]).await;
    for price in 1..4 {
        let update = format!("UPDATE plans SET price_inr = {price} WHERE slug = 'growth'");
        server.database.execute(&update).await;
        let announced = catalogue_changed(&mut all).await;
        let granted = server.check(1, "finance").await;
        assert_eq!(granted.freshness.unwrap().catalogue_revision, 0, "the catalogue has no part");
        let denied = server.check(1, "hrms").await;
        assert!(denied.freshness.unwrap().catalogue_revision >= announced, "{denied:?}");
        let listed = ListEnabledModulesRequest { tenant_id: id(1), ..Default::default() };
        let listed = server.list(listed).await.unwrap();
        assert!(listed.freshness.unwrap().catalogue_revision >= announced, "{listed:?}");
        let feature = CheckFeatureRequest {
            tenant_id: id(1),
            module_code: "finance".to_owned(),
            feature_key: "multi_currency".to_owned(),
            ..Default::default()
        };
        let feature = server.client.check_feature(feature).await.unwrap().into_inner();
        assert!(feature.freshness.unwrap().catalogue_revision >= announced, "{feature:?}");
        let limit = CheckLimitRequest {
            tenant_id: id(1),
            limit_key: "users".to_owned(),
            observed: Some(0),
            ..Default::default()
        };
        let limit = server.client.check_limit(limit).await.unwrap().into_inner();
        assert!(limit.freshness.unwrap().catalogue_revision >= announced, "{limit:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn time_alone_is_told_at_its_instant_to_those_who_name_the_tenant() {
    let database = Database::sqlite().await;
    database.mk_tenant(1, "one", "active").await;
    let at = Clock::System.now() + TimeDelta::seconds(2);
    let insert = format!(
        "INSERT INTO tenant_subscriptions (tenant_id, module_id, starts_at, expires_at)
         SELECT {}, id, '2026-01-01T00:00:00+00:00', '{}' FROM modules WHERE code = 'finance'",
        database.uuid(&id(1)),
        at.to_rfc3339()
    );
    database.execute(&insert).await;
    let mut server = Process::serve(&["--listen", "127.0.0.1:0", "--database-url", &database.url]);
    let address = server.address();
    server.wait_for("\"ready\"");
    let channel =
        Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    let client = EntitlementServiceClient::new(channel);
    let mut one = watch(&client, &[1]).await;
    let told = next_change(&mut one).await;
    let Event::Transition(Transition { tenant_id, module_code, at: told_at }) = told else {
        panic!("{told:?}")
    };
    assert_eq!((tenant_id, module_code.as_str()), (id(1), "finance"));
    assert_eq!(told_at.unwrap().seconds, at.timestamp());
    let late = Clock::System.now() - at;
    assert!(late >= TimeDelta::zero() && late < TimeDelta::seconds(5), "{late}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_time_has_a_heartbeat() {
    let server = Server::start_fed(Database::sqlite().await).await;
    let mut all = watch(&server.client, &[]).await;
    // One at once, and others while nothing happens.
    let mut beats = 0;
    while beats < 2 {
        match next(&mut all).await {
            Event::Heartbeat(beat) => {
                assert!(beat.lag.unwrap().seconds < 5);
                beats += 1;
            }
            Event::Reset(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_that_is_too_slow_is_reset_and_then_hears_again() {
    let server = Server::start_fed(Database::postgres().await).await;
    let tenants = "INSERT INTO tenants (name, subdomain, database_schema)
                   SELECT 'x', 'x' || i, 'x' FROM generate_series(1, 100) i";
    server.database.execute(tenants).await;
    let mut quick = watch(&server.client, &[]).await;
    // It takes no more than this before it has read what it has.
    let narrow = endpoint(&server.running.address).initial_stream_window_size(4096);
    let mut slow =
        watch(&EntitlementServiceClient::new(narrow.connect().await.unwrap()), &[]).await;
    server.database.mk_tenant(1, "last", "active").await;
    for round in 0..25 {
        let change = format!("UPDATE tenants SET name = '{round}' WHERE name <> 'Tenant 1'");
        server.database.execute(&change).await;
        // Each round is told before the next, so that all are told, and not a reset in their stead.
        server.database.set_status(1, if round % 2 == 0 { "pending" } else { "active" }).await;
        until_told(&mut quick, 1, committed(&server.database, 1).await).await;
    }
    // It has read nothing so far. What it finds is bounded, and says that something is missing.
    server.database.set_status(1, "suspended").await;
    let last = committed(&server.database, 1).await;
    let (mut count, mut was_reset) = (0, false);
    loop {
        count += 1;
        match next(&mut slow).await {
            Event::Reset(_) => was_reset = true,
            Event::TenantChanged(told) if told.tenant_id == id(1) && told.revision >= last => break,
            _ => {}
        }
    }
    assert!(was_reset, "{count} messages, and none is a reset");
    assert!(count < 2_000, "{count} messages were kept for it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_end_well_when_the_server_stops() {
    let server = Server::start_fed(Database::sqlite().await).await;
    let mut all = watch(&server.client, &[]).await;
    let mut one = watch(&server.client, &[1]).await;
    let stopping = tokio::spawn(server.running.stop());
    end(&mut all).await.unwrap();
    end(&mut one).await.unwrap();
    timeout(Duration::from_secs(8), stopping)
        .await
        .expect("streams hold it open")
        .unwrap()
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_end_well_when_their_connection_has_reached_its_age() {
    let server =
        Server::start_with(Database::sqlite().await, &["--max-connection-age", "1s"]).await;
    let mut all = watch(&server.client, &[]).await;
    end(&mut all).await.unwrap();
    // On a connection of its own: the old one may be found closed only when it is used.
    watch(&EntitlementServiceClient::new(connect(&server.running.address).await), &[]).await;
}

/// A stream that has said `opened`, and will say when its connection is to end.
async fn watch_to_the_end(client: &EntitlementServiceClient<Channel>) -> Watch {
    let request = WatchChangesRequest { announce_end: true, ..WatchChangesRequest::default() };
    let mut watch = client.clone().watch_changes(request).await.unwrap().into_inner();
    assert!(matches!(next(&mut watch).await, Event::Opened(_)));
    watch
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_wants_to_know_is_told_of_the_end_and_of_changes_until_then() {
    let server =
        Server::start_with(Database::sqlite().await, &["--max-connection-age", "1s"]).await;
    let mut all = watch_to_the_end(&server.client).await;
    while next_change(&mut all).await != Event::Ending(Ending {}) {}
    // On a connection of its own: that the old one takes no more requests may be found out only
    // when it is used.
    let mut another =
        watch(&EntitlementServiceClient::new(connect(&server.running.address).await), &[]).await;
    let announced = Instant::now();
    server.database.mk_tenant(1, "one", "active").await;
    let wanted = committed(&server.database, 1).await;
    until_told(&mut all, 1, wanted).await;
    until_told(&mut another, 1, wanted).await;
    assert!(matches!(next(&mut all).await, Event::Heartbeat(_)), "it comes every second now");
    assert!(announced.elapsed() < Duration::from_secs(5), "{:?}", announced.elapsed());
    end(&mut all).await.unwrap();
    assert!(announced.elapsed() > Duration::from_secs(4), "{:?}", announced.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_told_of_the_end_holds_up_a_stopping_server_for_half_of_the_drain() {
    let server = Server::start_with(Database::sqlite().await, &["--drain-timeout", "2s"]).await;
    let mut all = watch_to_the_end(&server.client).await;
    let stopping = tokio::spawn(server.running.stop());
    while next_change(&mut all).await != Event::Ending(Ending {}) {}
    let announced = Instant::now();
    end(&mut all).await.unwrap();
    assert!(announced.elapsed() < Duration::from_secs(2), "{:?}", announced.elapsed());
    timeout(PATIENCE, stopping).await.expect("streams hold it open").unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_watcher_too_many_is_refused_and_a_place_is_given_back() {
    let server = Server::start_with(Database::sqlite().await, &["--max-watchers", "2"]).await;
    let first = watch(&server.client, &[]).await;
    let _second = watch(&server.client, &[]).await;
    let status = try_watch(&server.client, &[]).await.unwrap_err();
    assert_eq!(
        (status.code(), reason_of(&status).as_str()),
        (Code::ResourceExhausted, "OVERLOADED")
    );
    drop(first);
    let mut attempts = 0;
    while try_watch(&server.client, &[]).await.is_err() {
        attempts += 1;
        assert!(attempts < 10_000, "the place is not given back");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_news_there_is_nothing_to_watch() {
    let server = Server::start(Database::sqlite().await).await;
    let status = try_watch(&server.client, &[]).await.unwrap_err();
    assert_eq!(
        (status.code(), reason_of(&status).as_str()),
        (Code::FailedPrecondition, "CHANGES_OFF")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_learns_that_the_triggers_are_gone() {
    let server = Server::start_fed(Database::postgres().await).await;
    let mut all = watch(&server.client, &[]).await;
    server
        .database
        .connection
        .execute_unprepared("ALTER TABLE plans DISABLE TRIGGER ALL")
        .await
        .unwrap();
    let status = end(&mut all).await.unwrap_err();
    assert_eq!(
        (status.code(), reason_of(&status).as_str()),
        (Code::FailedPrecondition, "CHANGES_OFF")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_ids_and_too_many_of_them_are_refused() {
    let server = Server::start_fed(Database::sqlite().await).await;
    let ask = |tenant_ids: Vec<String>| {
        let mut client = server.client.clone();
        async move {
            client
                .watch_changes(WatchChangesRequest { tenant_ids, ..Default::default() })
                .await
                .map(|_| ())
                .unwrap_err()
        }
    };
    let status = ask(vec![id(1), "x".into(), String::new()]).await;
    assert_eq!(field_violations(&status), ["tenant_ids[1]", "tenant_ids[2]"]);
    let status = ask((0..1001).map(id).collect()).await;
    assert_eq!(field_violations(&status), ["tenant_ids"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_watch_one_instance() {
    const CONNECTIONS: usize = 50;
    const STREAMS: usize = 200;
    let server = Server::start_fed(
        Database::on(postgres::shared(), postgres::shared().migrated_database().await).await,
    )
    .await;
    let mut watches = Vec::new();
    for _ in 0..CONNECTIONS {
        let client = EntitlementServiceClient::new(connect(&server.running.address).await);
        let streams = (0..STREAMS).map(|_| watch(&client, &[]));
        watches.extend(futures_util::future::join_all(streams).await);
    }
    assert_eq!(watches.len(), 10_000);
    server.database.mk_tenant(1, "one", "active").await;
    let wanted = committed(&server.database, 1).await;
    let told = watches.iter_mut().map(|watch| until_told(watch, 1, wanted));
    futures_util::future::join_all(told).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_watches_before_the_database_was_heard_from_is_told_to_try_again() {
    let database = Database::postgres().await;
    let network = Proxy::to(postgres::shared().port()).await;
    network.black_hole();
    let url = format!("postgres://postgres@127.0.0.1:{}/{}", network.port(), database.name);
    let mut server =
        Server::start_unready(database.by_way_of(url).await, &["--poll-interval", "20ms"]).await;
    let status = server.client.watch_changes(WatchChangesRequest::default()).await.unwrap_err();
    assert_eq!(
        (status.code(), reason_of(&status).as_str()),
        (Code::Unavailable, "STORE_UNAVAILABLE")
    );
    network.let_through();
    server.wait_until_ready().await;
    server.client.watch_changes(WatchChangesRequest::default()).await.unwrap();
}

/// How often a heartbeat is wanted.
fn every(seconds: i64, nanos: i32) -> WatchChangesRequest {
    let heartbeat_interval = Some(prost_types::Duration { seconds, nanos });
    WatchChangesRequest { heartbeat_interval, ..WatchChangesRequest::default() }
}

/// Reads on until the next heartbeat that is like this, and gives the changes that come before it.
async fn until_heartbeat(watch: &mut Watch, unproven: bool) -> Vec<Event> {
    let mut before = Vec::new();
    loop {
        match next(watch).await {
            Event::Heartbeat(Heartbeat { unproven: said, lag: Some(_) }) if said == unproven => {
                return before;
            }
            Event::Heartbeat(_) => {}
            event => before.push(event),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_wants_heartbeats_often_is_told_of_silence_at_once_and_of_what_was_missed_before_its_end()
 {
    let database = Database::postgres().await;
    let network = Proxy::to(postgres::shared().port()).await;
    let url = format!("postgres://postgres@127.0.0.1:{}/{}", network.port(), database.name);
    let server = Server::start_fed(database.by_way_of(url).await).await;
    let mut often = server.client.clone().watch_changes(every(1, 0)).await.unwrap().into_inner();
    let Event::Opened(Opened { heartbeat_interval: Some(interval), .. }) = next(&mut often).await
    else {
        panic!("it does not say how often");
    };
    assert_eq!((interval.seconds, interval.nanos), (1, 0));
    let mut seldom = watch(&server.client, &[]).await;
    until_heartbeat(&mut seldom, false).await;
    for _ in 0..3 {
        until_heartbeat(&mut often, false).await;
    }
    network.black_hole();
    let silent = Instant::now();
    until_heartbeat(&mut often, true).await;
    assert!(silent.elapsed() < Duration::from_secs(5), "{:?}", silent.elapsed());
    database.mk_tenant(1, "one", "active").await;
    until_heartbeat(&mut often, true).await;

    network.let_through();
    let missed = until_heartbeat(&mut often, false).await;
    let told = |event: &Event| match event {
        Event::TenantChanged(told) => told.tenant_id == id(1),
        event => *event == Event::Reset(Reset {}),
    };
    assert!(missed.iter().any(told), "{missed:?}");
    // Who did not ask for it is told nothing of the kind before its next heartbeat.
    while let Ok(event) = timeout(Duration::from_millis(1), next(&mut seldom)).await {
        assert!(
            !matches!(event, Event::Heartbeat(_)) || silent.elapsed() > Duration::from_secs(4),
            "{event:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heartbeats_more_often_than_once_a_second_or_less_than_every_ten_are_refused() {
    let server = Server::start_fed(Database::sqlite().await).await;
    for request in
        [every(0, 999_000_000), every(10, 1), every(0, 0), every(-1, 0), every(i64::MAX, 0)]
    {
        let status = server.client.clone().watch_changes(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(field_violations(&status), ["heartbeat_interval"]);
    }
    for request in [every(1, 0), every(10, 0), every(1, 500_000_000)] {
        server.client.clone().watch_changes(request).await.unwrap();
    }
}
