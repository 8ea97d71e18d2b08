//! One question to the server, however many callers wait for its answer.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::Hash,
    sync::Arc,
};

use futures_util::future::{BoxFuture, FutureExt, Shared};
use parking_lot::Mutex;
use tonic::Status;

type Flight<V> = Shared<BoxFuture<'static, Result<V, Status>>>;

/// Questions that are under way.
#[derive(Debug)]
pub(crate) struct Flights<K: Eq + Hash, V: Clone>(Arc<Mutex<HashMap<K, Flight<V>>>>);

impl<K, V> Flights<K, V>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    /// Joins the question with this key, or starts it. A caller that gives up does not end it for
    /// the others: it runs in a task of its own.
    pub(crate) async fn join(
        &self,
        key: K,
        ask: impl FnOnce() -> BoxFuture<'static, Result<V, Status>>,
    ) -> Result<V, Status> {
        let flight = match self.0.lock().entry(key) {
            Entry::Occupied(under_way) => under_way.get().clone(),
            Entry::Vacant(vacant) => {
                let (flights, key, asked) = (Arc::clone(&self.0), vacant.key().clone(), ask());
                let task = tokio::spawn(async move {
                    let _end = OnEnd(|| drop(flights.lock().remove(&key)));
                    asked.await
                });
                let flight = async move {
                    task.await.unwrap_or_else(|error| Err(Status::unknown(error.to_string())))
                };
                vacant.insert(flight.boxed().shared()).clone()
            }
        };
        flight.await
    }
}

/// Runs a closure when dropped.
pub(crate) struct OnEnd<F: FnMut()>(pub(crate) F);

impl<F: FnMut()> Drop for OnEnd<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
