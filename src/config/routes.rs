//! The route map, and how proxies are answered.

use std::path::PathBuf;

use clap::{Args, Subcommand, builder::BoolishValueParser};
use http::HeaderName;

use super::{DatabaseArgs, ListenAddress};

/// The route map.
#[derive(Args, Clone, Debug)]
pub struct RoutesArgs {
    /// Rules for HTTP requests, in addition to those of modules.api_endpoints: a .toml or .csv file. A
    /// server reads it again when it changes.
    #[arg(long, env = "ENTITLEMENTD_ROUTES", value_name = "FILE")]
    pub routes: Option<PathBuf>,
    /// A path that is public, including everything below it. Takes precedence over a rule of the
    /// file for these paths. Repeatable; commas in the environment.
    #[arg(long, env = "ENTITLEMENTD_PUBLIC", value_name = "PATH", value_delimiter = ',')]
    pub public: Vec<String>,
    /// The words in modules.api_endpoints.
    #[command(flatten)]
    pub words: ApiEndpointsArgs,
    /// How the upstream interprets paths.
    #[arg(long, env = "ENTITLEMENTD_PATH_READING", value_enum, default_value_t)]
    pub path_reading: PathReadingKind,
}

/// How words in `modules.api_endpoints` that are no paths are read.
#[derive(Args, Clone, Debug)]
pub struct ApiEndpointsArgs {
    /// What the words in modules.api_endpoints are below: with /api/v1, "orders" is a rule for
    /// /api/v1/orders and everything below it [default: words make no rules]
    #[arg(long, env = "ENTITLEMENTD_API_ENDPOINTS_PREFIX", value_name = "PATH")]
    pub api_endpoints_prefix: Option<String>,
}

/// How the upstream interprets paths.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub enum PathReadingKind {
    /// Unknown: a path that routers could read in two ways, which includes its case, is answered
    /// with 400 if the rules differ.
    #[default]
    Any,
    /// Percent-decoded, ;parameters removed (before or after decoding), doubled slashes merged, a
    /// trailing slash removed; case-sensitive.
    Normalized,
    /// As sent, case-sensitive.
    Literal,
}

/// How proxies that ask about HTTP requests are answered.
#[derive(Args, Clone, Debug)]
pub struct GatewayArgs {
    /// The route map.
    #[command(flatten)]
    pub routes: RoutesArgs,
    /// What happens to a request that no rule covers.
    #[arg(long, env = "ENTITLEMENTD_UNMATCHED", value_enum, default_value_t)]
    pub unmatched: UnmatchedKind,
    /// Only a verified token, or a certificate of --callers-file, can name a tenant, except where
    /// a rule ignores the token.
    #[arg(long, env = "ENTITLEMENTD_REQUIRE_VERIFIED_TENANT", value_parser = BoolishValueParser::new())]
    pub require_verified_tenant: bool,
    /// Are refusals enforced? `off`: requests that would be refused pass, are logged and counted,
    /// and their upstream gets the reason.
    #[arg(long, env = "ENTITLEMENTD_ENFORCE", value_enum, default_value_t)]
    pub enforce: Enforce,
    /// The header by which a client names its tenant. The upstream always gets the tenant in
    /// x-tenant-id. A proxy that keeps what a client says in x-NAME under another name calls it
    /// x-claimed-NAME.
    #[arg(long, env = "ENTITLEMENTD_TENANT_HEADER", value_name = "NAME", default_value = "x-tenant-id", value_parser = header)]
    pub tenant_header: HeaderName,
    /// Where proxies that ask over HTTP (nginx, Traefik, Caddy, HAProxy) can connect: ADDRESS:PORT
    /// or unix:/PATH[?mode=0660]. They choose a dialect by the path of the question, such as
    /// /auth/traefik [default: nowhere]
    #[arg(long, env = "ENTITLEMENTD_FORWARD_AUTH_LISTEN", value_name = "ADDRESS")]
    pub forward_auth_listen: Option<ListenAddress>,
    /// Which responses these proxies understand where the path names no dialect.
    #[arg(long, env = "ENTITLEMENTD_FORWARD_AUTH_CODES", value_enum, default_value_t)]
    pub forward_auth_codes: ForwardAuthCodesKind,
    /// The header in which proxies of one dialect pass on what a client says of its tenant, where it
    /// is not that of --tenant-header: nginx=x-tenant-id. Repeatable; commas in the environment.
    #[arg(long, env = "ENTITLEMENTD_FORWARD_AUTH_TENANT_HEADER", value_name = "DIALECT=NAME", value_delimiter = ',',
          value_parser = dialects_header)]
    pub forward_auth_tenant_header: Vec<(String, HeaderName)>,
}

