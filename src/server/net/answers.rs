//! What answers the requests of a connection.

use std::{convert::Infallible, future::Future};

use http::{Request, Response};
use hyper::body::Incoming;
use tonic::body::Body;

use crate::service::{
    Ending, Peer,
    grpc::front::{Answer, Front, Services},
};

/// What answers the requests of a connection.
pub(crate) trait Answers: Send + Sync + 'static {
    /// An answer on its way.
    type Answer: Future<Output = Result<Response<Body>, Infallible>> + Send + Unpin + 'static;

    /// Answers a request. `ending` says when its connection is to end.
    fn answer(&self, request: Request<Incoming>, peer: &Peer, ending: &Ending) -> Self::Answer;
}

impl<S: Services + Send + Sync + 'static> Answers for Front<S> {
    type Answer = Answer;

    fn answer(&self, request: Request<Incoming>, peer: &Peer, ending: &Ending) -> Answer {
        self.answer(request, peer, ending)
    }
}
