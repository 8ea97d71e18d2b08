//! The listener for proxies that ask over HTTP: off unless it is asked for.

use http::Request;
use hyper::body::Incoming;

use super::{
    listener::Listener,
    security::{Security, TlsOffer},
    worker::Answers,
};
use crate::{
    config::{ForwardAuthCodesKind, GatewayArgs, Insecure, ListenAddress, UnusableSetting},
    service::{
        Api, Ending, Peer,
        forward_auth::{ForwardAuth, ForwardAuthCodes},
        front::Answering,
    },
};

impl Answers for ForwardAuth {
    type Answer = Answering;

    fn answer(&self, request: Request<Incoming>, peer: &Peer, _ending: &Ending) -> Answering {
        self.answer(request, peer)
    }
}

/// The listener, bound, and what answers there.
pub(super) struct Forward {
    pub(super) listener: Listener,
    pub(super) address: ListenAddress,
    pub(super) service: ForwardAuth,
    pub(super) tls: Option<TlsOffer>,
}

impl Forward {
    /// Binds the address, if there is one.
    pub(super) async fn bind(
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
