//! The faults that other tests rely on are what they are said to be.

use std::{net::Ipv4Addr, time::Duration};

use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::harness::{pooler::Pooler, postgres::Cluster, proxy::Proxy};

/// For this long, what must not come is waited for.
const MOMENT: Duration = Duration::from_millis(300);
/// What must come has come by then.
const BOUND: Duration = Duration::from_secs(30);

/// Someone who listens, and a proxy to them.
async fn proxied() -> (TcpListener, Proxy) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let proxy = Proxy::to(listener.local_addr().unwrap().port()).await;
    (listener, proxy)
}

async fn dial(proxy: &Proxy) -> TcpStream {
    TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).await.unwrap()
}

async fn answer(listener: &TcpListener) -> TcpStream {
    timeout(BOUND, listener.accept()).await.unwrap().unwrap().0
}

async fn receive(stream: &mut TcpStream, expected: &[u8]) {
    let mut bytes = vec![0; expected.len()];
    timeout(BOUND, stream.read_exact(&mut bytes)).await.expect("it comes in time").unwrap();
    assert_eq!(bytes, expected);
}

/// No byte comes, and no end either.
async fn receive_nothing(stream: &mut TcpStream) {
    let read = timeout(MOMENT, stream.read_u8()).await;
    assert!(read.is_err(), "{read:?}");
}

async fn receive_end(stream: &mut TcpStream) {
    assert_eq!(timeout(BOUND, stream.read(&mut [0])).await.expect("it ends in time").unwrap(), 0);
}

#[tokio::test]
async fn a_proxy_passes_bytes_on_and_can_be_a_black_hole() {
    let (listener, proxy) = proxied().await;
    let mut client = dial(&proxy).await;
    let mut server = answer(&listener).await;
    client.write_all(b"question").await.unwrap();
    receive(&mut server, b"question").await;
    server.write_all(b"answer").await.unwrap();
    receive(&mut client, b"answer").await;

    proxy.black_hole();
    client.write_all(b"into the hole").await.unwrap();
    server.write_all(b"out of it").await.unwrap();
    server.shutdown().await.unwrap();
    let mut late = dial(&proxy).await;
    late.write_all(b"late").await.unwrap();
    tokio::join!(
        receive_nothing(&mut client),
        receive_nothing(&mut server),
        receive_nothing(&mut late)
    );

    proxy.let_through();
    receive(&mut server, b"into the hole").await;
    receive(&mut client, b"out of it").await;
    receive_end(&mut client).await;
    receive(&mut answer(&listener).await, b"late").await;
}

#[tokio::test]
async fn a_proxy_that_is_full_goes_on_where_it_was() {
    let (listener, proxy) = proxied().await;
    let mut client = dial(&proxy).await;
    let mut server = answer(&listener).await;
    let all: Vec<u8> =
        (0..20_000_000_u32).map(|number| number.to_le_bytes()[number as usize % 3]).collect();
    let sent = all.clone();
    let sending = tokio::spawn(async move { client.write_all(&sent).await.map(|()| client) });
    let (first, rest) = all.split_at(1_000_000);
    receive(&mut server, first).await;
    proxy.black_hole();
    proxy.let_through();
    receive(&mut server, rest).await;
    drop(sending.await.unwrap().unwrap());
    receive_end(&mut server).await;
}

#[tokio::test]
async fn a_proxy_cuts_what_is_open_and_sends_what_is_new_elsewhere() {
    let (listener, proxy) = proxied().await;
    let mut client = dial(&proxy).await;
    let mut server = answer(&listener).await;
    let elsewhere = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    proxy.point_at(elsewhere.local_addr().unwrap().port());
    client.write_all(b"still here").await.unwrap();
    receive(&mut server, b"still here").await;

    proxy.cut().await;
    receive_end(&mut client).await;
    receive_end(&mut server).await;
    dial(&proxy).await.write_all(b"there").await.unwrap();
    receive(&mut answer(&elsewhere).await, b"there").await;
}

#[tokio::test]
async fn with_a_proxy_all_that_it_held_ends() {
    let (listener, proxy) = proxied().await;
    let mut client = dial(&proxy).await;
    let mut server = answer(&listener).await;
    proxy.black_hole();
    drop(proxy);
    receive_end(&mut client).await;
    receive_end(&mut server).await;
}

