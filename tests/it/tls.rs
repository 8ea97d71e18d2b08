//! TLS and mutual TLS, as clients and operators meet them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use entitlementd::{
    clock::{Clock, ManualClock},
    proto::v1::entitlement_service_client::EntitlementServiceClient,
    server,
    server::Running,
};
use rcgen::ExtendedKeyUsagePurpose;
use tonic::{Code, Status, transport::Channel};

use crate::harness::{
    Database, NOW, Row,
    pki::{ALWAYS, Authority, Files, Issued, connect_tls},
    process,
    server::{check_request, serve_args},
    until_so,
};

/// A server over TLS, with a tenant that has finance.
struct Secured {
    running: Running,
    _database: Database,
}

async fn start(flags: &[String], more: &[&str]) -> Secured {
    let database = Database::sqlite().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    let flags: Vec<&str> = flags.iter().map(String::as_str).chain(more.iter().copied()).collect();
    let args = serve_args(&database.url, &flags);
    let running = server::start(args, Clock::Manual(ManualClock::at(NOW))).await.unwrap();
    Secured { running, _database: database }
}

impl Secured {
    async fn connect(
        &self,
        authorities: &[&Authority],
        client: Option<&Issued>,
    ) -> Result<Channel, String> {
        connect_tls(&self.running.address, authorities, client)
            .await
            .map_err(|error| error.to_string())
    }

    /// Asks over a connection of its own. Under TLS 1.3, a client learns that it is refused from
    /// the first answer.
    async fn ask(&self, authority: &Authority, client: Option<&Issued>) -> Result<bool, String> {
        let channel = self.connect(&[authority], client).await?;
        check(channel).await.map_err(|status| format!("{:?}: {status}", status.code()))
    }

    /// Asks until the database has been heard of, and then once more.
    async fn ready(&self, authority: &Authority, client: Option<&Issued>) {
        let answered = async || self.ask(authority, client).await == Ok(true);
        until_so("the server answers", answered).await;
    }
}

