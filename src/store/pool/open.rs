//! Opening connections, and what the server says to that.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, atomic::Ordering},
};

use sea_orm::{DbErr, RuntimeErr};
use sqlx::PgConnection;
use tokio::{
    runtime::Handle,
    time::{Duration, Instant, sleep},
};

use super::{
    Pool,
    address::Attempt,
    state::{Failure, Idle, Refusal, State},
};
use crate::store::StoreError;

/// The first pause before another attempt, and the longest.
const PAUSES: [Duration; 2] = [Duration::from_millis(10), Duration::from_millis(200)];

/// A server that has refused a connection for their number is not asked for more of them for this
/// long, while there are others; and for longer each time that it refuses again, up to this.
const CONTENT: [Duration; 2] = [Duration::from_secs(5), Duration::from_mins(2)];

/// After one that could not be opened another is not tried for this long, while there are others.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Of several that are opened at once some are granted and others refused, all within this time.
const SETTLES: Duration = Duration::from_millis(250);

/// How often the log is told that there are fewer than wanted.
const TELL: Duration = Duration::from_mins(1);

/// A connection that is being opened, and counts as such until this is dropped: also where whoever
/// opens it gives up in the middle.
pub(super) struct Opening {
    pool: Pool,
    /// It is being tried. If that is given up in the middle, another is begun for whoever waits.
    is_tried: bool,
}

impl Opening {
    /// One that has been counted. A runtime that ends drops it before it is tried, as it would every
    /// other that was begun in its place.
    pub(super) fn counted(pool: Pool) -> Self {
        Self { pool, is_tried: false }
    }

    /// It was opened, or could not be.
    pub(super) fn end(mut self) {
        self.is_tried = false;
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.pool.0.state.lock().opening -= 1;
        if self.is_tried {
            // Somebody may be waiting for this one.
            self.pool.serve();
        }
    }
}

