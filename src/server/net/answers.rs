//! The interface through which a connection's requests are answered.

use std::{convert::Infallible, future::Future};

use http::{Request, Response};
use hyper::body::Incoming;
use tonic::body::Body;

use crate::service::{
    Ending, Peer,
    grpc::front::{Answer, Front, Services},
};

/// Answers the requests of a connection.
pub(crate) trait Answers: Send + Sync + 'static {
    /// The future of an answer.
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
