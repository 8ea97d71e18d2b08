//! The data listener: EntitlementService, UsageService, LeaseService, ReplicationService and ext_authz,
//! health and reflection.

use std::sync::Arc;

use tonic::service::Routes;

use super::reflection;
use crate::{
    config::{Insecure, InstanceArgs},
    proto::{
        replication::replication_service_server,
        v1::{entitlement_service_server, lease_service_server, usage_service_server},
    },
    server::{
        ServeError,
        net::listener::{Endpoint, Listener},
        security::Security,
    },
    service::{
        Api,
        grpc::{
            data::DataServices,
            front::{Front, FrontSettings},
            health::HealthReporter,
        },
    },
};

/// Binds the address.
pub(crate) async fn bind(
    args: &InstanceArgs,
    api: &Api,
    health: &HealthReporter,
    security: &Security<'_>,
) -> Result<Endpoint<Front<DataServices>>, ServeError> {
    let settings = FrontSettings {
        max_in_flight: args.limit.max_in_flight as usize,
        request_timeout: args.limit.request_timeout.std(),
        tells_ids: api.decision_log.is_some(),
    };
    let mut names = vec![
        entitlement_service_server::SERVICE_NAME,
        lease_service_server::SERVICE_NAME,
        replication_service_server::SERVICE_NAME,
    ];
    names.extend(api.database.as_ref().map(|_| usage_service_server::SERVICE_NAME));
    let others = reflection::add(Routes::new(health.service(args.limit.max_connections)), &names)?;
    let services = DataServices::new(api.clone());
    let answers =
        Front::new(services, others, settings, Arc::clone(&api.metrics), api.tracer.clone());
    let tls = security.of(Insecure::Data, "--listen", &args.listen)?;
    security.needs_callers("--listen", &args.listen)?;
    let (address, listener) = Listener::bind("--listen", &args.listen).await?;
    Ok(Endpoint { listener, address, tls, answers })
}
