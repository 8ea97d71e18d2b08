//! TLS for a connection.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rustls::{ServerConfig, pki_types::CertificateDer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::security::tls::Tls;

/// How long the TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The current TLS configuration. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct TlsOffer {
    current: watch::Receiver<Arc<Tls>>,
    failures: Arc<AtomicU64>,
}

impl TlsOffer {
    /// Always offers the current configuration.
    pub(crate) fn new(current: watch::Receiver<Arc<Tls>>) -> Self {
        Self { current, failures: Arc::default() }
    }

    /// Performs the handshake with a peer, and returns the certificates that it showed.
    pub(crate) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        choose: impl Fn(&Tls) -> Arc<ServerConfig>,
    ) -> io::Result<(TlsStream<S>, Vec<CertificateDer<'static>>)> {
        let config = choose(&self.current.borrow());
        let accepting = TlsAcceptor::from(config).accept(stream);
        let accepted = tokio::time::timeout(HANDSHAKE_TIMEOUT, accepting)
            .await
            .unwrap_or_else(|late| Err(late.into()));
        if accepted.is_err() {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        let stream = accepted?;
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let chain = chain.iter().map(|certificate| certificate.clone().into_owned()).collect();
        Ok((stream, chain))
    }

    /// Waits until a peer that showed these certificates is no longer trusted: they were revoked,
    /// or their issuer was removed.
    pub(crate) async fn distrusts(mut self, chain: &[CertificateDer<'static>]) {
        while !chain.is_empty() && self.current.changed().await.is_ok() {
            if !self.current.borrow_and_update().trusts(chain) {
                return;
            }
        }
        std::future::pending::<()>().await;
    }

    /// When the server's certificate expires.
    pub(crate) fn not_after(&self) -> chrono::DateTime<chrono::Utc> {
        self.current.borrow().not_after
    }

    /// The number of failed handshakes.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}
