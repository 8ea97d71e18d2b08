//! The listener for proxies that ask over HTTP: off unless it is asked for.

use http::Request;
use hyper::body::Incoming;

use crate::{
    config::{ForwardAuthCodesKind, GatewayArgs, Insecure, ListenAddress, UnusableSetting},
    server::{
        net::{listener::Listener, tls::TlsOffer, worker::Answers},
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

/// The listener, bound, and what answers there.
pub(crate) struct Forward {
    pub(crate) listener: Listener,
    pub(crate) address: ListenAddress,
    pub(crate) service: ForwardAuth,
    pub(crate) tls: Option<TlsOffer>,
}

impl Forward {
    /// Binds the address, if there is one.
    pub(crate) async fn bind(
        args: &GatewayArgs,
        api: &Api,
        request_timeout: std::time::Duration,
        security: &Security<'_>,
    ) -> Result<Option<Self>, UnusableSetting> {
        let Some(wanted) = &args.forward_auth_listen else { return Ok(None) };
        let flag = "--forward-auth-listen";
        let tls = security.of(Insecure::ForwardAuth, flag, wanted)?;
        security.needs_callers(flag, wanted)?;
        let (address, listener) = Listener::bind(flag, wanted).await?;
        let codes = match args.forward_auth_codes {
            ForwardAuthCodesKind::Full => ForwardAuthCodes::Full,
            ForwardAuthCodesKind::Nginx => ForwardAuthCodes::Nginx,
        };
        tracing::info!(%address, "proxies are answered over HTTP on {address}");
        Ok(Some(Self { listener, address, service: ForwardAuth::new(api.clone(), codes, request_timeout), tls }))
    }
}
