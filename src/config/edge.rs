//! The arguments of `edge`.

use std::{
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
    str::FromStr,
};

use clap::Args;
use http::Uri;

use super::{Given, InstanceArgs, value};

/// The arguments of `edge`.
#[derive(Args, Clone, Debug)]
pub struct EdgeArgs {
    /// Print the settings, each with its source, and exit.
    #[arg(long, help_heading = "Server")]
    pub print_config: bool,
    /// Where facts come from.
    #[command(flatten, next_help_heading = "Upstream")]
    pub upstream: UpstreamArgs,
    /// What every instance has.
    #[command(flatten)]
    pub instance: InstanceArgs,
    /// The settings as they were given, where the command line was read.
    #[arg(skip)]
    pub given: Vec<Given>,
}

/// Where facts come from.
#[derive(Args, Clone, Debug)]
pub struct UpstreamArgs {
    /// An instance that sends facts, a core or another edge: https://HOST:PORT, http://HOST:PORT or
    /// unix:/PATH. Of several, the first that answers well is asked, and another one when it does not
    /// any more. Repeatable; commas in the environment.
    #[arg(
        long,
        env = "ENTITLEMENTD_UPSTREAM",
        value_name = "URL",
        value_delimiter = ',',
        required = true
    )]
    pub upstream: Vec<UpstreamUrl>,
    /// CA certificates, in PEM, that its certificate must descend from. Read again when it is connected
    /// to, as are the other files [default: those of the system]
    #[arg(long, env = "ENTITLEMENTD_UPSTREAM_CA_FILE", value_name = "FILE")]
    pub upstream_ca_file: Option<PathBuf>,
    /// The certificate to show it, and its intermediates, in PEM.
    #[arg(
        long,
        env = "ENTITLEMENTD_UPSTREAM_CERT",
        value_name = "FILE",
        requires = "upstream_key"
    )]
    pub upstream_cert: Option<PathBuf>,
    /// The private key of that certificate, in PEM.
    #[arg(
        long,
        env = "ENTITLEMENTD_UPSTREAM_KEY",
        value_name = "FILE",
        requires = "upstream_cert"
    )]
    pub upstream_key: Option<PathBuf>,
    /// A file that contains the token to show it.
    #[arg(long, env = "ENTITLEMENTD_UPSTREAM_TOKEN_FILE", value_name = "FILE")]
    pub upstream_token_file: Option<PathBuf>,
    /// Which tenants are held: `used`, those that somebody has asked for; `all`, every tenant that the
    /// upstream may send, so that none is ever asked for, and an outage locks nobody out.
    #[arg(long, env = "ENTITLEMENTD_HOLD", value_enum, default_value_t)]
    pub hold: Hold,
    /// The modules whose tenants `--hold all` holds, by their codes: those that have a subscription to one
    /// of them, whatever has become of it. Others are held as with `used`. Repeatable; commas in the
    /// environment [default: every tenant is held]
    #[arg(
        long,
        env = "ENTITLEMENTD_HOLD_MODULES",
        value_name = "MODULE",
        value_delimiter = ',',
        value_parser = value::module_code
    )]
    pub hold_modules: Vec<String>,
}

/// Which tenants are held.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub enum Hold {
    /// Those that somebody has asked for.
    #[default]
    Used,
    /// Every one.
    All,
}

/// Where another instance listens: `https://HOST:PORT`, `http://HOST:PORT` or `unix:/PATH`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct UpstreamUrl(String);

impl FromStr for UpstreamUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_good = match text.strip_prefix("unix:") {
            Some(path) => Path::new(path).is_absolute(),
            None => text.parse().is_ok_and(|uri: Uri| {
                let is_known = matches!(uri.scheme_str(), Some("http" | "https"));
                let has_only_host = matches!(uri.path(), "" | "/") && uri.query().is_none();
                // A password would be sent nowhere.
                let is_plain = uri.authority().is_some_and(|it| !it.as_str().contains('@'));
                is_known && has_only_host && is_plain
            }),
        };
        let expected = "expected https://HOST:PORT, http://HOST:PORT or unix:/PATH";
        is_good.then(|| Self(text.trim_end_matches('/').to_owned())).ok_or(expected)
    }
}

impl fmt::Display for UpstreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl UpstreamUrl {
    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Is it on this machine?
    pub fn is_near(&self) -> bool {
        let Some((_, authority)) = self.0.split_once("://") else { return true };
        let host = authority.parse::<Uri>().ok().and_then(|uri| Some(uri.host()?.to_owned()));
        let host = host.unwrap_or_default();
        let host = host.trim_matches(['[', ']']);
        host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
    }

    /// Could somebody on the way read or change what is said?
    pub fn is_in_the_clear(&self) -> bool {
        self.0.starts_with("http://") && !self.is_near()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_place_to_connect_to_and_what_goes_in_the_clear() {
        for (text, in_the_clear) in [
            ("https://core.example:50051", false),
            ("http://127.0.0.1:50051", false),
            ("http://[::1]:50051/", false),
            ("http://localhost:1", false),
            ("http://core:50051", true),
            ("http://10.0.0.1:50051", true),
            ("unix:/run/entitlementd/core.sock", false),
        ] {
            let url: UpstreamUrl = text.parse().unwrap();
            assert_eq!(url.is_in_the_clear(), in_the_clear, "{text}");
            assert_eq!(url.to_string(), text.trim_end_matches('/'));
        }
        let others = [
            "",
            "core:50051",
            "ftp://core",
            "https://",
            "unix:core.sock",
            "http://a/b",
            "http://a/?b",
            "https://user:word@core",
        ];
        for text in others {
            assert!(text.parse::<UpstreamUrl>().is_err(), "{text}");
        }
    }
}
