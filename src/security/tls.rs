//! TLS: from PEM to what listeners offer, and from a peer's certificate to the names it goes by.

use std::{fmt, sync::Arc};

use chrono::{DateTime, Utc};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{
        CertificateDer, CertificateRevocationListDer, PrivateKeyDer, UnixTime,
        pem::{self, PemObject},
    },
    server::{
        NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier,
        danger::ClientCertVerifier,
    },
};
use thiserror::Error;
use x509_parser::{
    certificate::X509Certificate, extensions::GeneralName, prelude::FromDer, time::ASN1Time,
};

/// The contents of the files, in PEM.
#[derive(Clone, Copy)]
pub struct Pem<'a> {
    /// The server's certificate, and its intermediates.
    pub certificate: &'a [u8],
    /// The private key of that certificate.
    pub key: &'a [u8],
    /// The CA certificates for clients; `None`: clients are not asked for a certificate.
    pub client_ca: Option<&'a [u8]>,
    /// The revocation lists for client certificates.
    pub client_crl: Option<&'a [u8]>,
}

/// Must a client show a certificate, if there are CA certificates for clients?
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ClientCertificates {
    /// Yes.
    Required,
    /// It may. One that is shown must be valid.
    Optional,
}

/// Why PEM cannot be used. The text names the flag of the file.
#[derive(Debug, Error)]
pub enum InvalidTls {
    /// A file is not PEM, or does not contain what it should.
    #[error("{0}: {1}")]
    Pem(&'static str, pem::Error),
    /// A certificate that cannot be parsed.
    #[error("{0}: a certificate in it cannot be read")]
    Certificate(&'static str),
    /// Expired, or not yet valid.
    #[error("--tls-cert: it is good from {0} to {1} only")]
    OutOfTime(DateTime<Utc>, DateTime<Utc>),
    /// Certificate and key do not match, or the key is of an unknown kind.
    #[error("--tls-cert and --tls-key: {0}")]
    Pair(rustls::Error),
    /// No client can be verified with it.
    #[error("--client-ca, --client-crl: {0}")]
    Clients(#[from] VerifierBuilderError),
}

/// What listeners offer to those who connect: TLS 1.2 and 1.3.
pub struct Tls {
    /// For HTTP/2, which gRPC uses.
    pub http2: Arc<ServerConfig>,
    /// For HTTP/1.1.
    pub http1: Arc<ServerConfig>,
    /// For HTTP/1.1, without requiring a client certificate.
    pub probes: Arc<ServerConfig>,
    /// When the server's own certificate expires.
    pub not_after: DateTime<Utc>,
    clients: Option<Arc<dyn ClientCertVerifier>>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads PEM. A certificate that is not valid `now` is refused: no client would accept it.
    pub fn new(
        pem: Pem<'_>,
        clients: ClientCertificates,
        now: DateTime<Utc>,
    ) -> Result<Self, InvalidTls> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let chain = certificates("--tls-cert", pem.certificate)?;
        let not_after = good_until(&chain, now)?;
        let (required, optional) = match pem.client_ca {
            None => (None, None),
            Some(_) => (
                Some(verifier(pem, clients, &provider)?),
                Some(verifier(pem, ClientCertificates::Optional, &provider)?),
            ),
        };
        let key = PrivateKeyDer::from_pem_slice(pem.key)
            .map_err(|error| InvalidTls::Pem("--tls-key", error))?;
        let offer = |clients: &Option<Arc<dyn ClientCertVerifier>>, protocol: &[u8]| {
            offer(&provider, clients.clone(), chain.clone(), key.clone_key(), protocol)
                .map_err(InvalidTls::Pair)
        };
        Ok(Self {
            http2: offer(&required, b"h2")?,
            http1: offer(&required, b"http/1.1")?,
            probes: offer(&optional, b"http/1.1")?,
            not_after,
            clients: optional,
        })
    }

    /// Would a client that shows this chain be accepted now? It may have been accepted before
    /// something changed.
    pub fn trusts(&self, chain: &[CertificateDer<'_>]) -> bool {
        let (Some(clients), Some((first, rest))) = (&self.clients, chain.split_first()) else {
            return false;
        };
        clients.verify_client_cert(first, rest, UnixTime::now()).is_ok()
    }
}

fn certificates(
    flag: &'static str,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, InvalidTls> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(all) if all.is_empty() => Err(InvalidTls::Pem(flag, pem::Error::NoItemsFound)),
        all => all.map_err(|error| InvalidTls::Pem(flag, error)),
    }
}

fn good_until(
    chain: &[CertificateDer<'_>],
    now: DateTime<Utc>,
) -> Result<DateTime<Utc>, InvalidTls> {
    let unreadable = || InvalidTls::Certificate("--tls-cert");
    let first = chain.first().ok_or_else(unreadable)?;
    let (_, read) = X509Certificate::from_der(first).map_err(|_| unreadable())?;
    let instant =
        |time: ASN1Time| DateTime::from_timestamp(time.timestamp(), 0).ok_or_else(unreadable);
    let (from, to) = (instant(read.validity().not_before)?, instant(read.validity().not_after)?);
    if (from..=to).contains(&now) { Ok(to) } else { Err(InvalidTls::OutOfTime(from, to)) }
}

fn verifier(
    pem: Pem<'_>,
    clients: ClientCertificates,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, InvalidTls> {
    let mut roots = RootCertStore::empty();
    for root in certificates("--client-ca", pem.client_ca.unwrap_or_default())? {
        roots.add(root).map_err(|_| InvalidTls::Certificate("--client-ca"))?;
    }
    let mut verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    if let Some(pem) = pem.client_crl {
        let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(pem).collect();
        let lists = match lists {
            Ok(lists) if lists.is_empty() => Err(pem::Error::NoItemsFound),
            lists => lists,
        };
        verifier =
            verifier.with_crls(lists.map_err(|error| InvalidTls::Pem("--client-crl", error))?);
    }
    if clients == ClientCertificates::Optional {
        verifier = verifier.allow_unauthenticated();
    }
    Ok(verifier.build()?)
}

fn offer(
    provider: &Arc<CryptoProvider>,
    clients: Option<Arc<dyn ClientCertVerifier>>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    protocol: &[u8],
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()?;
    let resumes = clients.is_none();
    let clients = clients.unwrap_or_else(WebPkiClientVerifier::no_client_auth);
    let mut offer = builder.with_client_cert_verifier(clients).with_single_cert(chain, key)?;
    offer.alpn_protocols = vec![protocol.to_vec()];
    if !resumes {
        // A resumed session reuses its client certificate unchecked, even if it has been revoked or
        // has expired by now.
        offer.session_storage = Arc::new(NoServerSessionStorage {});
        offer.send_tls13_tickets = 0;
    }
    Ok(Arc::new(offer))
}

/// The names that a certificate gives its holder: URIs (for example SPIFFE ids), then DNS names.
pub fn names_of(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return Vec::new() };
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
    let names = &names.value.general_names;
    let uris = names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some((*uri).to_owned()),
        _ => None,
    });
    let hosts = names.iter().filter_map(|name| match name {
        GeneralName::DNSName(host) => Some(host.to_ascii_lowercase()),
        _ => None,
    });
    uris.chain(hosts).collect()
}
