//! Tests of the parent module, with servers that are none.

use std::{
    net::Ipv4Addr,
    sync::atomic::{AtomicU64, Ordering},
};

use tokio::net::TcpListener;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

fn to(server: &TcpListener) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(server.local_addr().unwrap().port())
        .username("nobody")
        .ssl_mode(sqlx::postgres::PgSslMode::Disable)
}

fn pool_to(server: &TcpListener) -> Pool {
    pool_of(4, server)
}

fn pool_of(most: usize, server: &TcpListener) -> Pool {
    let limits = Limits { most, keeps_shares: false, acquire: PATIENCE, connect: PATIENCE };
    Pool::new(to(server), None, limits, IdleHealth::default())
}

async fn listener() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap()
}

#[tokio::test]
async fn what_is_given_up_while_it_is_opened_no_longer_counts() {
    let server = listener().await;
    let pool = pool_to(&server);
    let asking = tokio::spawn({
        let pool = pool.clone();
        async move { pool.ask_for_another().await }
    });
    // It is accepted, and never answered.
    let accepted = server.accept().await.unwrap();
    assert_eq!(pool.0.state.lock().opening, 1);
    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled());
    assert_eq!(pool.0.state.lock().opening, 0);
    drop(accepted);
    // Whoever wants one now is not left waiting for that one: another is begun.
    let wanting = tokio::spawn({
        let pool = pool.clone();
        async move { pool.acquire(Purpose::Loading).await.map(drop) }
    });
    let accepted = server.accept().await.unwrap();
    assert_eq!(pool.0.state.lock().opening, 1);
    drop(accepted);
    assert!(matches!(wanting.await.unwrap(), Err(StoreError::NoConnection(_))));
    assert_eq!(pool.0.state.lock().opening, 0);
}

#[tokio::test]
async fn a_server_that_refuses_for_good_is_not_asked_by_everybody_who_wants_a_connection() {
    let server = listener().await;
    let pool = pool_to(&server);
    let accepted = Arc::<AtomicU64>::default();
    let accepting = tokio::spawn({
        let accepted = Arc::clone(&accepted);
        async move {
            while let Ok((stream, _)) = server.accept().await {
                drop(stream);
                accepted.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    let began = Instant::now();
    for _ in 0..1_000 {
        assert!(matches!(
            pool.acquire(Purpose::Loading).await.map(drop),
            Err(StoreError::NoConnection(_))
        ));
    }
    // One more for each tenth of a second.
    let most = 2 + began.elapsed().as_secs() * 10 + 10;
    let accepted = accepted.load(Ordering::SeqCst);
    assert!((1..=most).contains(&accepted), "{accepted}");
    accepting.abort();
}

#[tokio::test]
async fn a_runtime_that_ends_while_a_connection_is_opened_takes_nobody_along() {
    let server = listener().await;
    let pool = pool_of(1, &server);
    let ending = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let acquire = |pool: Pool| async move { pool.acquire(Purpose::Loading).await.map(drop) };
    ending.spawn(acquire(pool.clone()));
    // It is accepted, and never answered.
    let accepted = server.accept().await.unwrap();
    let waiting = tokio::spawn(acquire(pool.clone()));
    while pool.0.state.lock().lines.of(Purpose::Loading).len() < 2 {
        tokio::task::yield_now().await;
    }
    tokio::task::spawn_blocking(move || drop(ending)).await.unwrap();
    assert_eq!(pool.0.state.lock().opening, 0);
    // Whoever comes next has one opened, for both.
    let next = tokio::spawn(acquire(pool));
    drop((accepted, server.accept().await.unwrap()));
    for asking in [waiting, next] {
        assert!(matches!(asking.await.unwrap(), Err(StoreError::NoConnection(_))));
    }
}

#[tokio::test]
async fn whoever_waits_for_a_server_that_was_left_is_served_by_the_next() {
    let [left, next] = [listener().await, listener().await];
    let pool = pool_to(&left);
    let wanting = tokio::spawn({
        let pool = pool.clone();
        async move { pool.acquire(Purpose::Loading).await.map(drop) }
    });
    // It is accepted, and never answered.
    let accepted = left.accept().await.unwrap();
    let there = Pool::new(to(&next), None, *pool.limits(), IdleHealth::default());
    pool.move_to(&there);
    drop(next.accept().await.unwrap());
    assert!(matches!(wanting.await.unwrap(), Err(StoreError::NoConnection(_))));
    assert_eq!(pool.0.state.lock().opening, 0);
    drop(accepted);
}
