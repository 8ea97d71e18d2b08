//! Connecting to another instance.

use std::{error::Error, time::Duration};

use thiserror::Error;
use tonic::{
    Request, Status,
    codec::CompressionEncoding,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint as Transport, Identity},
};

use crate::proto::replication::replication_service_client::ReplicationServiceClient;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A connection that is silent is asked whether it is still there, and ends if it does not say so.
const KEEP_ALIVE: Duration = Duration::from_secs(2);

/// An answer's size at most: the facts of a hundred tenants with ten thousands of rows each.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// What is asked.
pub type Client = ReplicationServiceClient<InterceptedService<Channel, Bearer>>;

/// What it takes to be let in.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// CA certificates, in PEM; `None`: those of the system.
    pub ca: Option<Vec<u8>>,
    /// A certificate and its key, in PEM.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
    /// A token.
    pub token: Option<String>,
}

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The certificates or the address cannot be used, or nobody answers there.
    #[error("{}", reasons(.0))]
    Transport(#[from] tonic::transport::Error),
    /// The token has characters that no header may have.
    #[error("the token has characters that cannot be sent")]
    Token,
}

/// What tonic says of an error is `transport error`; the rest is in its causes.
fn reasons(error: &tonic::transport::Error) -> String {
    let mut texts = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        texts.push(error.to_string());
        cause = error.source();
    }
    if texts.is_empty() { error.to_string() } else { texts.join(": ") }
}

/// The token of each request, if there is one.
#[derive(Clone, Debug)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}

/// Connects to `https://HOST:PORT`, `http://HOST:PORT` or `unix:/PATH`. `takes_gzip`: answers are
/// better small than quick.
pub async fn connect(
    url: &str,
    credentials: &Credentials,
    takes_gzip: bool,
) -> Result<Client, ConnectError> {
    let token = credentials.token.as_ref().map(|token| format!("Bearer {token}").parse());
    let mut token = token.transpose().map_err(|_| ConnectError::Token)?;
    if let Some(token) = &mut token {
        MetadataValue::<Ascii>::set_sensitive(token, true);
    }
    let mut transport = Transport::from_shared(url.to_owned())?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true);
    if url.starts_with("https:") {
        transport = transport.tls_config(tls(credentials))?;
    }
    let channel = transport.connect().await?;
    let client = ReplicationServiceClient::with_interceptor(channel, Bearer(token))
        .max_decoding_message_size(MAX_ANSWER_BYTES);
    Ok(if takes_gzip { client.accept_compressed(CompressionEncoding::Gzip) } else { client })
}

fn tls(Credentials { ca, identity, .. }: &Credentials) -> ClientTlsConfig {
    let tls = match ca {
        Some(ca) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca)),
        None => ClientTlsConfig::new().with_enabled_roots(),
    };
    match identity {
        Some((certificate, key)) => tls.identity(Identity::from_pem(certificate, key)),
        None => tls,
    }
}