#[tokio::test]
async fn a_cluster_that_was_killed_comes_back_with_its_rows() {
    let mut cluster = Cluster::start(&["log_disconnections=on"]);
    cluster.execute("CREATE TABLE kept (number int)").await;
    let mut open = PgConnection::connect(&cluster.url("postgres")).await.unwrap();
    for number in 0..2 {
        cluster.execute(&format!("INSERT INTO kept VALUES ({number})")).await;
        cluster.kill_hard();
        sqlx::raw_sql("SELECT 1").execute(&mut open).await.unwrap_err();
        PgConnection::connect(&cluster.url("postgres")).await.map(drop).unwrap_err();
        cluster.restart();
        open = PgConnection::connect(&cluster.url("postgres")).await.unwrap();
    }
    assert_eq!(cluster.ask::<i64>("SELECT count(*) FROM kept").await, 2);
    assert_eq!(
        cluster.ask::<String>("SHOW log_disconnections").await,
        "on",
        "its settings are the same"
    );
    assert_eq!(cluster.log().matches("ready to accept connections").count(), 3, "the log goes on");
}

#[tokio::test]
async fn a_cluster_that_hangs_answers_once_it_is_resumed() {
    let mut cluster = Cluster::start(&[]);
    let mut open = PgConnection::connect(&cluster.url("postgres")).await.unwrap();
    cluster.hang();
    {
        let mut on_open = std::pin::pin!(sqlx::raw_sql("SELECT 1").execute(&mut open));
        let url = cluster.url("postgres");
        let mut anew = std::pin::pin!(PgConnection::connect(&url));
        let (open_answers, new_answers) =
            tokio::join!(timeout(MOMENT, &mut on_open), timeout(MOMENT, &mut anew));
        assert!(open_answers.is_err() && new_answers.is_err());
        cluster.resume();
        timeout(BOUND, on_open).await.unwrap().unwrap();
        timeout(BOUND, anew).await.unwrap().unwrap();
    }
    cluster.hang();
    cluster.stop();
}

#[tokio::test]
async fn a_standby_whose_replay_is_paused_lags_and_then_catches_up() {
    let primary = Cluster::start(&[]);
    primary.execute("CREATE TABLE copied (number int)").await;
    let standby = Cluster::standby_of(&primary, &[]);
    standby.pause_replay().await;
    primary.execute("INSERT INTO copied VALUES (1)").await;
    let caught_up = timeout(MOMENT, standby.catch_up(&primary)).await;
    assert!(caught_up.is_err(), "it lags");
    assert_eq!(standby.ask::<i64>("SELECT count(*) FROM copied").await, 0);

    standby.resume_replay().await;
    standby.catch_up(&primary).await;
    assert_eq!(standby.ask::<i64>("SELECT count(*) FROM copied").await, 1);
}

#[tokio::test]
async fn a_standby_follows_a_primary_that_was_killed_and_came_back() {
    let mut primary = Cluster::start(&[]);
    let mut standby = Cluster::standby_of(&primary, &[]);
    primary.kill_hard();
    primary.restart();
    standby.kill_hard();
    standby.restart();
    primary.execute("CREATE TABLE made_later (number int)").await;
    standby.catch_up(&primary).await;
    assert_eq!(standby.ask::<i64>("SELECT count(*) FROM made_later").await, 0);
}

#[tokio::test]
async fn a_promoted_standby_takes_writes() {
    let mut primary = Cluster::start(&[]);
    primary.execute("CREATE TABLE moved (number int); INSERT INTO moved VALUES (1)").await;
    let standby = Cluster::standby_of(&primary, &[]);
    standby.catch_up(&primary).await;
    primary.kill_hard();
    standby.promote().await;
    standby.execute("INSERT INTO moved VALUES (2)").await;
    assert_eq!(standby.ask::<i64>("SELECT count(*) FROM moved").await, 2);
}

#[tokio::test]
async fn a_pooler_in_transaction_mode_refuses_startup_options_and_answers_without_them() {
    let cluster = Cluster::start(&[]);
    let pooler = Pooler::to(cluster.port(), &["default_pool_size = 1"]);
    let plain: PgConnectOptions = pooler.url("postgres").parse().unwrap();
    let plain = plain.extra_float_digits(None);
    for unknown in
        [plain.clone().extra_float_digits(2), plain.clone().options([("statement_timeout", "1s")])]
    {
        let error = PgConnection::connect_with(&unknown).await.map(drop).unwrap_err().to_string();
        assert!(error.contains("unsupported startup parameter"), "{error}");
    }

    let mut first = PgConnection::connect_with(&plain).await.unwrap();
    let mut second = PgConnection::connect_with(&plain).await.unwrap();
    let backend = "SELECT pg_backend_pid()::text";
    let of_first = sqlx::raw_sql(backend).fetch_one(&mut first).await.unwrap();
    let of_second = sqlx::raw_sql(backend).fetch_one(&mut second).await.unwrap();
    let id = |row| sqlx::Row::get::<String, _>(&row, 0);
    assert_eq!(id(of_first), id(of_second), "between transactions a connection belongs to nobody");
}
