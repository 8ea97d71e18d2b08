//! Reflection, so that tools like grpcurl need no proto files.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tonic::service::Routes;
use tonic_reflection::server::{Builder, Error};

use crate::{proto::FILE_DESCRIPTOR_SET, service::Limited};

/// Maximum number of streams on one listener. Anyone who can connect may open one; answers to all of
/// them that nobody reads stay below what one connection may hold.
const MAX_STREAMS: usize = 16;

/// Adds reflection; older versions of grpcurl use v1alpha.
///
/// It names only the services that are answered here, health and itself: the descriptors contain
/// more.
pub(crate) fn add(routes: Routes, services: &[&str]) -> Result<Routes, Error> {
    let builder = || {
        let all = Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // So that the details of a status are printed with their types.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
            .with_service_name("grpc.health.v1.Health");
        services.iter().fold(all, |all, service| all.with_service_name(*service))
    };
    let places = Arc::new(Semaphore::new(MAX_STREAMS));
    Ok(routes
        .add_service(Limited::new(builder().build_v1()?, &places))
        .add_service(Limited::new(builder().build_v1alpha()?, &places)))
}
