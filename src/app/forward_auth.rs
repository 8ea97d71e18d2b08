//! The listener for proxies that ask over HTTP: off unless it is asked for.

use http::Request;
use hyper::body::Incoming;

use super::{listener::Listener, worker::Answers};
use crate::{
    config::{ForwardAuthCodesKind, GatewayArgs, ListenAddress, UnusableSetting},
    service::{
        Api, Ending,
        admin::Peer,
        forward_auth::{ForwardAuth, ForwardAuthCodes},
        front::Answering,
    },
};

impl Answers for ForwardAuth {
    type Answer = Answering;

    fn answer(&self, request: Request<Incoming>, _peer: Peer, _ending: &Ending) -> Answering {
        self.answer(request)
    }
}

/// The listener, bound, and what answers there.
pub(super) struct Forward {
    pub(super) listener: Listener,
    pub(super) address: ListenAddress,
    pub(super) service: ForwardAuth,
}

impl Forward {
    /// Binds the address, if there is one.
    pub(super) async fn bind(
        args: &GatewayArgs,
        api: &Api,
        request_timeout: std::time::Duration,
    ) -> Result<Option<Self>, UnusableSetting> {
        let Some(wanted) = &args.forward_auth_listen else { return Ok(None) };
        let (address, listener) = Listener::bind("--forward-auth-listen", wanted).await?;
        let codes = match args.forward_auth_codes {
            ForwardAuthCodesKind::Full => ForwardAuthCodes::Full,
            ForwardAuthCodesKind::Nginx => ForwardAuthCodes::Nginx,
        };
        tracing::info!(%address, "proxies are answered over HTTP on {address}");
        Ok(Some(Self { listener, address, service: ForwardAuth::new(api.clone(), codes, request_timeout) }))
    }
}
