//! Where the server is: one instance at a time, and the next if it does not answer.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use tonic::{
    metadata::{Ascii, MetadataValue},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

use crate::{
    config::{Config, ConfigError, Tls},
    environment::VARIABLE,
};

/// How long a connection may take to answer a keep-alive.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections, made when they are first needed.
#[derive(Debug)]
pub(crate) struct Endpoints {
    /// As they were given, for log lines.
    pub(crate) addresses: String,
    channels: Vec<Channel>,
    current: AtomicUsize,
}

impl Endpoints {
    pub(crate) fn new(config: &Config) -> Result<Self, ConfigError> {
        let channel = |(place, endpoint): (usize, &String)| {
            channel(endpoint, config).map_err(|error| {
                if place >= config.of_variable {
                    return error;
                }
                ConfigError::Variable { variable: VARIABLE, cause: error.to_string() }
            })
        };
        let channels = config.endpoints.iter().enumerate().map(channel);
        let channels = channels.collect::<Result<Vec<_>, _>>()?;
        // So that not all processes begin with the first.
        let current = fastrand::usize(..channels.len());
        Ok(Self { addresses: config.endpoints.join(", "), channels, current: current.into() })
    }

    /// The endpoint in use, and its index.
    pub(crate) fn current(&self) -> (usize, Channel) {
        let place = self.current.load(Ordering::Relaxed) % self.channels.len();
        (place, self.channels[place].clone())
    }

    /// The endpoint at this index did not answer: the next is in use from now on, unless another
    /// caller has moved on already.
    pub(crate) fn move_on_from(&self, place: usize) {
        let next = (place + 1) % self.channels.len();
        _ = self.current.compare_exchange(place, next, Ordering::Relaxed, Ordering::Relaxed);
    }
}

fn channel(address: &str, config: &Config) -> Result<Channel, ConfigError> {
    let is_unix = address.starts_with("unix:");
    let uri = match address.strip_prefix("unix:") {
        Some(path) => format!("unix://{}", path.trim_start_matches("//")),
        None if address.contains("://") => address.to_owned(),
        None if config.tls.is_some() => format!("https://{address}"),
        None => format!("http://{address}"),
    };
    let bad = |cause: String| ConfigError::Endpoint { endpoint: address.to_owned(), cause };
    let mut endpoint =
        Endpoint::from_shared(uri.clone()).map_err(|error| bad(error.to_string()))?;
    if uri.starts_with("https://") {
        let tls = tls(config.tls.clone().unwrap_or_default());
        endpoint = endpoint.tls_config(tls).map_err(|error| bad(error.to_string()))?;
    } else if config.bearer_token.is_some() && !is_unix && !is_loopback(endpoint.uri().host()) {
        return Err(ConfigError::TokenInTheClear(address.to_owned()));
    }
    Ok(endpoint
        .connect_timeout(config.connect_timeout)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(config.keep_alive_interval)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .connect_lazy())
}

fn tls(Tls { ca_pem, domain, identity }: Tls) -> ClientTlsConfig {
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca_pem));
    if let Some(domain) = domain {
        tls = tls.domain_name(domain);
    }
    match identity {
        Some((certificate, key)) => tls.identity(Identity::from_pem(certificate, key)),
        None => tls,
    }
}

fn is_loopback(host: Option<&str>) -> bool {
    let host = host.unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

/// The header that says who the caller is.
pub(crate) fn authorization(config: &Config) -> Result<Option<MetadataValue<Ascii>>, ConfigError> {
    let Some(token) = &config.bearer_token else { return Ok(None) };
    let mut value: MetadataValue<Ascii> =
        format!("Bearer {token}").parse().map_err(|_| ConfigError::Token)?;
    value.set_sensitive(true);
    Ok(Some(value))
}
