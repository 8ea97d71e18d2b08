//! TLS, and who may ask.

use std::{num::NonZeroU32, path::PathBuf};

use clap::Args;

/// How connections are protected, and who may ask.
#[derive(Args, Clone, Debug)]
pub struct SecurityArgs {
    /// The server's certificate and those between it and its root, in PEM. Every listener on TCP
    /// then speaks TLS. Read again when it changes, as are the other files.
    #[arg(long, env = "ENTITLEMENTD_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The key of the certificate, in PEM.
    #[arg(long, env = "ENTITLEMENTD_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Who vouches for clients, in PEM: a client then shows a certificate (mutual TLS).
    #[arg(long, env = "ENTITLEMENTD_CLIENT_CA", value_name = "FILE", requires = "tls_cert")]
    pub client_ca: Option<PathBuf>,
    /// Which of their certificates are revoked, in PEM: a list for each that issues some.
    #[arg(long, env = "ENTITLEMENTD_CLIENT_CRL", value_name = "FILE", requires = "client_ca")]
    pub client_crl: Option<PathBuf>,
    /// Must clients show a certificate? `optional`: those with a bearer token of --callers-file
    /// need none.
    #[arg(long, env = "ENTITLEMENTD_CLIENT_CERTIFICATES", value_enum, default_value_t)]
    pub client_certificates: ClientCertificatesKind,
    /// Who may ask: callers by certificate or token, in TOML. Anybody else is refused, on the
    /// listeners for services and proxies.
    #[arg(long, env = "ENTITLEMENTD_CALLERS_FILE", value_name = "FILE")]
    pub callers_file: Option<PathBuf>,
    /// Requests a second of one caller, by its name in --callers-file, else by its address
    /// [default: any number]
    #[arg(long, env = "ENTITLEMENTD_CALLER_RATE", value_name = "COUNT")]
    pub caller_rate: Option<NonZeroU32>,
    /// What may go without protection where other machines can reach it: `--insecure` for all, or
    /// `--insecure=metrics,callers`.
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
    /// They may.
    Optional,
}

/// What may go without protection.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub enum Insecure {
    /// Everything.
    All,
    /// Services are answered in the clear.
    Data,
    /// Proxies over HTTP are.
    ForwardAuth,
    /// Administrators are, with their tokens.
    Admin,
    /// Metrics and probes are.
    Metrics,
    /// Anybody who can connect may ask.
    Callers,
}

impl SecurityArgs {
    /// May this go without protection?
    pub fn allows(&self, what: Insecure) -> bool {
        self.insecure.iter().any(|allowed| [what, Insecure::All].contains(allowed))
    }
}
