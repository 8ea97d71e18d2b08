//! How queries are called.
//!
//! What only reads takes an [`Ask`] as its first argument, either a database or a transaction: a
//! database reads on any connection of its pool and retries if that was lost, a transaction reads
//! what it has written. What writes takes a [`Transaction`](super::transaction::Transaction).

use std::future::Future;

use sea_orm::{QueryResult, QueryTrait, Statement, Value};

use super::{StoreError, dialect::Dialect};

/// Something that can be read from.
pub(super) trait Ask: Sync {
    fn dialect(&self) -> Dialect;

    /// Runs a statement, and returns its rows.
    fn query(
        &self,
        statement: Statement,
    ) -> impl Future<Output = Result<Vec<QueryResult>, StoreError>> + Send;

    /// Runs statements one after the other, and returns the rows of each.
    fn query_each(
        &self,
        statements: Vec<Statement>,
    ) -> impl Future<Output = Result<Vec<Vec<QueryResult>>, StoreError>> + Send {
        one_by_one(self, statements)
    }

    /// Runs a query that was built with SeaORM.
    fn select(
        &self,
        query: impl QueryTrait,
    ) -> impl Future<Output = Result<Vec<QueryResult>, StoreError>> + Send {
        self.query(query.build(self.dialect().backend()))
    }

    /// Runs a query in SQL, with values for `$1` and so on.
    fn sql(
        &self,
        sql: impl Into<String>,
        values: impl IntoIterator<Item = Value>,
    ) -> impl Future<Output = Result<Vec<QueryResult>, StoreError>> + Send {
        self.query(self.dialect().statement(sql, values))
    }
}

/// Runs statements one after the other, in a message each.
pub(super) async fn one_by_one(
    ask: &(impl Ask + ?Sized),
    statements: Vec<Statement>,
) -> Result<Vec<Vec<QueryResult>>, StoreError> {
    let mut all = Vec::with_capacity(statements.len());
    for statement in statements {
        all.push(ask.query(statement).await?);
    }
    Ok(all)
}
