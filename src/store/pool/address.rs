//! Where connections lead. That may change while there are some: those that were opened before are
//! closed as they come back.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, ConnectOptions, Executor, PgConnection, postgres::PgConnectOptions};
use tokio::time::{Instant, timeout};

use super::{
    Exchanges, IdleHealth, Limits, Pool,
    open::{is_refused, of_opening, too_late},
    state::{Idle, State},
};
use crate::store::StoreError;

/// How connections are opened.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) connect: PgConnectOptions,
    /// Which address it is, counted from the first.
    pub(super) number: u64,
}

/// A connection that was just opened, or why that was not possible, and with which address.
pub(super) struct Attempt {
    pub(super) result: sqlx::Result<PgConnection>,
    pub(super) address: u64,
}

impl Pool {
    /// How connections are opened at present.
    pub(in crate::store) fn options(&self) -> PgConnectOptions {
        self.0.address.borrow().connect.clone()
    }

    /// The number of the present address. It changes only while the state is locked.
    pub(super) fn address(&self) -> u64 {
        self.0.address.borrow().number
    }

    /// Opens a connection. If the address changes meanwhile, that is begun again.
    pub(super) async fn establish(&self) -> Attempt {
        let mut present = self.0.address.subscribe();
        loop {
            let Address { connect, number } = present.borrow_and_update().clone();
            tokio::select! {
                Ok(()) = present.changed() => {}
                result = self.open_at(&connect) => return Attempt { result, address: number },
            }
        }
    }

    async fn open_at(&self, connect: &PgConnectOptions) -> sqlx::Result<PgConnection> {
        let opening = async {
            let mut connection = connect.connect().await?;
            if let Some(first) = &self.0.first {
                let first = AssertSqlSafe(first.clone());
                connection.execute(sqlx::raw_sql(first)).await?;
            }
            Ok(connection)
        };
        let at_most = self.0.limits.connect;
        timeout(at_most, opening).await.unwrap_or_else(|_| Err(too_late(at_most)))
    }

    /// Opens one connection with another address, to be tried by itself before the address is
    /// changed. Where the present server has no room for one more, one of these may be closed.
    pub(in crate::store) async fn elsewhere(
        &self,
        connect: PgConnectOptions,
        exchanges: &mut Exchanges,
    ) -> Result<Self, StoreError> {
        let makes_room = is_the_same_server(&connect, &self.options());
        let limits = Limits { most: 1, keeps_shares: false, ..self.0.limits };
        let there = Self::new(connect, self.first(), limits, IdleHealth::default());
        let mut attempt = there.establish().await;
        if makes_room
            && attempt.result.as_ref().is_err_and(is_refused)
            && let Some(_place) = self.given_up(exchanges).await
        {
            attempt = there.establish().await;
        }
        let connection = attempt.result.map_err(|error| of_opening(Arc::new(error)))?;
        let (opened, address) = (Instant::now(), attempt.address);
        let mut state = there.0.state.lock();
        state.open = 1;
        state.put_back(Idle { connection, opened, since: opened, address });
        drop(state);
        Ok(there)
    }

    /// From now on connections are opened as those of the other, whose connection is the first. Idle
    /// ones are closed, and others when they come back. What was known of the server is forgotten.
    pub(in crate::store) fn move_to(&self, other: &Self) {
        let connect = other.options();
        let first = {
            let mut theirs = other.0.state.lock();
            let idle = theirs.take_all_idle();
            theirs.open -= idle.len();
            idle
        };
        let mut state = self.0.state.lock();
        let left = state.take_all_idle();
        let number = self.address() + 1;
        self.0.address.send_replace(Address { connect, number });
        state.forget_the_server();
        state.open += first.len();
        for idle in first {
            state.put_back(Idle { address: number, ..idle });
        }
        drop(state);
        self.close_all(left);
        self.serve();
    }

    /// Has it connections, or no reason to think that it could not open any?
    pub(in crate::store) fn works(&self) -> bool {
        let state = self.0.state.lock();
        state.usable() > 0 || state.failure.is_none()
    }
}

/// Do both lead to one server, whoever asks there and for which database?
pub(in crate::store) fn is_the_same_server(
    one: &PgConnectOptions,
    other: &PgConnectOptions,
) -> bool {
    let way = |options: &PgConnectOptions| {
        (options.get_host().to_owned(), options.get_port(), options.get_socket().cloned())
    };
    way(one) == way(other)
}

impl State {
    /// Another server may have room, and let in who was refused here.
    fn forget_the_server(&mut self) {
        self.failure = None;
        self.refusal = None;
        self.told = None;
    }
}
