//! What `serve` takes.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, builder::BoolishValueParser};

use super::{
    AdminArgs, ChangesArgs, DatabaseArgs, DecisionLogArgs, GatewayArgs, Given, ListenAddress,
    PoolArgs, SecurityArgs, Span, TraceArgs,
    value::{IssuerTenant, JwksUrl, positive, socket_address},
};

/// What `serve` takes.
#[derive(Args, Clone, Debug)]
pub struct ServeArgs {
    /// Show what it does: a temporary SQLite database with two tenants, and commands to paste.
    #[arg(long, env = "ENTITLEMENTD_DEMO", help_heading = "Server", value_parser = BoolishValueParser::new(), conflicts_with_all = ["database_url", "database_url_file"])]
    pub demo: bool,
    /// Print the settings, each with who has set it, and end.
    #[arg(long, help_heading = "Server")]
    pub print_config: bool,
    /// The database.
    #[command(flatten, next_help_heading = "Database")]
    pub database: DatabaseArgs,
    /// How the database is used.
    #[command(flatten, next_help_heading = "Database")]
    pub pool: PoolArgs,
    /// How changes are received.
    #[command(flatten, next_help_heading = "Changes")]
    pub changes: ChangesArgs,
    /// Apply pending migrations at start. On SQLite this is done anyway.
    #[arg(long, env = "ENTITLEMENTD_MIGRATE", help_heading = "Database", value_parser = BoolishValueParser::new())]
    pub migrate: bool,
    /// Where to answer: ADDRESS:PORT (port 0 takes a free one) or unix:/PATH
    #[arg(
        long,
        env = "ENTITLEMENTD_LISTEN",
        help_heading = "Server",
        default_value = "127.0.0.1:50051"
    )]
    pub listen: ListenAddress,
    /// Where /metrics, /livez and /readyz are answered, over HTTP: ADDRESS:PORT (port 0 takes a
    /// free one) [default: nowhere]
    #[arg(long, env = "ENTITLEMENTD_METRICS_LISTEN", help_heading = "Server", value_name = "ADDRESS:PORT", value_parser = socket_address)]
    pub metrics_listen: Option<SocketAddr>,
    /// How connections are protected, and who may ask.
    #[command(flatten, next_help_heading = "TLS and callers")]
    pub security: SecurityArgs,
    /// How administrators are answered.
    #[command(flatten, next_help_heading = "Administrators")]
    pub admin: AdminArgs,
    /// How proxies are answered that ask about HTTP requests.
    #[command(flatten, next_help_heading = "Proxies and routes")]
    pub gateway: GatewayArgs,
    /// Where traces go.
    #[command(flatten, next_help_heading = "Traces")]
    pub trace: TraceArgs,
    /// Where decisions are logged.
    #[command(flatten, next_help_heading = "Decision log")]
    pub decision_log: DecisionLogArgs,
    /// Threads that answer, each with connections of its own [default: one per core]
    #[arg(long, env = "ENTITLEMENTD_WORKERS", help_heading = "Server", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub workers: Option<u16>,
    /// Which tenant it is.
    #[command(flatten, next_help_heading = "Which tenant")]
    pub tenant: TenantArgs,
    /// What is held.
    #[command(flatten, next_help_heading = "Memory and freshness")]
    pub cache: CacheArgs,
    /// What is let in.
    #[command(flatten, next_help_heading = "Limits")]
    pub limit: LimitArgs,
    /// The settings as they were given, where the command line was read.
    #[arg(skip)]
    pub given: Vec<Given>,
}

