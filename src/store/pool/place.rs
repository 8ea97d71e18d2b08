//! Connections that others open, and that are counted all the same.

use tokio::time::Instant;

use super::{Exchanges, Pool, share::Purpose, state::State};
use crate::store::StoreError;

/// The right to open one connection outside of the pool, which counts as one of its own until this
/// is dropped.
#[derive(Debug)]
pub(in crate::store) struct Place {
    pool: Pool,
    purpose: Purpose,
}

impl Place {
    /// A new one.
    fn new(pool: Pool, purpose: Purpose, state: &mut State) -> Self {
        state.open += 1;
        state.places += 1;
        *state.in_use.of_mut(purpose) += 1;
        Self { pool, purpose }
    }

    /// That of a connection which is in use, and is to be closed.
    pub(super) fn of_one_in_use(pool: Pool, purpose: Purpose) -> Self {
        pool.0.state.lock().places += 1;
        Self { pool, purpose }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.pool.free(|state| {
            state.places -= 1;
            *state.in_use.of_mut(self.purpose) -= 1;
        });
    }
}

impl Pool {
    /// A place for a connection that somebody else opens: at once, as far as there are more, and
    /// otherwise in exchange for one of these.
    async fn place(&self, purpose: Purpose) -> Result<Place, StoreError> {
        {
            let mut state = self.0.state.lock();
            if state.has_room(&self.0.limits) {
                return Ok(Place::new(self.clone(), purpose, &mut state));
            }
        }
        self.exchanged(purpose).await
    }

    /// A place in exchange for a connection of the pool, which the server has granted.
    pub(in crate::store) async fn exchanged(&self, purpose: Purpose) -> Result<Place, StoreError> {
        Ok(self.acquire(purpose).await?.into_place().await)
    }

    /// The place of a connection that is closed so that another address can be tried. It is never the
    /// last one that can serve.
    pub(super) async fn given_up(&self, exchanges: &mut Exchanges) -> Option<Place> {
        let there_are_others = self.0.state.lock().usable() > 1;
        if !there_are_others || !exchanges.take(Instant::now()) {
            return None;
        }
        self.exchanged(Purpose::Watching).await.ok()
    }

    /// A place to listen in, which leaves a connection for everything else.
    pub(in crate::store) async fn place_to_listen(&self) -> Result<Place, StoreError> {
        let is_the_only_one = {
            let state = self.0.state.lock();
            state.refusal.is_some() && state.allowed(&self.0.limits) < 2
        };
        if is_the_only_one {
            self.ask_for_another().await?;
        }
        self.place(Purpose::Watching).await
    }

    /// Is there nothing to load with, while a connection is held that listens?
    pub(in crate::store) fn is_starved(&self) -> bool {
        let state = self.0.state.lock();
        state.usable() == 0 && state.refusal.is_some()
    }
}
