//! The listener for proxies that ask over HTTP: off unless requested.

use http::Request;
use hyper::body::Incoming;

use crate::{
    config::{ForwardAuthCodesKind, Insecure, InstanceArgs, UnusableSetting},
    observability::metrics::MetricLabel,
    server::{
        net::{
            answers::Answers,
            listener::{Endpoint, Listener},
        },
        security::Security,
    },
    service::{
        Api, Ending, Peer,
        forward_auth::{Dialect, ForwardAuth, ForwardAuthSettings},
        grpc::front::Answering,
    },
};

impl Answers for ForwardAuth {
    type Answer = Answering;

    fn answer(&self, request: Request<Incoming>, peer: &Peer, _ending: &Ending) -> Answering {
        self.answer(request, peer)
    }
}

/// Binds the address, if there is one.
pub(crate) async fn bind(
    args: &InstanceArgs,
    api: &Api,
    security: &Security<'_>,
) -> Result<Option<Endpoint<ForwardAuth>>, UnusableSetting> {
    let Some(wanted) = &args.gateway.forward_auth_listen else { return Ok(None) };
    let flag = "--forward-auth-listen";
    let tls = security.of(Insecure::ForwardAuth, flag, wanted)?;
    security.needs_callers(flag, wanted)?;
    let settings = settings(args)?;
    let (address, listener) = Listener::bind(flag, wanted).await?;
    tracing::info!(%address, "proxies are answered over HTTP on {address}");
    let answers = ForwardAuth::new(api.clone(), settings);
    Ok(Some(Endpoint { listener, address, tls, answers }))
}

fn settings(args: &InstanceArgs) -> Result<ForwardAuthSettings, UnusableSetting> {
    let gateway = &args.gateway;
    let mut tenant_headers = vec![gateway.tenant_header.clone(); Dialect::ALL.len()];
    for (dialect, name) in &gateway.forward_auth_tenant_header {
        let found = Dialect::ALL.iter().find(|known| known.word() == dialect);
        let found = found.ok_or_else(|| {
            let known: Vec<_> = Dialect::ALL.iter().map(|dialect| dialect.word()).collect();
            UnusableSetting::new(
                "--forward-auth-tenant-header",
                format!("names {dialect:?}: the dialects are {}", known.join(", ")),
            )
        })?;
        tenant_headers[found.number()] = name.clone();
    }
    let dialect = match gateway.forward_auth_codes {
        ForwardAuthCodesKind::Full => Dialect::Forwarded,
        ForwardAuthCodesKind::Nginx => Dialect::Nginx,
    };
    Ok(ForwardAuthSettings {
        dialect,
        tenant_headers,
        request_timeout: args.limit.request_timeout.std(),
    })
}