async fn check(channel: Channel) -> Result<bool, Status> {
    let answer =
        EntitlementServiceClient::new(channel).check_module(check_request(1, "finance")).await?;
    Ok(answer.into_inner().allowed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_who_shows_a_good_certificate_is_answered() {
    let [ours, theirs] = ["ours", "theirs"].map(Authority::new);
    let files = Files::new(&ours.server());
    let ca = files.put("ca.pem", &ours.pem);
    let crl = files.put("crl.pem", &ours.revoke(&[7]));
    let server = start(&files.flags(), &["--client-ca", &ca, "--client-crl", &crl]).await;
    let good = ours.client("spiffe://erp/orders", 2, ALWAYS);
    server.ready(&ours, Some(&good)).await;

    let server_only = ours.issue(&["orders"], 6, ALWAYS, ExtendedKeyUsagePurpose::ServerAuth);
    for (what, client) in [
        ("none", None),
        ("expired", Some(ours.client("orders", 3, 2020..2021))),
        ("not yet valid", Some(ours.client("orders", 4, 2080..2090))),
        ("of another authority", Some(theirs.client("orders", 5, ALWAYS))),
        ("for servers", Some(server_only)),
        ("revoked", Some(ours.client("orders", 7, ALWAYS))),
    ] {
        assert!(
            server.ask(&ours, client.as_ref()).await.is_err(),
            "a certificate that is {what} was let in"
        );
    }
    assert!(server.ask(&theirs, Some(&good)).await.is_err(), "a client believed another authority");
    let plain =
        tonic::transport::Endpoint::try_from(format!("http://{}", server.running.address)).unwrap();
    let plain = plain.connect().await;
    assert!(
        plain.is_err() || check(plain.unwrap()).await.is_err(),
        "the server answered in the clear"
    );
    assert_eq!(server.ask(&ours, Some(&good)).await, Ok(true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_replaced_under_load_without_a_failed_request() {
    let [old, new] = ["old", "new"].map(Authority::new);
    let files = Files::new(&old.server());
    let server = Arc::new(start(&files.flags(), &[]).await);
    server.ready(&old, None).await;
    let steady = server.connect(&[&old], None).await.unwrap();

    let (done, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let load = |steady: Option<Channel>| {
        let (server, done, asked) = (Arc::clone(&server), Arc::clone(&done), Arc::clone(&asked));
        let authorities = [old.pem.clone(), new.pem.clone()];
        tokio::spawn(async move {
            while !done.load(Ordering::Relaxed) {
                let channel = match &steady {
                    Some(channel) => channel.clone(),
                    None => {
                        let known = authorities.iter().map(tonic::transport::Certificate::from_pem);
                        let tls = tonic::transport::ClientTlsConfig::new().ca_certificates(known);
                        let uri = format!("https://{}", server.running.address);
                        let endpoint = tonic::transport::Endpoint::try_from(uri).unwrap();
                        endpoint
                            .tls_config(tls.domain_name("localhost"))
                            .unwrap()
                            .connect()
                            .await
                            .unwrap()
                    }
                };
                assert!(check(channel).await.unwrap());
                asked.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    let loads = [load(Some(steady)), load(None), load(None)];
    files.put_server(&new.server());
    until_so("the new certificate is shown", async || server.ask(&new, None).await == Ok(true))
        .await;
    assert!(server.ask(&old, None).await.is_err(), "the old certificate is still shown");
    done.store(true, Ordering::Relaxed);
    for load in loads {
        load.await.unwrap();
    }
    assert!(asked.load(Ordering::Relaxed) > 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_new_file_changes_nothing() {
    let [old, new] = ["old", "new"].map(Authority::new);
    let files = Files::new(&old.server());
    let server = start(&files.flags(), &[]).await;
    server.ready(&old, None).await;
    let (good, expired) = (
        new.server(),
        new.issue(&["localhost"], 9, 2020..2021, ExtendedKeyUsagePurpose::ServerAuth),
    );
    for bad in [
        Issued { certificate: "nonsense".into(), key: good.key.clone() },
        Issued { certificate: good.certificate.clone(), key: new.server().key },
        expired,
    ] {
        files.put_server(&bad);
        // Longer than the files are left alone.
        let until_read = tokio::time::Instant::now() + Duration::from_millis(1200);
        while tokio::time::Instant::now() < until_read {
            assert_eq!(server.ask(&old, None).await, Ok(true));
        }
    }
    files.put_server(&good);
    until_so("the good one is shown", async || server.ask(&new, None).await == Ok(true)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_revoked_loses_the_connection_and_nobody_else_does() {
    let ours = Authority::new("ours");
    let files = Files::new(&ours.server());
    let ca = files.put("ca.pem", &ours.pem);
    let crl = files.put("crl.pem", &ours.revoke(&[]));
    let server = start(&files.flags(), &["--client-ca", &ca, "--client-crl", &crl]).await;
    let [stays, goes] = [2, 3].map(|serial| ours.client("spiffe://erp/orders", serial, ALWAYS));
    server.ready(&ours, Some(&stays)).await;
    let stays = server.connect(&[&ours], Some(&stays)).await.unwrap();
    let goes = server.connect(&[&ours], Some(&goes)).await.unwrap();
    assert!(check(stays.clone()).await.unwrap() && check(goes.clone()).await.unwrap());

    files.put("crl.pem", &ours.revoke(&[3]));
    // The channel connects anew when its connection ends, and is not let in.
    until_so("the revoked one is shut out", async || check(goes.clone()).await.is_err()).await;
    assert!(check(stays.clone()).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_listener_speaks_tls_and_probes_need_no_certificate() {
    let ours = Authority::new("ours");
    let files = Files::new(&ours.server());
    let ca = files.put("ca.pem", &ours.pem);
    let tokens = files.put("tokens", &format!("alice owner {}\n", "0".repeat(64)));
    let more = [
        "--client-ca",
        &ca,
        "--metrics-listen",
        "127.0.0.1:0",
        "--forward-auth-listen",
        "127.0.0.1:0",
    ];
    let admin = ["--admin-listen", "127.0.0.1:0", "--admin-tokens-file", &tokens];
    let server = start(&files.flags(), &[&more[..], &admin].concat()).await;
    let client = ours.client("spiffe://erp/prometheus", 2, ALWAYS);
    server.ready(&ours, Some(&client)).await;

    let authority = files.put("authority.pem", &ours.pem);
    let (certificate, key) =
        (files.put("client.pem", &client.certificate), files.put("client-key.pem", &client.key));
    let get = |url: String, shows: bool| {
        let mut curl = std::process::Command::new("curl");
        curl.args([
            "--silent",
            "--max-time",
            "20",
            "--cacert",
            &authority,
            "--output",
            "-",
            "--write-out",
            "\n%{http_code}",
        ]);
        if shows {
            curl.args(["--cert", &certificate, "--key", &key]);
        }
        let output = curl.arg(url).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.rsplit('\n').next().unwrap().to_owned()
    };
    let metrics = format!("https://{}", server.running.metrics_address.unwrap());
    assert_eq!(get(format!("{metrics}/livez"), false), "200");
    assert_eq!(get(format!("{metrics}/metrics"), false), "403");
    assert_eq!(get(format!("{metrics}/metrics"), true), "200");
    // A proxy that says nothing of what is asked: it has been heard all the same.
    let forward = format!("https://{}/", server.running.forward_auth_address.as_ref().unwrap());
    assert_eq!(get(forward.clone(), true), "400");
    assert_eq!(get(forward, false), "000");

    let admin = server.running.admin_address.as_ref().unwrap();
    let list = async |client| {
        let channel = connect_tls(admin, &[&ours], client).await.map_err(|_| Code::Unknown)?;
        let mut admin =
            entitlementd::proto::v1::tenant_admin_service_client::TenantAdminServiceClient::new(
                channel,
            );
        admin
            .list_modules(entitlementd::proto::v1::ListModulesRequest::default())
            .await
            .map_err(|status| status.code())
    };
    assert_eq!(list(Some(&client)).await.unwrap_err(), Code::Unauthenticated);
    assert_ne!(list(None).await.unwrap_err(), Code::Unauthenticated);
}

#[test]
fn what_other_machines_can_reach_is_protected_or_accepted_as_it_is() {
    let ours = Authority::new("ours");
    let files = Files::new(&ours.server());
    let flags = files.flags();
    let tls: Vec<&str> = flags.iter().map(String::as_str).collect();
    let expired =
        Files::new(&ours.issue(&["localhost"], 9, 2020..2021, ExtendedKeyUsagePurpose::ServerAuth));
    let expired_flags = expired.flags();
    let expired: Vec<&str> = expired_flags.iter().map(String::as_str).collect();
    let open = ["--listen", "0.0.0.0:0"];
    for (flags, complaint) in [
        (
            open.to_vec(),
            "--listen is 0.0.0.0:0, which other machines can reach: give --tls-cert and --tls-key",
        ),
        (
            [&open, &tls[..]].concat(),
            "--listen is 0.0.0.0:0, where anybody may ask who reaches it: give --callers-file",
        ),
        ([&open[..], &["--insecure=data"]].concat(), "where anybody may ask"),
        (
            vec!["--metrics-listen", "0.0.0.0:0"],
            "accept with --insecure=metrics that it is in the clear",
        ),
        (vec!["--forward-auth-listen", "0.0.0.0:0"], "accept with --insecure=forward-auth that"),
        ([&["--insecure"], &tls[..]].concat(), "--insecure says that everything goes unprotected"),
        (vec!["--tls-cert", "x"], "--tls-key"),
        (
            expired,
            "--tls-cert: it is good from 2020-01-01 00:00:00 UTC to 2021-01-01 00:00:00 UTC only",
        ),
    ] {
        let output = process::run(&[&["serve", "--demo"], &flags[..]].concat());
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {error}");
        assert!(error.contains(complaint), "{flags:?}: {error}");
    }
}
