//! TLS, and who may ask.

use std::{num::NonZeroU32, path::PathBuf};

use clap::Args;

/// How connections are protected, and who may ask.
#[derive(Args, Clone, Debug)]
pub struct SecurityArgs {
    /// The server's certificate and its intermediates, in PEM. Every TCP listener then uses TLS.
    /// Read again when it changes, as are the other files.
    #[arg(long, env = "ENTITLEMENTD_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The private key of the certificate, in PEM.
    #[arg(long, env = "ENTITLEMENTD_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// CA certificates for clients, in PEM: clients then have to show a certificate (mutual TLS).
    #[arg(long, env = "ENTITLEMENTD_CLIENT_CA", value_name = "FILE", requires = "tls_cert")]
    pub client_ca: Option<PathBuf>,
    /// Certificate revocation lists for clients, in PEM: one for each issuer.
    #[arg(long, env = "ENTITLEMENTD_CLIENT_CRL", value_name = "FILE", requires = "client_ca")]
    pub client_crl: Option<PathBuf>,
    /// Must clients show a certificate? `optional`: those with a bearer token of --callers-file
    /// need none.
    #[arg(long, env = "ENTITLEMENTD_CLIENT_CERTIFICATES", value_enum, default_value_t)]
    pub client_certificates: ClientCertificatesKind,
    /// Who may ask: callers by certificate or token, in TOML. Anybody else is refused on the
    /// listeners for services and proxies.
    #[arg(long, env = "ENTITLEMENTD_CALLERS_FILE", value_name = "FILE")]
    pub callers_file: Option<PathBuf>,
    /// Maximum requests per second of one caller, by its name in --callers-file, or else by its
    /// address [default: any number]
    #[arg(long, env = "ENTITLEMENTD_CALLER_RATE", value_name = "COUNT")]
    pub caller_rate: Option<NonZeroU32>,
    /// What may be unprotected although other machines can reach it: `--insecure` for everything,
    /// or `--insecure=metrics,callers`.
    #[arg(long, env = "ENTITLEMENTD_INSECURE", value_enum, value_name = "WHAT", value_delimiter = ',',
          num_args = 0..=1, require_equals = true, default_missing_value = "all")]
    pub insecure: Vec<Insecure>,
}

/// Must clients show a certificate?
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub enum ClientCertificatesKind {
    /// Yes.
    #[default]
    Required,
    /// No; they may.
    Optional,
}

/// What may go without protection.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub enum Insecure {
    /// Everything.
    All,
    /// Services are answered unencrypted.
    Data,
    /// HTTP proxies are answered unencrypted.
    ForwardAuth,
    /// Administrators are answered unencrypted, including their tokens.
    Admin,
    /// Metrics and probes are served unencrypted.
    Metrics,
    /// Anybody who can connect may ask.
    Callers,
    /// An edge's upstream is asked unencrypted.
    Upstream,
}

impl SecurityArgs {
    /// May this go without protection?
    pub fn allows(&self, what: Insecure) -> bool {
        self.insecure.iter().any(|allowed| [what, Insecure::All].contains(allowed))
    }
}
