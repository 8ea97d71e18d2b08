//! Key sets by URL: fetched at start, periodically, and when a token names an unknown key.

use std::{convert::Infallible, error::Error, fmt::Display, fs, sync::Arc, time::Duration};

use reqwest::{Certificate, Client, redirect::Policy};

use super::reload::Reloads;
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
pub(crate) struct Fetcher {
    client: Client,
    from: JwksUrl,
    keys: Arc<RemoteKeys>,
    refresh: Duration,
    clock: Clock,
}

/// Adds the keys of the settings to those of the tokens, and returns their fetchers.
pub(crate) fn fetchers(
    args: &TenantArgs,
    tokens: &mut Tokens,
    clock: &Clock,
) -> Result<Vec<Fetcher>, UnusableSetting> {
    if args.jwks_url.is_empty() {
        return Ok(Vec::new());
    }
    let client = client(args)?;
    let fetcher = |from: &JwksUrl| Fetcher {
        client: client.clone(),
        from: from.clone(),
        keys: tokens.add_remote(from.issuer.clone()),
        refresh: args.jwks_refresh.std(),
        clock: clock.clone(),
    };
    Ok(args.jwks_url.iter().map(fetcher).collect())
}

fn client(args: &TenantArgs) -> Result<Client, UnusableSetting> {
    // The provider that the listeners use. If one is installed already, that is fine too.
    _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    // A redirect could lead from https to http, or to another host.
    let mut builder =
        Client::builder().redirect(Policy::none()).timeout(TIMEOUT).connect_timeout(TIMEOUT);
    if let Some(path) = &args.jwks_ca_file {
        let setting = "--jwks-ca-file";
        let pem = fs::read(path).map_err(|error| error.to_string());
        let roots = pem
            .and_then(|pem| Certificate::from_pem_bundle(&pem).map_err(|error| error.to_string()));
        let roots = roots.map_err(|error| {
            UnusableSetting::new(
                setting,
                format!("names {}, which cannot be used: {error}", path.display()),
            )
        })?;
        builder = builder.tls_certs_only(roots);
    }
    builder
        .build()
        .map_err(|error| UnusableSetting::new("--jwks-url", format!("cannot be fetched: {error}")))
}

impl Fetcher {
    /// Fetches the keys again and again, and whenever that is asked for.
    pub(crate) async fn run(self, mut reloads: Reloads) -> Infallible {
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
                () = reloads.next() => {}
            }
        }
    }

    async fn fetch(&self) -> Result<Vec<u8>, String> {
        let answer = self.client.get(self.from.url.clone()).send().await.map_err(with_causes)?;
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
