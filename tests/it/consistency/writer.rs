//! Writers, who note what they commit.

use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use super::{
    Work,
    model::{Answers, TENANTS, Tenant, change},
};
use crate::harness::{dice::Dice, history::History, id};

/// What a commit has made of a tenant.
#[derive(Clone, Copy, Debug)]
pub struct State {
    pub answers: Answers,
    /// As it was read after the commit, before anyone else could change it.
    pub revision: Option<u64>,
}

/// One tenant: what it is, for whoever changes it, and all that it was.
struct Page {
    tenant: tokio::sync::Mutex<Tenant>,
    history: Mutex<History<State>>,
}

/// All that was committed.
pub struct Book(Vec<Page>);

impl Book {
    /// Of a database without tenants.
    pub fn new() -> Self {
        let tenant = Tenant::default();
        let state = State { answers: tenant.answers(), revision: Some(0) };
        let page =
            |_| Page { tenant: tenant.clone().into(), history: Mutex::new(History::of(state)) };
        Self((0..TENANTS).map(page).collect())
    }

    pub fn history(&self, tenant: u32) -> std::sync::MutexGuard<'_, History<State>> {
        self.0[tenant as usize].history.lock().unwrap()
    }
}

/// Commits one change after the other.
pub async fn keep_writing(book: Arc<Book>, url: String, mut dice: Dice, work: Arc<Work>) {
    let mut connection = PgConnection::connect(&url).await.unwrap();
    while work.goes_on() {
        work.time_to_write().await;
        if write(&book, &mut connection, &mut dice).await {
            work.commits.fetch_add(1, Ordering::Relaxed);
        }
        tokio::time::sleep(Duration::from_millis(dice.below(20) as u64)).await;
    }
}

/// One transaction. Says whether it was committed.
async fn write(book: &Book, connection: &mut PgConnection, dice: &mut Dice) -> bool {
    let mut numbers: Vec<u32> =
        (0..=dice.below(3)).map(|_| dice.below(TENANTS as usize) as u32).collect();
    // In this order, nobody waits for somebody who waits.
    numbers.sort_unstable();
    numbers.dedup();
    let mut locked = Vec::new();
    for number in &numbers {
        locked.push(book.0[*number as usize].tenant.lock().await);
    }
    let mut tenants: Vec<(u32, Tenant)> =
        numbers.iter().zip(&locked).map(|(number, tenant)| (*number, (*tenant).clone())).collect();

    let mut transaction = connection.begin().await.unwrap();
    let is_long = dice.once_in(20);
    for _ in 0..=dice.below(4) {
        let sql = change(dice, &mut tenants);
        transaction
            .execute(sqlx::raw_sql(AssertSqlSafe(sql.clone())))
            .await
            .unwrap_or_else(|e| panic!("{sql}: {e}"));
        if is_long {
            tokio::time::sleep(Duration::from_millis(dice.below(200) as u64)).await;
        }
    }
    if dice.once_in(10) {
        transaction.rollback().await.unwrap();
        return false;
    }
    for (number, tenant) in &tenants {
        book.history(*number).begin(State { answers: tenant.answers(), revision: None });
    }
    transaction.commit().await.unwrap();
    for number in &numbers {
        book.history(*number).end();
    }
    for ((number, tenant), locked) in tenants.into_iter().zip(&mut locked) {
        **locked = tenant;
        let revision = revision(connection, number).await;
        book.history(number).last_mut().revision = Some(revision);
    }
    true
}

async fn revision(connection: &mut PgConnection, tenant: u32) -> u64 {
    let sql = format!(
        "SELECT revision::bigint FROM entitlement_revisions WHERE tenant_id = '{}'",
        id(tenant)
    );
    let revision: Option<i64> =
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_optional(connection).await.unwrap();
    revision.unwrap_or_default().cast_unsigned()
}
