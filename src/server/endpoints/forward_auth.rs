//! The listener for proxies that ask over HTTP: off unless requested.

use http::Request;
use hyper::body::Incoming;

use crate::{
    config::{ForwardAuthCodesKind, Insecure, ServeArgs, UnusableSetting},
    server::{
        net::{
            answers::Answers,
            listener::{Endpoint, Listener},
        },
        security::Security,
    },
    service::{
        Api, Ending, Peer,
        forward_auth::{ForwardAuth, ForwardAuthCodes},
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
    args: &ServeArgs,
    api: &Api,
    security: &Security<'_>,
) -> Result<Option<Endpoint<ForwardAuth>>, UnusableSetting> {
    let Some(wanted) = &args.gateway.forward_auth_listen else { return Ok(None) };
    let flag = "--forward-auth-listen";
    let tls = security.of(Insecure::ForwardAuth, flag, wanted)?;
    security.needs_callers(flag, wanted)?;
    let (address, listener) = Listener::bind(flag, wanted).await?;
    let codes = match args.gateway.forward_auth_codes {
        ForwardAuthCodesKind::Full => ForwardAuthCodes::Full,
        ForwardAuthCodesKind::Nginx => ForwardAuthCodes::Nginx,
    };
    tracing::info!(%address, "proxies are answered over HTTP on {address}");
    let answers = ForwardAuth::new(api.clone(), codes, args.limit.request_timeout.std());
    Ok(Some(Endpoint { listener, address, tls, answers }))
}