/// Which tenant a request belongs to.
#[derive(Args, Clone, Debug)]
pub struct TenantArgs {
    /// A domain under which one label names a tenant, for example ilms.ai. Repeatable; commas in
    /// the environment.
    #[arg(long, env = "ENTITLEMENTD_BASE_DOMAIN", value_name = "DOMAIN", value_delimiter = ',')]
    pub base_domain: Vec<String>,
    /// A label that names no tenant, beside www, api, admin and localhost. Repeatable; commas in
    /// the environment.
    #[arg(long, env = "ENTITLEMENTD_RESERVED_LABEL", value_name = "LABEL", value_delimiter = ',')]
    pub reserved_label: Vec<String>,
    /// A file that holds the shared secret of HS256 tokens.
    #[arg(long, env = "ENTITLEMENTD_JWT_SECRET_FILE", value_name = "FILE")]
    pub jwt_secret_file: Option<PathBuf>,
    /// A JWK set with the public keys of RS256, ES256 and EdDSA tokens.
    #[arg(long, env = "ENTITLEMENTD_JWKS_FILE", value_name = "FILE")]
    pub jwks_file: Option<PathBuf>,
    /// Where an issuer publishes its public keys, as a JWK set: URL, or ISSUER=URL for tokens with
    /// this `iss` only. By https, or http on this machine. Repeatable; commas in the
    /// environment.
    #[arg(long, env = "ENTITLEMENTD_JWKS_URL", value_name = "[ISSUER=]URL", value_delimiter = ',')]
    pub jwks_url: Vec<JwksUrl>,
    /// Certificates, in PEM, that those servers' own must descend from [default: those of the
    /// system]
    #[arg(long, env = "ENTITLEMENTD_JWKS_CA_FILE", value_name = "FILE", requires = "jwks_url")]
    pub jwks_ca_file: Option<PathBuf>,
    /// The sets of keys are fetched again after this long, and when a token names a key that is
    /// not known.
    #[arg(long, env = "ENTITLEMENTD_JWKS_REFRESH", value_name = "SPAN", default_value = "5m", value_parser = positive)]
    pub jwks_refresh: Span,
    /// The `iss` that tokens must have. Empty: any.
    #[arg(long, env = "ENTITLEMENTD_JWT_ISSUER", value_name = "ISSUER")]
    pub jwt_issuer: Option<String>,
    /// A tenant that tokens with this `iss` may name; they may then name no other. ISSUER is that
    /// of --jwt-issuer or --jwks-url. Repeatable; commas in the environment.
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

/// What is held, and for how long.
#[derive(Args, Clone, Debug)]
pub struct CacheArgs {
    /// Each held tenant is compared with the database once in this time. With changes off, facts
    /// are trusted for this long.
    #[arg(long, env = "ENTITLEMENTD_CACHE_TTL", value_name = "SPAN", default_value = "300s", value_parser = positive)]
    pub cache_ttl: Span,
    /// Tenants held; about 1 KiB each.
    #[arg(long, env = "ENTITLEMENTD_CACHE_CAPACITY", value_name = "TENANTS", default_value = "100000",
          value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    pub cache_capacity: u32,
    /// For how long it is trusted that a tenant or module does not exist.
    #[arg(long, env = "ENTITLEMENTD_NEGATIVE_TTL", value_name = "SPAN", default_value = "10s", value_parser = positive)]
    pub negative_ttl: Span,
    /// While the database cannot be asked, what is held is served for this long, marked as stale.
    #[arg(long, env = "ENTITLEMENTD_MAX_STALE", value_name = "SPAN", default_value = "1h")]
    pub max_stale: Span,
    /// Callers may keep a grant for this long at most.
    #[arg(long, env = "ENTITLEMENTD_MAX_AGE", value_name = "SPAN", default_value = "30s")]
    pub max_age: Span,
    /// Callers may keep a denial for this long at most.
    #[arg(long, env = "ENTITLEMENTD_DENIAL_MAX_AGE", value_name = "SPAN", default_value = "5s")]
    pub denial_max_age: Span,
}

/// What is let in, and how it ends.
#[derive(Args, Clone, Debug)]
pub struct LimitArgs {
    /// Connections at the same time; more are closed at once.
    #[arg(long, env = "ENTITLEMENTD_MAX_CONNECTIONS", value_name = "COUNT", default_value = "10000",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_connections: u32,
    /// Connections from one address at the same time; more are closed at once [default: as many as
    /// there may be]
    #[arg(long, env = "ENTITLEMENTD_MAX_CONNECTIONS_PER_ADDRESS", value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_connections_per_address: Option<u32>,
    /// Requests that one connection may have under way.
    #[arg(long, env = "ENTITLEMENTD_MAX_STREAMS", value_name = "COUNT", default_value = "256",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub max_streams: u32,
    /// Requests answered at the same time; more are refused with RESOURCE_EXHAUSTED.
    #[arg(long, env = "ENTITLEMENTD_MAX_IN_FLIGHT", value_name = "COUNT", default_value = "10000",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_in_flight: u32,
    /// Streams of WatchChanges at the same time, and 50 times as many named tenants in all; more
    /// are refused with RESOURCE_EXHAUSTED. One caller has half of either.
    #[arg(long, env = "ENTITLEMENTD_MAX_WATCHERS", value_name = "COUNT", default_value = "20000",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_watchers: u32,
    /// A request that takes longer ends with DEADLINE_EXCEEDED, whatever its caller allows.
    #[arg(long, env = "ENTITLEMENTD_REQUEST_TIMEOUT", value_name = "SPAN", default_value = "5s", value_parser = positive)]
    pub request_timeout: Span,
    /// A connection is asked to end after about this long, so that callers spread anew over the
    /// replicas. Those who watch changes on it are notified, and move to another one first.
    #[arg(long, env = "ENTITLEMENTD_MAX_CONNECTION_AGE", value_name = "SPAN", default_value = "30m", value_parser = positive)]
    pub max_connection_age: Span,
    /// At shutdown, keep answering for this long after health says NOT_SERVING.
    #[arg(long, env = "ENTITLEMENTD_PRE_DRAIN", value_name = "SPAN", default_value = "0s")]
    pub pre_drain: Span,
    /// At shutdown, requests in flight get this long to finish; those who watch changes get half
    /// of it, 5 s at most, to move.
    #[arg(long, env = "ENTITLEMENTD_DRAIN_TIMEOUT", value_name = "SPAN", default_value = "10s")]
    pub drain_timeout: Span,
}
