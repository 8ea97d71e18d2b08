//! Workers: threads with a runtime each, which answer the connections that they are handed.
//!
//! A current-thread runtime per core has no queue to share and no task to steal.

use std::{convert::Infallible, future::Future, io, sync::Arc, thread};

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::{
    runtime::Builder,
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
};
use tonic::body::Body;

use super::{
    connection::{ConnectionSettings, serve},
    listener::Accepted,
};
use crate::service::{
    Ending, Peer,
    grpc::admin_front::AdminFront,
    grpc::front::{self, Answering, Front},
};

/// Connections that wait for their worker.
const INBOX: usize = 1024;

/// What answers the requests of a worker's connections.
pub(crate) trait Answers: Send + Sync + 'static {
    /// An answer on its way.
    type Answer: Future<Output = Result<Response<Body>, Infallible>> + Send + Unpin + 'static;

    /// Answers a request. `ending` says when its connection is to end.
    fn answer(&self, request: Request<Incoming>, peer: &Peer, ending: &Ending) -> Self::Answer;
}

impl Answers for Front {
    type Answer = front::Answer;

    fn answer(&self, request: Request<Incoming>, peer: &Peer, ending: &Ending) -> front::Answer {
        self.answer(request, peer, ending)
    }
}

impl Answers for AdminFront {
    type Answer = Answering;

    fn answer(&self, request: Request<Incoming>, peer: &Peer, _ending: &Ending) -> Answering {
        self.answer(request, peer)
    }
}

/// A worker's thread.
pub(crate) struct Worker {
    pub(crate) sender: mpsc::Sender<Accepted>,
    /// Resolves when the thread has ended, which before shutdown it never should.
    pub(crate) ended: oneshot::Receiver<()>,
}

/// Starts a worker. It stops taking connections, and drains those it has, once `draining` turns true.
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
        // Dropped when the thread ends, by whatever way.
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
            // A sender that is gone means that the server was dropped.
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
