//! Key sets by URL: fetched at start, periodically, and when a token names an unknown key.

use std::{convert::Infallible, error::Error, fmt::Display, sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, FutureExt};
use reqwest::{Certificate, Client, redirect::Policy};
use tokio::sync::watch;

use super::{
    reload::{Reload, Reloads},
    reloaded_files::ReloadedFiles,
};
use crate::{
    clock::Clock,
    config::{JwksUrl, TenantArgs, UnusableSetting},
    security::token::{AddedKeys, RemoteKeys, Tokens},
    server::jittered,
};

/// How long a fetch may take, from the connection to its last byte.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum size of a set, in bytes.
const MAX_BYTES: usize = 1 << 20;

/// The delay before a failed fetch is first retried; it then grows.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// Fetches the keys of one issuer.
struct Fetcher {
    client: watch::Receiver<Client>,
    from: JwksUrl,
    keys: Arc<RemoteKeys>,
    refresh: Duration,
    clock: Clock,
}

/// Those of all issuers, and the CA certificates that their servers' must descend from.
pub(crate) struct Fetchers {
    all: Vec<Fetcher>,
    ca: Option<(ReloadedFiles<Client>, watch::Sender<Client>)>,
}

impl Fetchers {
    /// Adds the keys of the settings to those of the tokens, and prepares to fetch them.
    pub(crate) fn open(
        args: &TenantArgs,
        tokens: &mut Tokens,
        clock: &Clock,
    ) -> Result<Self, UnusableSetting> {
        if args.jwks_url.is_empty() {
            return Ok(Self { all: Vec::new(), ca: None });
        }
        let (file, client) = match &args.jwks_ca_file {
            None => {
                (None, client(None).map_err(|error| UnusableSetting::new("--jwks-url", error))?)
            }
            Some(path) => {
                let parse = |pem: &[u8]| client(Some(pem));
                let (file, client) =
                    ReloadedFiles::open_file("--jwks-ca-file", path.clone(), parse)?;
                (Some(file), client)
            }
        };
        let (tell, client) = watch::channel(client);
        let fetcher = |from: &JwksUrl| Fetcher {
            client: client.clone(),
            from: from.clone(),
            keys: tokens.add_remote(from.issuer.clone()),
            refresh: args.jwks_refresh.std(),
            clock: clock.clone(),
        };
        let all = args.jwks_url.iter().map(fetcher).collect();
        Ok(Self { all, ca: file.map(|file| (file, tell)) })
    }

    /// Fetches the keys again and again, and follows the file.
    pub(crate) fn follow(self, reload: &Reload) -> Vec<BoxFuture<'static, Infallible>> {
        let follow = |(file, tell): (ReloadedFiles<Client>, watch::Sender<Client>)| {
            file.follow(reload.heard(), move |client| _ = tell.send_replace(client)).boxed()
        };
        let fetching = self.all.into_iter().map(|fetcher| fetcher.run(reload.heard()).boxed());
        fetching.chain(self.ca.map(follow)).collect()
    }
}

/// `ca`: the certificates, in PEM, that those of servers must descend from.
fn client(ca: Option<&[u8]>) -> Result<Client, String> {
    // The provider that the listeners use. If one is installed already, that is fine too.
    _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    // A redirect could lead from https to http, or to another host.
    let mut builder =
        Client::builder().redirect(Policy::none()).timeout(TIMEOUT).connect_timeout(TIMEOUT);
    if let Some(pem) = ca {
        let roots = Certificate::from_pem_bundle(pem);
        let roots =
            roots.map_err(|error| format!("they cannot be used: {}", with_causes(error)))?;
        if roots.is_empty() {
            return Err("there is no certificate".to_owned());
        }
        builder = builder.tls_certs_only(roots);
    }
    builder.build().map_err(|error| format!("nothing can be fetched: {}", with_causes(error)))
}

impl Fetcher {
    /// Fetches the keys again and again, and whenever that is asked for.
    async fn run(mut self, mut reloads: Reloads) -> Infallible {
        let (mut retry, mut before) = (FIRST_RETRY, None);
        loop {
            let url = &self.from.url;
            let fetched = match self.fetch().await {
                Ok(json) => self
                    .keys
                    .replace(&json, self.clock.now())
                    .map_err(|error| format!("the set {error}")),
                Err(error) => Err(error),
            };
            let pause = match fetched {
                Ok(taken) => {
                    if before.replace(taken) != Some(taken) {
                        tell(&url, taken);
                    }
                    retry = FIRST_RETRY;
                    self.refresh
                }
                Err(error) => {
                    tracing::warn!(%url, error, "the keys of {url} cannot be fetched: {error}; the previous ones stay valid");
                    self.keys.failed(self.clock.now());
                    retry = (retry * 2).min(self.refresh);
                    retry
                }
            };
            tokio::select! {
                () = tokio::time::sleep(jittered(pause)) => {}
                () = self.keys.wanted() => {}
                // Who was not trusted may be now.
                Ok(()) = self.client.changed() => {}
                () = reloads.next() => {}
            }
        }
    }

    async fn fetch(&self) -> Result<Vec<u8>, String> {
        let client = self.client.borrow().clone();
        let answer = client.get(self.from.url.clone()).send().await.map_err(with_causes)?;
        if answer.status() != reqwest::StatusCode::OK {
            return Err(format!("the answer is {}", answer.status()));
        }
        let (mut answer, mut json) = (answer, Vec::new());
        while let Some(chunk) = answer.chunk().await.map_err(with_causes)? {
            json.extend_from_slice(&chunk);
            if json.len() > MAX_BYTES {
                return Err(format!("the answer is larger than {MAX_BYTES} bytes"));
            }
        }
        Ok(json)
    }
}

/// Logs the result of reading a set of keys.
pub(crate) fn tell(from: &dyn Display, taken: AddedKeys) {
    let AddedKeys { keys, passed_over } = taken;
    if keys == 0 {
        tracing::warn!(%from, passed_over, "{from} holds no key for RS256, ES256 or EdDSA: tokens of its issuer are refused");
    } else if passed_over > 0 {
        tracing::info!(%from, keys, passed_over, "{from} holds {keys} usable keys; {passed_over} others were skipped");
    } else {
        tracing::debug!(%from, keys, "{from} holds {keys} keys");
    }
}

/// An error's text with those of its causes: the outermost says little.
fn with_causes(error: reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
