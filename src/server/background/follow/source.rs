//! The instances that may be followed, and what it takes to be let in.

use std::{fmt, path::Path};

use crate::{
    config::{EdgeArgs, Hold, Insecure, UnusableSetting, UpstreamArgs, UpstreamUrl},
    server::background::reloaded_files::read,
    upstream::{Client, Credentials, connect},
};

/// The instances that may be followed.
#[derive(Clone, Debug)]
pub(crate) struct UpstreamSource(UpstreamArgs);

impl fmt::Display for UpstreamSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let urls: Vec<_> = self.0.upstream.iter().map(UpstreamUrl::as_str).collect();
        f.write_str(&urls.join(" "))
    }
}

impl UpstreamSource {
    /// Finds what cannot be used.
    pub(crate) fn open(args: &EdgeArgs) -> Result<Self, UnusableSetting> {
        let may_be_clear = args.instance.security.allows(Insecure::Upstream);
        let clear = args.upstream.upstream.iter().find(|url| url.is_in_the_clear());
        if let Some(url) = clear.filter(|_| !may_be_clear) {
            let problem = format!(
                "is {url}, where others on the way could change what is said: take https, or accept with --insecure=upstream that it \
                 is in the clear"
            );
            return Err(UnusableSetting::new("--upstream", problem));
        }
        if args.upstream.hold == Hold::Used && !args.upstream.hold_modules.is_empty() {
            let problem = "says whose tenants `--hold all` holds, and --hold is `used`";
            return Err(UnusableSetting::new("--hold-modules", problem));
        }
        let source = Self(args.upstream.clone());
        // Before anything is answered; later they are read again.
        source.credentials().map_err(|(flag, problem)| UnusableSetting::new(flag, problem))?;
        Ok(source)
    }

    pub(super) fn urls(&self) -> &[UpstreamUrl] {
        &self.0.upstream
    }

    pub(super) fn has_several(&self) -> bool {
        self.0.upstream.len() > 1
    }

    /// Are tenants held that nobody has asked for?
    pub(super) fn holds_ahead(&self) -> bool {
        self.0.hold == Hold::All
    }

    /// The codes of the modules whose tenants are held ahead, as they were given; empty: every tenant is.
    pub(super) fn hold_modules(&self) -> &[String] {
        &self.0.hold_modules
    }

    pub(super) async fn connect(&self, url: &UpstreamUrl) -> Result<Client, String> {
        let credentials =
            self.credentials().map_err(|(flag, problem)| format!("{flag} {problem}"))?;
        // Nearby there is more room than time.
        let client = connect(url.as_str(), &credentials, !url.is_near()).await;
        client.map_err(|error| error.to_string())
    }

    /// Reads the files.
    fn credentials(&self) -> Result<Credentials, (&'static str, String)> {
        let UpstreamArgs {
            upstream_ca_file, upstream_cert, upstream_key, upstream_token_file, ..
        } = &self.0;
        let ca = file("--upstream-ca-file", upstream_ca_file.as_deref())?;
        let certificate = file("--upstream-cert", upstream_cert.as_deref())?;
        let key = file("--upstream-key", upstream_key.as_deref())?;
        let token = file("--upstream-token-file", upstream_token_file.as_deref())?;
        let token = token.map(|token| String::from_utf8_lossy(&token).trim().to_owned());
        Ok(Credentials { ca, identity: certificate.zip(key), token })
    }
}

fn file(
    flag: &'static str,
    path: Option<&Path>,
) -> Result<Option<Vec<u8>>, (&'static str, String)> {
    path.map(|path| read(path).map_err(|problem| (flag, problem))).transpose()
}
