//! What every instance has, with a database or without one: listeners, memory, limits.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;

use super::{
    DecisionLogArgs, GatewayArgs, LeaseArgs, ListenAddress, SecurityArgs, Span, TraceArgs,
    value::{IssuerTenant, JwksUrl, positive, socket_address},
};
use crate::domain::LimitEnforcement;

/// What every instance has.
#[derive(Args, Clone, Debug)]
pub struct InstanceArgs {
    /// Where to listen for services: ADDRESS:PORT (port 0 takes a free one) or
    /// unix:/PATH[?mode=0660]
    #[arg(
        long,
        env = "ENTITLEMENTD_LISTEN",
        help_heading = "Server",
        default_value = "127.0.0.1:50051"
    )]
    pub listen: ListenAddress,
    /// Where /metrics, /livez, /readyz and the public keys of leases are served, over HTTP:
    /// ADDRESS:PORT (port 0 takes a free one) [default: nowhere]
    #[arg(long, env = "ENTITLEMENTD_METRICS_LISTEN", help_heading = "Server", value_name = "ADDRESS:PORT", value_parser = socket_address)]
    pub metrics_listen: Option<SocketAddr>,
    /// How connections are protected, and who may ask.
    #[command(flatten, next_help_heading = "TLS and callers")]
    pub security: SecurityArgs,
    /// How proxies that ask about HTTP requests are answered.
    #[command(flatten, next_help_heading = "Proxies and routes")]
    pub gateway: GatewayArgs,
    /// How leases are signed.
    #[command(flatten, next_help_heading = "Signed leases")]
    pub lease: LeaseArgs,
    /// The settings of traces.
    #[command(flatten, next_help_heading = "Traces")]
    pub trace: TraceArgs,
    /// The settings of the decision log.
    #[command(flatten, next_help_heading = "Decision log")]
    pub decision_log: DecisionLogArgs,
    /// Number of threads that answer requests, each with connections of its own [default: one per
    /// core]
    #[arg(long, env = "ENTITLEMENTD_WORKERS", help_heading = "Server", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub workers: Option<u16>,
    /// How a request's tenant is found.
    #[command(flatten, next_help_heading = "Which tenant")]
    pub tenant: TenantArgs,
    /// What is held in memory.
    #[command(flatten, next_help_heading = "Memory and freshness")]
    pub cache: CacheArgs,
    /// What is done about tenants that exceed the limits of their plan: `off`: nothing; `shadow`: they
    /// are answered as with off, and what would be refused is counted and logged; `on`: they are
    /// refused.
    #[arg(
        long,
        env = "ENTITLEMENTD_ENFORCE_LIMITS",
        help_heading = "Features and limits",
        value_enum,
        default_value_t
    )]
    pub enforce_limits: EnforceLimits,
    /// The limits on callers.
    #[command(flatten, next_help_heading = "Limits")]
    pub limit: LimitArgs,
}

/// What is done about limits?
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub enum EnforceLimits {
    /// Nothing.
    #[default]
    Off,
    /// What would be refused is counted and logged.
    Shadow,
    /// They hold.
    On,
}

impl From<EnforceLimits> for LimitEnforcement {
    fn from(given: EnforceLimits) -> Self {
        match given {
            EnforceLimits::Off => Self::Off,
            EnforceLimits::Shadow => Self::Shadow,
            EnforceLimits::On => Self::On,
        }
    }
}

/// How a request's tenant is found.
#[derive(Args, Clone, Debug)]
pub struct TenantArgs {
    /// A domain under which one label names a tenant, for example ilms.ai. Repeatable; commas in
    /// the environment.
    #[arg(long, env = "ENTITLEMENTD_BASE_DOMAIN", value_name = "DOMAIN", value_delimiter = ',')]
    pub base_domain: Vec<String>,
    /// A label that names no tenant, in addition to www, api, admin and localhost. Repeatable;
    /// commas in the environment.
    #[arg(long, env = "ENTITLEMENTD_RESERVED_LABEL", value_name = "LABEL", value_delimiter = ',')]
    pub reserved_label: Vec<String>,
    /// A file that contains the shared secret of HS256 tokens. Read again when it changes.
    #[arg(long, env = "ENTITLEMENTD_JWT_SECRET_FILE", value_name = "FILE")]
    pub jwt_secret_file: Option<PathBuf>,
    /// A JWK set with the public keys of RS256, ES256 and EdDSA tokens. Read again when it changes.
    #[arg(long, env = "ENTITLEMENTD_JWKS_FILE", value_name = "FILE")]
    pub jwks_file: Option<PathBuf>,
    /// Where an issuer publishes its public keys, as a JWK set: URL, or ISSUER=URL for tokens with
    /// this `iss` only. https, or http on this machine. Repeatable; commas in the environment.
    #[arg(long, env = "ENTITLEMENTD_JWKS_URL", value_name = "[ISSUER=]URL", value_delimiter = ',')]
    pub jwks_url: Vec<JwksUrl>,
    /// CA certificates, in PEM, that the certificates of these servers must descend from. Read again
    /// when they change [default: those of the system]
    #[arg(long, env = "ENTITLEMENTD_JWKS_CA_FILE", value_name = "FILE", requires = "jwks_url")]
    pub jwks_ca_file: Option<PathBuf>,
    /// How often the key sets are fetched again; they are also fetched when a token names an
    /// unknown key.
    #[arg(long, env = "ENTITLEMENTD_JWKS_REFRESH", value_name = "SPAN", default_value = "5m", value_parser = positive)]
    pub jwks_refresh: Span,
    /// The `iss` that tokens must have. Empty: any.
    #[arg(long, env = "ENTITLEMENTD_JWT_ISSUER", value_name = "ISSUER")]
    pub jwt_issuer: Option<String>,
    /// A tenant that tokens with this `iss` may name; they may then name no other. ISSUER must be
    /// that of --jwt-issuer or --jwks-url. Repeatable; commas in the environment.
    #[arg(
        long,
        env = "ENTITLEMENTD_JWT_ISSUER_TENANT",
        value_name = "ISSUER=ID",
        value_delimiter = ','
    )]
    pub jwt_issuer_tenant: Vec<IssuerTenant>,
    /// The `aud` that tokens must have. Empty: any.
    #[arg(long, env = "ENTITLEMENTD_JWT_AUDIENCE", value_name = "AUDIENCE")]
    pub jwt_audience: Option<String>,
    /// The claim that names the tenant.
    #[arg(
        long,
        env = "ENTITLEMENTD_JWT_TENANT_CLAIM",
        value_name = "CLAIM",
        default_value = "tenant_id"
    )]
    pub jwt_tenant_claim: String,
}

