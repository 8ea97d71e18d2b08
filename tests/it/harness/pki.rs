//! Certification authorities for tests, and what they issue.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};

use super::server::endpoint_over;
use entitlementd::config::ListenAddress;

/// One who issues certificates.
pub struct Authority {
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, in PEM.
pub struct Issued {
    pub certificate: String,
    pub key: String,
}

impl Issued {
    /// As a client shows it.
    pub fn identity(&self) -> Identity {
        Identity::from_pem(&self.certificate, &self.key)
    }
}

/// Years in which a certificate is good.
pub type Years = std::ops::Range<i32>;

/// Long before any test, and long after it.
pub const ALWAYS: Years = 2020..2090;

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// For the server: localhost and 127.0.0.1.
    pub fn server(&self) -> Issued {
        self.issue(&["localhost", "127.0.0.1"], 1, ALWAYS, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// For a client that goes by this URI or name.
    pub fn client(&self, name: &str, serial: u64, years: Years) -> Issued {
        self.issue(&[name], serial, years, ExtendedKeyUsagePurpose::ClientAuth)
    }

    pub fn issue(
        &self,
        names: &[&str],
        serial: u64,
        years: Years,
        usage: ExtendedKeyUsagePurpose,
    ) -> Issued {
        self.issue_for(names, serial, years, &[usage])
    }

    /// The same for more than one purpose.
    pub fn issue_for(
        &self,
        names: &[&str],
        serial: u64,
        years: Years,
        usages: &[ExtendedKeyUsagePurpose],
    ) -> Issued {
        let (uris, names): (Vec<&str>, Vec<&str>) =
            names.iter().partition(|name| name.contains("://"));
        let mut params =
            CertificateParams::new(names.into_iter().map(str::to_owned).collect::<Vec<_>>())
                .unwrap();
        params
            .subject_alt_names
            .extend(uris.into_iter().map(|uri| SanType::URI(uri.try_into().unwrap())));
        params.extended_key_usages = usages.to_vec();
        params.serial_number = Some(SerialNumber::from(serial));
        (params.not_before, params.not_after) =
            (date_time_ymd(years.start, 1, 1), date_time_ymd(years.end, 1, 1));
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Issued { certificate, key: key.serialize_pem() }
    }

    /// A list of revoked certificates.
    pub fn revoke(&self, serials: &[u64]) -> String {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2021, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2021, 1, 1),
            next_update: date_time_ymd(2090, 1, 1),
            crl_number: SerialNumber::from(serials.len() as u64),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

/// The files that a server is given.
pub struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    pub fn new(server: &Issued) -> Self {
        let files = Self { folder: tempfile::tempdir().unwrap() };
        files.put_server(server);
        files
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn put(&self, name: &str, text: &str) -> String {
        replace(&self.path(name), text);
        self.path(name).to_str().unwrap().to_owned()
    }

    pub fn put_server(&self, server: &Issued) {
        self.put("cert.pem", &server.certificate);
        self.put("key.pem", &server.key);
    }

    /// The flags that name the server's own.
    pub fn flags(&self) -> Vec<String> {
        let path = |name| self.path(name).to_str().unwrap().to_owned();
        vec!["--tls-cert".into(), path("cert.pem"), "--tls-key".into(), path("key.pem")]
    }
}

/// Replaces a file at once, as a careful writer does.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

/// A connection over TLS to a server that one of these authorities vouches for.
pub async fn connect_tls(
    address: &ListenAddress,
    authorities: &[&Authority],
    client: Option<&Issued>,
) -> Result<Channel, tonic::transport::Error> {
    let certificates = authorities.iter().map(|authority| Certificate::from_pem(&authority.pem));
    let mut tls = ClientTlsConfig::new().ca_certificates(certificates).domain_name("localhost");
    if let Some(client) = client {
        tls = tls.identity(client.identity());
    }
    endpoint_over("https", address).tls_config(tls)?.connect().await
}
