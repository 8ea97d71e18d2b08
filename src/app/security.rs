//! TLS of the listeners, and who may ask there.

use std::{
    convert::Infallible,
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

use super::followed::Followed;
use crate::{
    callers::Callers,
    clock::Clock,
    config::{ClientCertificatesKind, Insecure, ListenAddress, SecurityArgs, UnusableSetting},
    service::CallerGate,
    tls::{ClientCertificates, Pem, Tls},
};

/// How long a client may take to agree on keys.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The TLS of the settings, and the files that it comes from.
pub(super) struct Security<'a> {
    args: &'a SecurityArgs,
    offer: Option<TlsOffer>,
}

/// TLS as it is at the moment. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct TlsOffer {
    current: watch::Receiver<Arc<Tls>>,
    failures: Arc<AtomicU64>,
}

/// The files of TLS, and who is to be told when they change.
pub(super) struct TlsFiles {
    files: Followed<Tls>,
    tell: watch::Sender<Arc<Tls>>,
}

impl<'a> Security<'a> {
    /// Reads the files that the settings name, if there are any.
    pub(super) fn open(args: &'a SecurityArgs, clock: &Clock) -> Result<(Self, Option<TlsFiles>), UnusableSetting> {
        let (Some(cert), Some(key)) = (&args.tls_cert, &args.tls_key) else {
            return Ok((Self { args, offer: None }, None));
        };
        if args.insecure.contains(&Insecure::All) {
            let problem = "says that everything goes unprotected, and --tls-cert that it does not: name what may";
            return Err(UnusableSetting::new("--insecure", problem));
        }
        let (has_ca, has_crl) = (args.client_ca.is_some(), args.client_crl.is_some());
        let clients = match args.client_certificates {
            ClientCertificatesKind::Required => ClientCertificates::Required,
            ClientCertificatesKind::Optional => ClientCertificates::Optional,
        };
        let clock = clock.clone();
        let parse = move |texts: &[Vec<u8>]| {
            let text = |number: usize| texts.get(number).map(Vec::as_slice).unwrap_or_default();
            let pem = Pem {
                certificate: text(0),
                key: text(1),
                client_ca: has_ca.then(|| text(2)),
                client_crl: has_crl.then(|| text(3)),
            };
            Tls::new(pem, clients, clock.now()).map_err(|error| error.to_string())
        };
        let paths = [Some(cert), Some(key), args.client_ca.as_ref(), args.client_crl.as_ref()];
        let (files, tls) = Followed::open("--tls-cert", paths.into_iter().flatten().cloned().collect(), parse)?;
        let (tell, current) = watch::channel(Arc::new(tls));
        let offer = TlsOffer { current, failures: Arc::default() };
        Ok((Self { args, offer: Some(offer) }, Some(TlsFiles { files, tell })))
    }

    /// How a listener is protected; `None`: it is in the clear. Refused where that is dangerous and nobody has accepted it.
    pub(super) fn of(
        &self,
        what: Insecure,
        flag: &'static str,
        address: &ListenAddress,
    ) -> Result<Option<TlsOffer>, UnusableSetting> {
        // Who may open a socket in the file system is told by its directory's permissions.
        let ListenAddress::Tcp(socket) = address else { return Ok(None) };
        if self.args.allows(what) {
            return Ok(None);
        }
        if self.offer.is_none() && !socket.ip().is_loopback() {
            let word = clap::ValueEnum::to_possible_value(&what).map(|value| value.get_name().to_owned());
            let problem = format!(
                "is {address}, which other machines can reach: give --tls-cert and --tls-key, take a loopback address, or \
                 accept with --insecure={} that it is in the clear",
                word.unwrap_or_default()
            );
            return Err(UnusableSetting::new(flag, problem));
        }
        Ok(self.offer.clone())
    }

    /// Refuses a listener that anybody who reaches it may ask, unless that is accepted.
    pub(super) fn needs_callers(&self, flag: &'static str, address: &ListenAddress) -> Result<(), UnusableSetting> {
        let is_known = self.args.callers_file.is_some() || self.insists_on_certificates();
        let is_near = match address {
            ListenAddress::Tcp(socket) => socket.ip().is_loopback(),
            ListenAddress::Unix(_) => true,
        };
        if is_known || is_near || self.args.allows(Insecure::Callers) {
            return Ok(());
        }
        let problem = format!(
            "is {address}, where anybody may ask who reaches it: give --callers-file or --client-ca, or accept it with \
             --insecure=callers"
        );
        Err(UnusableSetting::new(flag, problem))
    }

    /// Are clients known by their certificates, whatever else they have?
    pub(super) fn insists_on_certificates(&self) -> bool {
        self.args.client_ca.is_some() && self.args.client_certificates == ClientCertificatesKind::Required
    }

    /// The TLS that is offered, for those who read how it is.
    pub(super) fn offer(&self) -> Option<TlsOffer> {
        self.offer.clone()
    }
}

/// Who may ask, by the settings, and the file that says so.
pub(super) fn callers(args: &SecurityArgs) -> Result<(CallerGate, Option<Followed<Callers>>), UnusableSetting> {
    let rate = args.caller_rate;
    let Some(path) = &args.callers_file else { return Ok((CallerGate::new(None, rate), None)) };
    let parse = move |texts: &[Vec<u8>]| {
        let text = str::from_utf8(texts.first().map(Vec::as_slice).unwrap_or_default());
        Callers::parse(text.map_err(|_| "it is no text".to_owned())?, rate).map_err(|error| error.to_string())
    };
    let (file, callers) = Followed::open("--callers-file", vec![path.clone()], parse)?;
    Ok((CallerGate::new(Some(callers), rate), Some(file)))
}

/// Keeps the gate to what the file of callers says.
pub(super) async fn follow_callers(file: Followed<Callers>, gate: CallerGate) -> Infallible {
    file.follow(|callers| gate.replace(callers)).await
}

impl TlsFiles {
    /// Reads the files again and again.
    pub(super) async fn follow(self) -> Infallible {
        let Self { files, tell } = self;
        files.follow(|tls| _ = tell.send_replace(Arc::new(tls))).await
    }
}

impl TlsOffer {
    /// Agrees on keys with a peer, and says which certificates it has shown.
    pub(super) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        choose: impl Fn(&Tls) -> Arc<ServerConfig>,
    ) -> io::Result<(TlsStream<S>, Vec<CertificateDer<'static>>)> {
        let config = choose(&self.current.borrow());
        let accepting = TlsAcceptor::from(config).accept(stream);
        let accepted = tokio::time::timeout(HANDSHAKE_TIMEOUT, accepting).await.unwrap_or_else(|late| Err(late.into()));
        if accepted.is_err() {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        let stream = accepted?;
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let chain = chain.iter().map(|certificate| certificate.clone().into_owned()).collect();
        Ok((stream, chain))
    }

    /// Waits until a peer is no longer trusted that has shown these certificates: revoked, or its issuer is gone.
    pub(super) async fn distrusts(mut self, chain: &[CertificateDer<'static>]) {
        while !chain.is_empty() && self.current.changed().await.is_ok() {
            if !self.current.borrow_and_update().trusts(chain) {
                return;
            }
        }
        std::future::pending::<()>().await;
    }

    /// Until when the server's certificate is good.
    pub(super) fn not_after(&self) -> chrono::DateTime<chrono::Utc> {
        self.current.borrow().not_after
    }

    /// Handshakes that failed.
    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}