/// What is held in memory, and for how long.
#[derive(Args, Clone, Debug)]
pub struct CacheArgs {
    /// Each cached tenant is compared with the database once in this time. With changes off, facts
    /// are trusted for this long.
    #[arg(long, env = "ENTITLEMENTD_CACHE_TTL", value_name = "SPAN", default_value = "300s", value_parser = positive)]
    pub cache_ttl: Span,
    /// Maximum number of cached tenants; about 1 KiB each.
    #[arg(long, env = "ENTITLEMENTD_CACHE_CAPACITY", value_name = "TENANTS", default_value = "100000",
          value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    pub cache_capacity: u32,
    /// How long it is remembered that a tenant or module does not exist.
    #[arg(long, env = "ENTITLEMENTD_NEGATIVE_TTL", value_name = "SPAN", default_value = "10s", value_parser = positive)]
    pub negative_ttl: Span,
    /// How long cached answers are served, marked as stale, while the database is unreachable.
    #[arg(long, env = "ENTITLEMENTD_MAX_STALE", value_name = "SPAN", default_value = "1h")]
    pub max_stale: Span,
    /// A directory of this server's own, in which it keeps what it holds, and from which it answers
    /// after a restart, marked as stale, until the database has answered. Created if it is missing;
    /// nobody else may write to it [default: nothing is kept]
    #[arg(long, env = "ENTITLEMENTD_STATE_DIR", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// How long callers may keep a grant.
    #[arg(long, env = "ENTITLEMENTD_MAX_AGE", value_name = "SPAN", default_value = "30s")]
    pub max_age: Span,
    /// How long callers may keep a denial.
    #[arg(long, env = "ENTITLEMENTD_DENIAL_MAX_AGE", value_name = "SPAN", default_value = "5s")]
    pub denial_max_age: Span,
}

/// The limits on callers, and the shutdown.
#[derive(Args, Clone, Debug)]
pub struct LimitArgs {
    /// Maximum number of connections; further ones are closed at once.
    #[arg(long, env = "ENTITLEMENTD_MAX_CONNECTIONS", value_name = "COUNT", default_value = "10000",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_connections: u32,
    /// Maximum number of connections from one address; further ones are closed at once [default: as
    /// many as there may be]
    #[arg(long, env = "ENTITLEMENTD_MAX_CONNECTIONS_PER_ADDRESS", value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_connections_per_address: Option<u32>,
    /// Maximum number of concurrent requests on one connection.
    #[arg(long, env = "ENTITLEMENTD_MAX_STREAMS", value_name = "COUNT", default_value = "256",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub max_streams: u32,
    /// Maximum number of concurrent requests; further ones are refused with RESOURCE_EXHAUSTED.
    #[arg(long, env = "ENTITLEMENTD_MAX_IN_FLIGHT", value_name = "COUNT", default_value = "10000",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_in_flight: u32,
    /// Maximum number of WatchChanges streams, which together may name 50 times as many tenants;
    /// more are refused with RESOURCE_EXHAUSTED. One caller gets at most half of either.
    #[arg(long, env = "ENTITLEMENTD_MAX_WATCHERS", value_name = "COUNT", default_value = "20000",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_watchers: u32,
    /// A request that takes longer ends with DEADLINE_EXCEEDED, whatever deadline its caller set.
    #[arg(long, env = "ENTITLEMENTD_REQUEST_TIMEOUT", value_name = "SPAN", default_value = "5s", value_parser = positive)]
    pub request_timeout: Span,
    /// A connection is asked to end at about this age, so that callers are spread over the replicas
    /// again. Those who watch changes on it are notified, and move to another one first.
    #[arg(long, env = "ENTITLEMENTD_MAX_CONNECTION_AGE", value_name = "SPAN", default_value = "30m", value_parser = positive)]
    pub max_connection_age: Span,
    /// At shutdown, how long to keep answering after health reports NOT_SERVING.
    #[arg(long, env = "ENTITLEMENTD_PRE_DRAIN", value_name = "SPAN", default_value = "0s")]
    pub pre_drain: Span,
    /// At shutdown, how long requests in flight may take to finish; callers that watch changes get
    /// half of that, at most 5 s, to move.
    #[arg(long, env = "ENTITLEMENTD_DRAIN_TIMEOUT", value_name = "SPAN", default_value = "10s")]
    pub drain_timeout: Span,
}
