//! The admin listener: off unless it is asked for, and not without tokens.

use std::{convert::Infallible, fs::File, path::PathBuf, time::Duration};

use super::{listener::Listener, token};
use crate::{
    admin_tokens::AdminTokens,
    config::{AdminArgs, ListenAddress, UnusableSetting},
    service::admin::Gate,
};

/// Connections of administrators at the same time; more are closed at once.
pub(super) const MOST_CONNECTIONS: u32 = 64;
/// Requests that one of them may have under way.
pub(super) const MAX_STREAMS: u32 = 16;
/// How often the file of tokens is looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The listener, bound, and who may ask there.
pub(super) struct Admin {
    pub(super) listener: Listener,
    pub(super) address: ListenAddress,
    pub(super) gate: Gate,
    pub(super) file: TokensFile,
}

impl Admin {
    /// Binds the address, if there is one.
    pub(super) async fn bind(args: &AdminArgs) -> Result<Option<Self>, UnusableSetting> {
        let Some(wanted) = &args.admin_listen else { return Ok(None) };
        let flag = "--admin-listen";
        let unusable = |problem: String| UnusableSetting::new(flag, problem);
        let Some(path) = args.admin_tokens_file.clone() else {
            return Err(unusable("needs --admin-tokens-file: without a token, nobody is admitted".into()));
        };
        if let ListenAddress::Tcp(address) = wanted
            && !address.ip().is_loopback()
            && !args.insecure_admin
        {
            let problem = format!("is {wanted}, which other machines can reach, and tokens would travel in the clear");
            return Err(unusable(format!("{problem}: take a loopback address, or say --insecure-admin")));
        }
        let mut file = TokensFile { path, read: None };
        let setting = "--admin-tokens-file";
        let tokens = file.read().map_err(|problem| UnusableSetting::new(setting, problem))?.unwrap_or_default();
        if tokens.is_empty() {
            let problem =
                format!("names {}, which holds no token: entitlementd token new makes one", file.path.display());
            return Err(UnusableSetting::new(setting, problem));
        }
        let (address, listener) = Listener::bind(flag, wanted).await?;
        tracing::info!(%address, "administrators are answered on {address}");
        Ok(Some(Self { listener, address, gate: Gate::new(tokens), file }))
    }
}

/// The file of tokens, and what it said when it was last read.
pub(super) struct TokensFile {
    path: PathBuf,
    read: Option<String>,
}

impl TokensFile {
    /// Reads it; `None`: it says what it said before.
    fn read(&mut self) -> Result<Option<AdminTokens>, String> {
        let problem = |problem: &dyn std::fmt::Display| format!("names {}, {problem}", self.path.display());
        let text = File::open(&self.path).and_then(|mut file| token::read(&mut file));
        let text = text.map_err(|error| problem(&format!("which cannot be read: {error}")))?;
        if self.read.as_ref() == Some(&text) {
            return Ok(None);
        }
        let tokens: AdminTokens = text.parse().map_err(|error| problem(&error))?;
        self.read = Some(text);
        Ok(Some(tokens))
    }

    /// Reads it again and again. One that cannot be used changes nothing, and is complained of once.
    pub(super) async fn follow(mut self, gate: Gate) -> Infallible {
        let mut complaint = String::new();
        loop {
            tokio::time::sleep(LOOK_AGAIN).await;
            match self.read() {
                Ok(Some(tokens)) => {
                    // Be it that none is left: a token that was taken back must not go on holding.
                    gate.replace(tokens);
                    tracing::info!("the file of administrators' tokens has changed");
                }
                Ok(None) => {}
                Err(problem) if problem == complaint => continue,
                Err(problem) => {
                    tracing::error!("--admin-tokens-file {problem}; those of before go on holding");
                    complaint = problem;
                    continue;
                }
            }
            complaint.clear();
        }
    }
}
