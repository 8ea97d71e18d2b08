//! TLS of a connection.

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

/// How long a client may take to agree on keys.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// TLS as it is at the moment. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct TlsOffer {
    current: watch::Receiver<Arc<Tls>>,
    failures: Arc<AtomicU64>,
}

impl TlsOffer {
    /// Offers what is the current TLS at any time.
    pub(crate) fn new(current: watch::Receiver<Arc<Tls>>) -> Self {
        Self { current, failures: Arc::default() }
    }

    /// Agrees on keys with a peer, and says which certificates it has shown.
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

    /// Waits until a peer is no longer trusted that has shown these certificates: revoked, or its
    /// issuer is gone.
    pub(crate) async fn distrusts(mut self, chain: &[CertificateDer<'static>]) {
        while !chain.is_empty() && self.current.changed().await.is_ok() {
            if !self.current.borrow_and_update().trusts(chain) {
                return;
            }
        }
        std::future::pending::<()>().await;
    }

    /// Until when the server's certificate is good.
    pub(crate) fn not_after(&self) -> chrono::DateTime<chrono::Utc> {
        self.current.borrow().not_after
    }

    /// Handshakes that failed.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}
