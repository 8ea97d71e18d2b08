//! Workers: threads with a runtime each, which answer the connections that are handed to them.
//!
//! A current-thread runtime per core has no queue to share and no task to steal.

use std::{io, sync::Arc, thread};

use tokio::{
    runtime::Builder,
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
};

use super::{
    answers::Answers,
    connection::{ConnectionSettings, serve},
    listener::Accepted,
};

/// The number of connections that may wait for their worker.
const INBOX: usize = 1024;

/// A worker's thread.
pub(crate) struct Worker {
    pub(crate) sender: mpsc::Sender<Accepted>,
    /// Resolves when the thread has ended, which should not happen before shutdown.
    pub(crate) ended: oneshot::Receiver<()>,
}

/// Starts a worker. Once `draining` is true, it stops taking connections and drains those it has.
pub(crate) fn start(
    name: &str,
    front: impl Answers,
    settings: ConnectionSettings,
    draining: watch::Receiver<bool>,
) -> io::Result<Worker> {
    let (sender, inbox) = mpsc::channel(INBOX);
    let (end, ended) = oneshot::channel();
    let runtime = Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        // Dropped when the thread ends, for whatever reason.
        let _end: oneshot::Sender<()> = end;
        runtime.block_on(work(inbox, Arc::new(front), settings, draining));
    })?;
    Ok(Worker { sender, ended })
}

async fn work(
    mut inbox: mpsc::Receiver<Accepted>,
    front: Arc<impl Answers>,
    settings: ConnectionSettings,
    draining: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    let mut told = draining.clone();
    loop {
        tokio::select! {
            // A dropped sender means that the server was dropped.
            _ = told.wait_for(|draining| *draining) => break,
            accepted = inbox.recv() => match accepted {
                Some(accepted) => _ = connections.spawn(serve(accepted, Arc::clone(&front), settings.clone(), draining.clone())),
                None => break,
            },
            Some(_) = connections.join_next() => {}
        }
    }
    while connections.join_next().await.is_some() {}
}
