//! The settings of traces.

use clap::Args;
use url::Url;

/// Where traces go, and how many there are.
#[derive(Args, Clone, Debug)]
pub struct TraceArgs {
    /// Send traces to this collector, by OTLP over gRPC, for example http://127.0.0.1:4317 [default: nowhere]
    #[arg(long, env = "ENTITLEMENTD_OTLP_ENDPOINT", value_name = "URL", value_parser = endpoint)]
    pub otlp_endpoint: Option<Url>,
    /// Trace one in this many requests that have no trace of their caller's; 0: none. Callers
    /// decide about their own traces.
    #[arg(long, env = "ENTITLEMENTD_TRACE_ONE_IN", value_name = "COUNT", default_value = "1000")]
    pub trace_one_in: u32,
}

fn endpoint(text: &str) -> Result<Url, String> {
    let url = text
        .parse()
        .ok()
        .filter(|url: &Url| ["http", "https"].contains(&url.scheme()) && url.has_host());
    url.ok_or_else(|| "expected a URL, such as http://127.0.0.1:4317".to_owned())
}
