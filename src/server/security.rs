//! TLS of the listeners, and who may ask on them.

use std::{convert::Infallible, sync::Arc};

use tokio::sync::watch;

use super::{
    background::{reload::Reloads, reloaded_files::ReloadedFiles},
    net::tls::TlsOffer,
};
use crate::{
    clock::Clock,
    config::{ClientCertificatesKind, Insecure, ListenAddress, SecurityArgs, UnusableSetting},
    security::{
        callers::Callers,
        tls::{ClientCertificates, Pem, Tls},
    },
    service::CallerGate,
};

/// The TLS settings, and the files that they come from.
pub(crate) struct Security<'a> {
    args: &'a SecurityArgs,
    offer: Option<TlsOffer>,
}

/// The TLS files, and the channel that announces their changes.
pub(crate) struct TlsFiles {
    files: ReloadedFiles<Tls>,
    tell: watch::Sender<Arc<Tls>>,
}

impl<'a> Security<'a> {
    /// Reads the files that the settings name, if there are any.
    pub(crate) fn open(
        args: &'a SecurityArgs,
        clock: &Clock,
    ) -> Result<(Self, Option<TlsFiles>), UnusableSetting> {
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
        let (files, tls) = ReloadedFiles::open(
            "--tls-cert",
            paths.into_iter().flatten().cloned().collect(),
            parse,
        )?;
        let (tell, current) = watch::channel(Arc::new(tls));
        let offer = TlsOffer::new(current);
        Ok((Self { args, offer: Some(offer) }, Some(TlsFiles { files, tell })))
    }

    /// The TLS of a listener; `None`: it is unencrypted. Refused if that is dangerous and has not
    /// been accepted explicitly.
    pub(crate) fn of(
        &self,
        what: Insecure,
        flag: &'static str,
        address: &ListenAddress,
    ) -> Result<Option<TlsOffer>, UnusableSetting> {
        // What passes through a Unix socket stays in the kernel.
        let ListenAddress::Tcp(socket) = address else { return Ok(None) };
        if self.args.allows(what) {
            return Ok(None);
        }
        if self.offer.is_none() && !socket.ip().is_loopback() {
            let word =
                clap::ValueEnum::to_possible_value(&what).map(|value| value.get_name().to_owned());
            let problem = format!(
                "is {address}, which other machines can reach: give --tls-cert and --tls-key, take a loopback address, or \
                 accept with --insecure={} that it is in the clear",
                word.unwrap_or_default()
            );
            return Err(UnusableSetting::new(flag, problem));
        }
        Ok(self.offer.clone())
    }

    /// Refuses a listener that anybody who reaches it may use, unless that is accepted explicitly.
    pub(crate) fn needs_callers(
        &self,
        flag: &'static str,
        address: &ListenAddress,
    ) -> Result<(), UnusableSetting> {
        // Nobody shows a certificate on a Unix socket.
        let (knows_callers, give) = match address {
            ListenAddress::Tcp(_) => (self.knows_callers(), "--callers-file or --client-ca"),
            ListenAddress::Unix(_) => {
                (self.args.callers_file.is_some(), "--callers-file, or a mode without o+w")
            }
        };
        if knows_callers || address.is_near() || self.args.allows(Insecure::Callers) {
            return Ok(());
        }
        let problem = format!(
            "is {address}, where anybody may ask who reaches it: give {give}, or accept it with --insecure=callers"
        );
        Err(UnusableSetting::new(flag, problem))
    }

    /// Is it known who asks, on the listeners for services and proxies?
    pub(crate) fn knows_callers(&self) -> bool {
        self.args.callers_file.is_some() || self.insists_on_certificates()
    }

    /// Do clients always need a certificate, whatever else they have?
    pub(crate) fn insists_on_certificates(&self) -> bool {
        self.args.client_ca.is_some()
            && self.args.client_certificates == ClientCertificatesKind::Required
    }

    /// The TLS that is offered, for reporting on it.
    pub(crate) fn offer(&self) -> Option<TlsOffer> {
        self.offer.clone()
    }
}

/// The callers of the settings, and the file that defines them.
pub(crate) fn callers(
    args: &SecurityArgs,
) -> Result<(CallerGate, Option<ReloadedFiles<Callers>>), UnusableSetting> {
    let rate = args.caller_rate;
    let Some(path) = &args.callers_file else { return Ok((CallerGate::new(None, rate), None)) };
    let parse = move |text: &str| Callers::parse(text, rate);
    let (file, callers) = ReloadedFiles::open_text("--callers-file", path.clone(), parse)?;
    Ok((CallerGate::new(Some(callers), rate), Some(file)))
}

/// Applies changes of the callers' file to the gate.
pub(crate) async fn follow_callers(
    file: ReloadedFiles<Callers>,
    reloads: Reloads,
    gate: CallerGate,
) -> Infallible {
    file.follow(reloads, |callers| gate.replace(callers)).await
}

impl TlsFiles {
    /// Reads the files again and again.
    pub(crate) async fn follow(self, reloads: Reloads) -> Infallible {
        let Self { files, tell } = self;
        files.follow(reloads, |tls| _ = tell.send_replace(Arc::new(tls))).await
    }
}