/// Which responses an HTTP proxy understands, and which headers it sets.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub enum ForwardAuthCodesKind {
    /// All: Traefik, Caddy. They set X-Forwarded-Method, X-Forwarded-Uri and X-Forwarded-Host.
    #[default]
    Full,
    /// 2xx, 401 and 403, without a body: nginx, set up to send X-Original-Method, X-Original-URI
    /// and X-Original-Host.
    Nginx,
}

/// What happens to a request that no rule covers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub enum UnmatchedKind {
    /// It is refused.
    #[default]
    Deny,
    /// It needs a tenant that is served.
    Tenant,
    /// It passes.
    Allow,
}

/// Are refusals enforced?
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub enum Enforce {
    /// Yes.
    #[default]
    On,
    /// No.
    Off,
}

fn header(text: &str) -> Result<HeaderName, String> {
    text.parse().map_err(|_| "expected a header's name, such as x-tenant-id".to_owned())
}

fn dialects_header(text: &str) -> Result<(String, HeaderName), String> {
    let (dialect, name) =
        text.split_once('=').ok_or("expected DIALECT=NAME, such as nginx=x-tenant-id")?;
    Ok((dialect.to_owned(), header(name)?))
}

/// The arguments of `routes`.
#[derive(Args, Debug)]
pub struct RoutesCommandArgs {
    /// The command to run.
    #[command(subcommand)]
    pub command: RoutesCommand,
}

/// The commands for the route map.
#[derive(Debug, Subcommand)]
pub enum RoutesCommand {
    /// Find rules that contradict each other or are never reached, and modules that do not exist.
    /// Exit code 0: no findings, 1: findings, 2: error.
    Check(RoutesCheckArgs),
    /// Show which rule decides about a request.
    Explain(RoutesExplainArgs),
    /// Write a route map for the endpoints of an application, from its OpenAPI document. Exit code 0:
    /// every endpoint has a rule and every rule an endpoint, 1: some have none, 2: error.
    Import(RoutesImportArgs),
    /// Summarize what would be refused according to a decision log, and which paths no rule covers.
    /// Exit code 0: nothing, 1: something, 2: error.
    ShadowReport(RoutesShadowReportArgs),
}

/// The arguments of `routes shadow-report`.
#[derive(Args, Debug)]
pub struct RoutesShadowReportArgs {
    /// The file that `serve --decision-log` wrote, or - for standard input.
    #[arg(long, env = "ENTITLEMENTD_DECISION_LOG", value_name = "FILE")]
    pub decision_log: PathBuf,
    /// Print rules for the paths that no rule covers, as CSV for --routes: to be looked at, one by
    /// one. A rule asks for what its neighbours in --routes agree on; the others are closed.
    #[arg(long, conflicts_with = "json")]
    pub propose: bool,
    /// The rules so far, for --propose: what they cover needs no further ones. A .toml or .csv file
    #[arg(long, env = "ENTITLEMENTD_ROUTES", value_name = "FILE")]
    pub routes: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// The arguments of `routes import`.
#[derive(Args, Debug)]
pub struct RoutesImportArgs {
    /// The application's OpenAPI document, in JSON; - for standard input
    #[arg(long, value_name = "FILE")]
    pub openapi: PathBuf,
    /// What the application's paths need: a .toml or .csv file as for --routes
    #[arg(long, value_name = "FILE")]
    pub modules: PathBuf,
    /// Where the map is written, as CSV [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// The arguments of `routes check`.
#[derive(Args, Debug)]
pub struct RoutesCheckArgs {
    /// The route map.
    #[command(flatten)]
    pub routes: RoutesArgs,
    /// A database whose catalogue adds rules, and defines which modules exist.
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// The arguments of `routes explain`.
#[derive(Args, Debug)]
pub struct RoutesExplainArgs {
    /// The route map.
    #[command(flatten)]
    pub routes: RoutesArgs,
    /// A database whose catalogue adds rules.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// GET, POST and so on, in capital letters: case matters.
    #[arg(value_name = "METHOD")]
    pub method: String,
    /// The path, with or without a query.
    #[arg(value_name = "PATH")]
    pub path: String,
}
