//! The admin listener: off unless it is asked for, and not without tokens.

use std::convert::Infallible;

use crate::{
    config::{AdminArgs, Insecure, ListenAddress, UnusableSetting},
    security::admin_tokens::AdminTokens,
    server::{
        background::reloaded_files::Followed,
        net::{listener::Listener, tls::TlsOffer},
        security::Security,
    },
    service::admin::Gate,
};

/// Connections of administrators at the same time. A newer one ends one that is not used.
pub(crate) const MOST_CONNECTIONS: u32 = 64;
/// The same from one address.
pub(crate) const MOST_OF_AN_ADDRESS: u32 = 32;
/// Requests that one of them may have under way.
pub(crate) const MAX_STREAMS: u32 = 16;

/// The listener, bound, and who may ask there.
pub(crate) struct Admin {
    pub(crate) listener: Listener,
    pub(crate) address: ListenAddress,
    pub(crate) tls: Option<TlsOffer>,
    pub(crate) gate: Gate,
    pub(crate) tokens: Followed<AdminTokens>,
}

impl Admin {
    /// Binds the address, if there is one.
    pub(crate) async fn bind(args: &AdminArgs, security: &Security<'_>) -> Result<Option<Self>, UnusableSetting> {
        let Some(wanted) = &args.admin_listen else { return Ok(None) };
        let flag = "--admin-listen";
        let Some(path) = args.admin_tokens_file.clone() else {
            let problem = "needs --admin-tokens-file: without a token, nobody is admitted";
            return Err(UnusableSetting::new(flag, problem));
        };
        let tls = security.of(Insecure::Admin, flag, wanted)?;
        let setting = "--admin-tokens-file";
        let parse = |texts: &[Vec<u8>]| {
            let text = str::from_utf8(texts.first().map(Vec::as_slice).unwrap_or_default());
            text.map_err(|_| "it is no text".to_owned())?.parse().map_err(|error| format!("{error}"))
        };
        let (tokens, at_first): (_, AdminTokens) = Followed::open(setting, vec![path.clone()], parse)?;
        if at_first.is_empty() {
            let problem = format!("names {}, which holds no token: entitlementd token new makes one", path.display());
            return Err(UnusableSetting::new(setting, problem));
        }
        let (address, listener) = Listener::bind(flag, wanted).await?;
        tracing::info!(%address, "administrators are answered on {address}");
        Ok(Some(Self { listener, address, tls, gate: Gate::new(at_first), tokens }))
    }
}

/// Keeps the gate to what the file of tokens says. Be it that none is left: a token that was taken back must not go on
/// holding.
pub(crate) async fn follow(tokens: Followed<AdminTokens>, gate: Gate) -> Infallible {
    tokens.follow(|tokens| gate.replace(tokens)).await
}