impl Pool {
    /// Opens a connection for whoever waits. While there is no other, it is tried until it works or
    /// nobody waits any more.
    pub(super) async fn open_one(self, mut opening: Opening) {
        opening.is_tried = true;
        let [mut pause, longest] = PAUSES;
        loop {
            let began = Instant::now();
            let Attempt { result, address } = self.establish().await;
            match result {
                Ok(connection) => {
                    return self.opened(connection, address, began.elapsed(), opening);
                }
                Err(error) => {
                    if self.gives_up(error, address) {
                        return opening.end();
                    }
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    /// Asks the server for one more than it has given. The error has the server's own words.
    pub(in crate::store) async fn ask_for_another(&self) -> Result<(), StoreError> {
        self.0.state.lock().opening += 1;
        let mut opening = Opening::counted(self.clone());
        opening.is_tried = true;
        let began = Instant::now();
        let Attempt { result, address } = self.establish().await;
        match result {
            Ok(connection) => {
                self.opened(connection, address, began.elapsed(), opening);
                Ok(())
            }
            Err(error) => {
                let failure = self.note_failure(&mut self.0.state.lock(), error, address);
                opening.end();
                Err(failure)
            }
        }
    }

    fn opened(&self, connection: PgConnection, address: u64, took: Duration, opening: Opening) {
        *self.0.took.lock() = took;
        let now = Instant::now();
        let most = self.0.limits.most;
        let mut state = self.0.state.lock();
        state.open += 1;
        let opened = Idle { connection, opened: now, since: now, address };
        if address != self.address() {
            drop(state);
            opening.end();
            self.close_all([opened]);
            return self.serve();
        }
        state.failure = None;
        let mut given = None;
        if let Some(refusal) = state.refusal
            && state.open > refusal.granted
        {
            given = Some(state.open);
            state.refusal = (state.open < most).then_some(Refusal {
                granted: state.open,
                until: now,
                pause: Duration::ZERO,
                ..refusal
            });
        }
        state.put_back(opened);
        let too_late = if state.is_closed { state.take_all_idle() } else { VecDeque::new() };
        drop(state);
        opening.end();
        self.close_all(too_late);
        if let Some(given) = given {
            tracing::info!("the database gives this server more connections: {given} of {most}");
        }
        self.serve();
    }

    /// A connection could not be opened. Is that the end of trying?
    fn gives_up(&self, error: sqlx::Error, address: u64) -> bool {
        let (is_passing, is_refused) = (is_passing(&error), is_refused(&error));
        let mut state = self.0.state.lock();
        let failure = self.note_failure(&mut state, error, address);
        let is_the_only_hope = state.usable() == 0;
        let is_needed = state.has_waiters() && !state.is_closed;
        if address != self.address() {
            return !is_needed;
        }
        // One is enough to find out when it works again. Where there are too many, those that there
        // are serve.
        let goes_on = is_needed && is_passing && (is_the_only_hope || !is_refused);
        if goes_on && state.opening == 1 {
            return false;
        }
        let is_in_vain = is_the_only_hope && !is_passing;
        let told = if is_in_vain { state.take_all_waiters() } else { Vec::new() };
        drop(state);
        for waiter in told {
            _ = waiter.send(Err(failure.clone()));
        }
        true
    }

    /// Notes why one could not be opened, and tells the log if the server has enough of us. It still
    /// counts as being opened. Of an address that was left nothing is noted.
    fn note_failure(&self, state: &mut State, error: sqlx::Error, address: u64) -> StoreError {
        let now = Instant::now();
        let is_passing = is_passing(&error);
        let error = Arc::new(error);
        if address != self.address() {
            return of_opening(error);
        }
        if !is_refused(&error) && state.told.is_none_or(|told| now.duration_since(told) >= TELL) {
            // Those that there are may serve for a long time before anybody notices.
            state.told = Some(now);
            tracing::warn!(%error, open = state.open, "a connection to the database cannot be opened: {error}");
        }
        if is_refused(&error) {
            self.0.refused.fetch_add(1, Ordering::Relaxed);
            // Others that are being opened may yet be granted.
            let granted = state.open + state.opening - 1;
            let before = state.refusal.filter(|before| now.duration_since(before.told) < TELL);
            let told = before.map_or(now, |before| before.told);
            let pause = match state.refusal {
                None => CONTENT[0],
                Some(before) if now < before.until => before.pause,
                Some(before) => (before.pause * 2).clamp(CONTENT[0], CONTENT[1]),
            };
            state.refusal = Some(Refusal { granted, until: now + pause, pause, told });
            if before.is_none() {
                self.tell_refusal(Arc::clone(&error));
            }
        }
        let failure = of_opening(error);
        let until = now + AFTER_FAILURE;
        state.failure = Some(Failure { error: failure.clone(), is_passing, until });
        failure
    }

    /// Tells the log, once it has turned out how many there are.
    fn tell_refusal(&self, error: Arc<sqlx::Error>) {
        let Ok(runtime) = Handle::try_current() else { return };
        let pool = self.clone();
        runtime.spawn(async move {
            sleep(SETTLES).await;
            let (granted, most) = (pool.0.state.lock().open, pool.0.limits.most);
            tracing::warn!(
                %error,
                granted,
                most,
                "the database gives this server {granted} of {most} connections, and it serves with those: {error}"
            );
        });
    }
}

/// The error of whoever wanted a connection that could not be opened.
pub(super) fn of_opening(error: Arc<sqlx::Error>) -> StoreError {
    StoreError::NoConnection(Arc::new(DbErr::Conn(RuntimeErr::SqlxError(error))))
}

/// Nothing has come back in this time.
pub(super) fn too_late(at_most: Duration) -> sqlx::Error {
    let late = format!("no answer for {at_most:?} while it was opened");
    io::Error::new(io::ErrorKind::TimedOut, late).into()
}

/// Has the server refused it since there are too many? For the role, for the database, or in all.
pub(super) fn is_refused(error: &sqlx::Error) -> bool {
    const TOO_MANY_CONNECTIONS: &str = "53300";
    code(error).is_some_and(|code| code == TOO_MANY_CONNECTIONS)
}

/// May it pass within a moment?
fn is_passing(error: &sqlx::Error) -> bool {
    const CANNOT_CONNECT_NOW: &str = "57P03";
    match error {
        sqlx::Error::Io(error) => error.kind() == io::ErrorKind::ConnectionRefused,
        error => is_refused(error) || code(error).is_some_and(|code| code == CANNOT_CONNECT_NOW),
    }
}

fn code(error: &sqlx::Error) -> Option<std::borrow::Cow<'_, str>> {
    error.as_database_error()?.code()
}
