//! The admin listener: off unless requested, and never without tokens.

use std::{convert::Infallible, sync::Arc};

use tokio::runtime::Handle;
use tonic::service::Routes;

use super::reflection;
use crate::{
    config::{AdminArgs, Insecure, ServeArgs, UnusableSetting},
    proto::v1::{feature_admin_service_server, tenant_admin_service_server},
    security::admin_tokens::AdminTokens,
    server::{
        ServeError,
        background::{reload::Reloads, reloaded_files::ReloadedFiles},
        net::listener::{Endpoint, Listener, MaxConnections},
        security::Security,
    },
    service::{
        Core,
        admin::{AdminApi, AdminGate, AdminLimiter},
        grpc::{
            administration::AdminServices,
            front::{Front, FrontSettings},
            health::HealthReporter,
        },
    },
};

/// Maximum number of administrators' connections. When it is reached, a newer connection ends an
/// unused one.
pub(crate) const MAX_CONNECTIONS: MaxConnections =
    MaxConnections { in_all: 64, per_address: Some(32), makes_room: true };
/// Maximum number of concurrent requests on one of them.
pub(crate) const MAX_STREAMS: u32 = 16;
/// Maximum number of concurrent requests on all of them: none is ever shed, since each waits for
/// its turn.
const MAX_IN_FLIGHT: usize = (MAX_CONNECTIONS.in_all * MAX_STREAMS) as usize;

/// Binds the address, if there is one. Also returns the task that applies changes of the tokens'
/// file.
pub(crate) async fn bind(
    args: &ServeArgs,
    core: &Core,
    health: &HealthReporter,
    security: &Security<'_>,
    reloads: Reloads,
) -> Result<
    Option<(Endpoint<Front<AdminServices>>, impl Future<Output = Infallible> + use<>)>,
    ServeError,
> {
    let Some(wanted) = &args.admin.admin_listen else { return Ok(None) };
    let flag = "--admin-listen";
    let tls = security.of(Insecure::Admin, flag, wanted)?;
    let (file, tokens) = tokens(&args.admin)?;
    let gate = AdminGate::new(tokens);
    let others = reflection::add(
        Routes::new(health.service(MAX_CONNECTIONS.in_all)),
        &[tenant_admin_service_server::SERVICE_NAME, feature_admin_service_server::SERVICE_NAME],
    )?;
    let admin = AdminApi {
        core: core.clone(),
        gate: gate.clone(),
        limiter: AdminLimiter::on(Handle::current(), Arc::clone(&core.store)),
    };
    let settings = FrontSettings {
        max_in_flight: MAX_IN_FLIGHT,
        request_timeout: args.instance.limit.request_timeout.std(),
        tells_ids: false,
    };
    let answers = Front::new(
        AdminServices::new(admin),
        others,
        settings,
        Arc::clone(&core.api.metrics),
        core.api.tracer.clone(),
    );
    let (address, listener) = Listener::bind(flag, wanted).await?;
    tracing::info!(%address, "administrators are answered on {address}");
    // Also if none is left: a revoked token must not remain valid.
    let following = file.follow(reloads, move |tokens| gate.replace(tokens));
    Ok(Some((Endpoint { listener, address, tls, answers }, following)))
}

/// The tokens' file, and the tokens in it.
fn tokens(args: &AdminArgs) -> Result<(ReloadedFiles<AdminTokens>, AdminTokens), UnusableSetting> {
    let Some(path) = args.admin_tokens_file.clone() else {
        let problem = "needs --admin-tokens-file: without a token, nobody is admitted";
        return Err(UnusableSetting::new("--admin-listen", problem));
    };
    let setting = "--admin-tokens-file";
    let (file, tokens) =
        ReloadedFiles::open_text(setting, path.clone(), str::parse::<AdminTokens>)?;
    if tokens.is_empty() {
        let problem = format!(
            "names {}, which holds no token: entitlementd token new makes one",
            path.display()
        );
        return Err(UnusableSetting::new(setting, problem));
    }
    Ok((file, tokens))
}
