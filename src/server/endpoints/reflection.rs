//! Reflection, so that tools like grpcurl need no proto files.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response, Uri};
use tokio::sync::Semaphore;
use tonic::{body::Body, server::NamedService, service::Routes};
use tower_service::Service;

use crate::{
    proto::FILE_DESCRIPTOR_SET,
    service::{
        Limited,
        grpc::reflection::{DescriptorError, Index, service},
    },
};

/// Maximum number of streams on one listener. Anyone who can connect may open one; answers to all of
/// them that nobody reads stay below what one connection may hold.
const MAX_STREAMS: usize = 16;

/// Where reflection is asked for.
const METHOD: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

/// Adds reflection; older versions of grpcurl use v1alpha.
///
/// It names only the services that are answered here, and health: the descriptors contain more.
pub(crate) fn add(routes: Routes, services: &[&str]) -> Result<Routes, DescriptorError> {
    let sets = [
        FILE_DESCRIPTOR_SET,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        // So that the details of a status are printed with their types.
        tonic_types::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ];
    let listed = [&["grpc.health.v1.Health"], services].concat();
    let service = service(Arc::new(Index::new(&sets, &listed)?));
    let places = Arc::new(Semaphore::new(MAX_STREAMS));
    Ok(routes
        .add_service(Limited::new(service.clone(), &places))
        .add_service(Limited::new(Alpha(service), &places)))
}

/// v1 under the name of v1alpha, whose messages are the same.
#[derive(Clone)]
struct Alpha<S>(S);

impl<S> NamedService for Alpha<S> {
    const NAME: &'static str = "grpc.reflection.v1alpha.ServerReflection";
}

impl<S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>>
    Service<Request<Body>> for Alpha<S>
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if request.uri().path().ends_with("/ServerReflectionInfo") {
            *request.uri_mut() = Uri::from_static(METHOD);
        }
        self.0.call(request)
    }
}
