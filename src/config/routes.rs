//! What HTTP requests need, and how proxies are answered.

use std::path::PathBuf;

use clap::{Args, Subcommand, builder::BoolishValueParser};

use super::{DatabaseArgs, ListenAddress};

/// The route map.
#[derive(Args, Clone, Debug)]
pub struct RoutesArgs {
    /// Rules for HTTP requests, beside those of modules.api_endpoints: a file that ends in .toml
    /// or .csv
    #[arg(long, env = "ENTITLEMENTD_ROUTES", value_name = "FILE")]
    pub routes: Option<PathBuf>,
    /// A path that is public, with everything below it. Takes precedence over a rule of the file
    /// about these paths. Repeatable; commas in the environment.
    #[arg(long, env = "ENTITLEMENTD_PUBLIC", value_name = "PATH", value_delimiter = ',')]
    pub public: Vec<String>,
    /// How the upstream reads paths.
    #[arg(long, env = "ENTITLEMENTD_PATH_READING", value_enum, default_value_t)]
    pub path_reading: PathReadingKind,
}

/// How the upstream reads paths.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub enum PathReadingKind {
    /// Nobody knows: a path that a router could read in two ways, case among them, is answered with
    /// 400, if the rules differ.
    #[default]
    Any,
    /// Decoded, ;parameters cut off (before or after that), doubled slashes merged, a slash at the
    /// end dropped; with case.
    Normalized,
    /// As sent, with case.
    Literal,
}

/// How proxies are answered that ask about HTTP requests.
#[derive(Args, Clone, Debug)]
pub struct GatewayArgs {
    /// The route map.
    #[command(flatten)]
    pub routes: RoutesArgs,
    /// What happens to a request that no rule covers.
    #[arg(long, env = "ENTITLEMENTD_UNMATCHED", value_enum, default_value_t)]
    pub unmatched: UnmatchedKind,
    /// Only a verified token names a tenant, or a certificate of --callers-file, whatever a rule
    /// says.
    #[arg(long, env = "ENTITLEMENTD_REQUIRE_VERIFIED_TENANT", value_parser = BoolishValueParser::new())]
    pub require_verified_tenant: bool,
    /// Are refusals enforced? `off`: what would be refused passes, is logged and counted, and its
    /// upstream gets the reason.
    #[arg(long, env = "ENTITLEMENTD_ENFORCE", value_enum, default_value_t)]
    pub enforce: Enforce,
    /// The header by which a client names its tenant. The upstream always gets the tenant in
    /// x-tenant-id.
    #[arg(long, env = "ENTITLEMENTD_TENANT_HEADER", value_name = "NAME", default_value = "x-tenant-id", value_parser = header)]
    pub tenant_header: String,
    /// Where proxies that ask over HTTP (nginx, Traefik, Caddy) are answered: ADDRESS:PORT or
    /// unix:/PATH [default: nowhere]
    #[arg(long, env = "ENTITLEMENTD_FORWARD_AUTH_LISTEN", value_name = "ADDRESS")]
    pub forward_auth_listen: Option<ListenAddress>,
    /// Which answers they understand.
    #[arg(long, env = "ENTITLEMENTD_FORWARD_AUTH_CODES", value_enum, default_value_t)]
    pub forward_auth_codes: ForwardAuthCodesKind,
}

/// Which answers a proxy understands that asks over HTTP, and which headers it sets.
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

fn header(text: &str) -> Result<String, String> {
    let name = text
        .parse::<http::HeaderName>()
        .map_err(|_| "expected a header's name, such as x-tenant-id".to_owned())?;
    Ok(name.as_str().to_owned())
}

/// What `routes` takes.
#[derive(Args, Debug)]
pub struct RoutesCommandArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: RoutesCommand,
}

/// What to do with the route map.
#[derive(Debug, Subcommand)]
pub enum RoutesCommand {
    /// Find rules that contradict each other or are never reached, and modules that do not exist.
    /// Exit code 0: nothing, 1: something, 2: trouble.
    Check(RoutesCheckArgs),
    /// Show which rule decides about a request.
    Explain(RoutesExplainArgs),
    /// Sum up what a decision log says would be refused. Exit code 0: nothing, 1: something, 2:
    /// trouble.
    ShadowReport(RoutesShadowReportArgs),
}

/// What `routes shadow-report` takes.
#[derive(Args, Debug)]
pub struct RoutesShadowReportArgs {
    /// The file that `serve --decision-log` wrote, or - for standard input.
    #[arg(long, env = "ENTITLEMENTD_DECISION_LOG", value_name = "FILE")]
    pub decision_log: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// What `routes check` takes.
#[derive(Args, Debug)]
pub struct RoutesCheckArgs {
    /// The route map.
    #[command(flatten)]
    pub routes: RoutesArgs,
    /// A database whose catalogue adds rules, and knows which modules there are.
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// What `routes explain` takes.
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
    /// The path, perhaps with a query.
    #[arg(value_name = "PATH")]
    pub path: String,
}
