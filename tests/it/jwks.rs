//! Keys by URL: issuers that rotate, lie, hang, and answer with garbage.

use std::{
    future::pending,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{Router, body::Body, http::Response, routing::get};
use entitlementd::security::tls::{ClientCertificates, Pem, Tls};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tonic::Code;

use crate::{
    harness::{
        Database, NOW, Server,
        http::Metrics,
        id,
        pki::{Authority, Files},
        process, reason_of, token, until_so,
    },
    tokens::{Pair, mk_ec, not_for_us},
};

/// What an issuer answers with.
#[derive(Clone)]
enum Says {
    Keys(Vec<Value>),
    Bytes(u16, String),
    /// Elsewhere, by a redirect.
    Elsewhere(String),
    /// More than anybody should read.
    TooMuch,
    Nothing,
}

/// An issuer that publishes its keys, and is asked.
#[derive(Clone)]
struct Issuer {
    says: Arc<Mutex<Says>>,
    asked: Arc<AtomicUsize>,
}

impl Issuer {
    fn new(says: Says) -> Self {
        Self { says: Arc::new(Mutex::new(says)), asked: Arc::default() }
    }

    fn of(pairs: &[&Pair]) -> Self {
        Self::new(keys(pairs))
    }

    fn says(&self, says: Says) {
        *self.says.lock().unwrap() = says;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    fn router(&self) -> Router {
        let this = self.clone();
        Router::new().route("/keys", get(async move || this.answer().await))
    }

    async fn answer(&self) -> Response<Body> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let says = self.says.lock().unwrap().clone();
        let answer = |status: u16, body: String| {
            Response::builder().status(status).body(Body::from(body)).unwrap()
        };
        match says {
            Says::Keys(keys) => answer(200, json!({ "keys": keys }).to_string()),
            Says::Bytes(status, text) => answer(status, text),
            Says::Elsewhere(url) => {
                Response::builder().status(302).header("location", url).body(Body::empty()).unwrap()
            }
            Says::TooMuch => answer(200, " ".repeat(2 << 20)),
            Says::Nothing => pending().await,
        }
    }

    /// Publishes over HTTP, and says where.
    async fn publish(&self) -> String {
        self.publish_at(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn publish_at(&self, listener: TcpListener) -> String {
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let router = self.router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    /// The same over TLS.
    async fn publish_over_tls(&self, authority: &Authority) -> String {
        let server = authority.server();
        let pem = Pem {
            certificate: server.certificate.as_bytes(),
            key: server.key.as_bytes(),
            client_ca: None,
            client_crl: None,
        };
        let tls = Tls::new(pem, ClientCertificates::Optional, NOW).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}/keys", listener.local_addr().unwrap().port());
        let (acceptor, router) = (tokio_rustls::TlsAcceptor::from(tls.http1), self.router());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(stream) = acceptor.accept(stream).await else { continue };
                let service = hyper_util::service::TowerToHyperService::new(router.clone());
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection);
            }
        });
        url
    }
}

fn keys(pairs: &[&Pair]) -> Says {
    Says::Keys(pairs.iter().map(|pair| pair.public.clone()).collect())
}

async fn start(urls: &[&str], more: &[&str]) -> Server {
    let database = Database::sqlite().await;
    database.mk_tenant(1, "acme", "active").await;
    let mut flags = vec!["--changes", "off", "--metrics-listen", "127.0.0.1:0"];
    flags.extend(urls.iter().flat_map(|url| ["--jwks-url", url]));
    Server::start_with(database, &[&flags[..], more].concat()).await
}

/// What becomes of a token: whether it vouches for its tenant, or the word of the refusal.
async fn verdict(server: &Server, token: &str) -> Result<bool, String> {
    let request = entitlementd::proto::v1::ResolveTenantRequest {
        bearer_token: token.to_owned(),
        ..Default::default()
    };
    match server.client.clone().resolve_tenant(request).await {
        Ok(answer) => Ok(answer.into_inner().verified),
        Err(status) => Err(reason_of(&status)),
    }
}

/// Waits until the first set is there.
async fn fetched(server: &Server, token: &str) {
    until_so("the keys are fetched", async || verdict(server, token).await == Ok(true)).await;
}

fn invalid() -> Result<bool, String> {
    Err("TOKEN_INVALID".to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_rotated_in_is_found_by_the_first_token_and_one_that_is_rotated_out_is_gone()
{
    let (old, new) = (mk_ec("old"), mk_ec("new"));
    let issuer = Issuer::of(&[&old]);
    let server = start(&[&issuer.publish().await], &[]).await;
    fetched(&server, &old.sign(Some("old"))).await;
    issuer.says(keys(&[&new]));
    server.advance(11);
    assert_eq!(verdict(&server, &new.sign(Some("new"))).await, Ok(true));
    assert_eq!(verdict(&server, &old.sign(Some("old"))).await, invalid());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_withdrawn_is_gone_as_soon_as_a_reload_is_asked_for() {
    let (old, new) = (mk_ec("old"), mk_ec("new"));
    let issuer = Issuer::of(&[&old]);
    let server = start(&[&issuer.publish().await], &["--jwks-refresh", "1h"]).await;
    let token = old.sign(Some("old"));
    fetched(&server, &token).await;
    issuer.says(keys(&[&new]));
    server.running.reload();
    until_so("the key is gone", async || verdict(&server, &token).await == invalid()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_with_keys_that_nobody_knows_do_not_make_it_ask_again_and_again() {
    let key = mk_ec("key");
    let issuer = Issuer::of(&[&key]);
    let server = start(&[&issuer.publish().await], &[]).await;
    fetched(&server, &key.sign(Some("key"))).await;
    server.advance(11);
    let before = issuer.asked();
    for number in 0..50 {
        assert_eq!(
            verdict(&server, &key.sign(Some(&format!("made-up-{number}")))).await,
            invalid()
        );
    }
    assert_eq!(issuer.asked(), before + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_an_issuer_answers_the_keys_of_before_go_on_holding() {
    let (key, lie) = (mk_ec("key"), mk_ec("lie"));
    let elsewhere = Issuer::of(&[&lie]).publish().await;
    let issuer = Issuer::of(&[&key]);
    let server = start(&[&issuer.publish().await], &[]).await;
    let good = key.sign(Some("key"));
    fetched(&server, &good).await;
    let failures = async || {
        Metrics::read(server.running.metrics_address.unwrap()).await.of("jwks_fetch_failures_total")
    };
    for (number, says) in [
        Says::Bytes(500, String::new()),
        Says::Bytes(200, "<html>garbage</html>".to_owned()),
        Says::Bytes(200, "{\"keys\": []}".to_owned()),
        Says::Keys(vec![json!({}), json!(1), json!({ "kid": "lie" })]),
        Says::Elsewhere(elsewhere),
        Says::TooMuch,
        // The last: what hangs keeps who fetches busy.
        Says::Nothing,
    ]
    .into_iter()
    .enumerate()
    {
        issuer.says(says.clone());
        server.advance(11);
        assert_eq!(verdict(&server, &lie.sign(Some("lie"))).await, invalid());
        assert_eq!(verdict(&server, &good).await, Ok(true));
        if !matches!(says, Says::Nothing) {
            assert_eq!(failures().await, number as f64 + 1.0);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_for_something_else_keep_no_withdrawn_key_and_no_new_one_out() {
    let [first, second, third] = ["first", "second", "third"].map(mk_ec);
    let issuer = Issuer::of(&[&first]);
    let server = start(&[&issuer.publish().await], &[]).await;
    let token = |pair: &Pair, key: &str| pair.sign(Some(key));
    fetched(&server, &token(&first, "first")).await;
    issuer.says(Says::Keys([vec![second.public.clone()], not_for_us()].concat()));
    server.advance(11);
    assert_eq!(verdict(&server, &token(&second, "second")).await, Ok(true));
    assert_eq!(verdict(&server, &token(&first, "first")).await, invalid());
    // It has keys, of which none is for us: those of before are not among them.
    issuer.says(Says::Keys(not_for_us()));
    server.advance(11);
    assert_eq!(verdict(&server, &token(&third, "third")).await, invalid());
    assert_eq!(verdict(&server, &token(&second, "second")).await, invalid());
    issuer.says(keys(&[&third]));
    server.advance(11);
    assert_eq!(verdict(&server, &token(&third, "third")).await, Ok(true));
    let failures = Metrics::read(server.running.metrics_address.unwrap())
        .await
        .of("jwks_fetch_failures_total");
    assert_eq!(failures, 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuer_that_is_bound_to_tenants_names_no_other() {
    let (one, two) = (mk_ec("one"), mk_ec("two"));
    let urls = [Issuer::of(&[&one]).publish().await, Issuer::of(&[&two]).publish().await];
    let urls = ["https://one.example/?a=b", "https://two.example"].iter().zip(urls);
    let urls: Vec<String> = urls.map(|(issuer, url)| format!("{issuer}={url}")).collect();
    let bound = format!("https://one.example/?a=b={}", id(1));
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    let server = start(&urls, &["--jwt-issuer-tenant", &bound]).await;
    server.database.mk_tenant(2, "other", "active").await;
    let token = |pair: &Pair, key: &str, issuer: &str, tenant: Value| {
        let mut claims = token::claims("");
        (claims["iss"], claims["tenant_id"]) = (json!(issuer), tenant);
        pair.sign_claims(Some(key), &claims)
    };
    let of_one = |tenant: Value| token(&one, "one", "https://one.example/?a=b", tenant);
    let of_two = |tenant: Value| token(&two, "two", "https://two.example", tenant);
    fetched(&server, &of_one(json!(id(1)))).await;
    fetched(&server, &of_two(json!(id(1)))).await;
    assert_eq!(verdict(&server, &of_two(json!(id(2)))).await, Ok(true));
    for foreign in [id(2), id(9)] {
        assert_eq!(verdict(&server, &of_one(json!(foreign))).await, invalid());
    }
    // Who names no tenant, names none that it may not.
    assert_eq!(verdict(&server, &of_one(Value::Null)).await, Err("TENANT_NOT_FOUND".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuers_keys_are_good_for_its_own_tokens_only() {
    let (one, two) = (mk_ec("one"), mk_ec("two"));
    let urls = [Issuer::of(&[&one]).publish().await, Issuer::of(&[&two]).publish().await];
    let urls = ["https://one.example", "https://two.example/?a=b"].iter().zip(urls);
    let urls: Vec<String> = urls.map(|(issuer, url)| format!("{issuer}={url}")).collect();
    let server = start(&urls.iter().map(String::as_str).collect::<Vec<_>>(), &[]).await;
    let token = |pair: &Pair, key: &str, issuer: &str| {
        let mut claims = token::claims(&id(1));
        claims["iss"] = json!(issuer);
        pair.sign_claims(Some(key), &claims)
    };
    fetched(&server, &token(&one, "one", "https://one.example")).await;
    fetched(&server, &token(&two, "two", "https://two.example/?a=b")).await;
    assert_eq!(verdict(&server, &token(&one, "one", "https://two.example/?a=b")).await, invalid());
    assert_eq!(verdict(&server, &one.sign(Some("one"))).await, invalid());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_the_first_set_a_token_is_neither_good_nor_bad() {
    let key = mk_ec("key");
    let place = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = place.local_addr().unwrap();
    drop(place);
    let server = start(&[&format!("http://{address}/keys")], &[]).await;
    let token = key.sign(Some("key"));
    let request = entitlementd::proto::v1::ResolveTenantRequest {
        bearer_token: token.clone(),
        ..Default::default()
    };
    let status = server.client.clone().resolve_tenant(request).await.unwrap_err();
    assert_eq!(
        (status.code(), reason_of(&status).as_str()),
        (Code::Unavailable, "TOKEN_KEYS_UNAVAILABLE")
    );
    let issuer = Issuer::of(&[&key]);
    issuer.publish_at(TcpListener::bind(address).await.unwrap());
    fetched(&server, &token).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_come_over_tls_from_whom_the_authority_vouches_for() {
    let [ours, theirs] = ["ours", "theirs"].map(Authority::new);
    let files = Files::new(&ours.server());
    let ca = files.put("ca.pem", &ours.pem);
    let (good, bad) = (mk_ec("good"), mk_ec("bad"));
    let urls = [
        Issuer::of(&[&good]).publish_over_tls(&ours).await,
        Issuer::of(&[&bad]).publish_over_tls(&theirs).await,
    ];
    let server = start(&[&urls[0], &urls[1]], &["--jwks-ca-file", &ca]).await;
    fetched(&server, &good.sign(Some("good"))).await;
    assert_eq!(
        verdict(&server, &bad.sign(Some("bad"))).await,
        Err("TOKEN_KEYS_UNAVAILABLE".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_vouched_for_by_a_new_authority_is_asked_at_once() {
    let [before, after] = ["before", "after"].map(Authority::new);
    let files = Files::new(&before.server());
    let ca = files.put("ca.pem", &before.pem);
    let key = mk_ec("key");
    let url = Issuer::of(&[&key]).publish_over_tls(&after).await;
    let flags = ["--jwks-ca-file", &ca, "--jwks-refresh", "1h"];
    let server = start(&[&url], &flags).await;
    let token = key.sign(Some("key"));
    let unavailable = || Err("TOKEN_KEYS_UNAVAILABLE".to_owned());
    assert_eq!(verdict(&server, &token).await, unavailable());
    files.put("ca.pem", "garbage");
    server.running.reload();
    assert_eq!(verdict(&server, &token).await, unavailable());
    files.put("ca.pem", &after.pem);
    fetched(&server, &token).await;
}

#[test]
fn urls_that_are_none_or_not_safe_are_refused_at_the_start() {
    for url in
        ["http://idp.example/keys", "ftp://127.0.0.1/keys", "keys", "=https://idp.example/keys"]
    {
        let output = process::run(&["serve", "--demo", "--jwks-url", url]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{url}: {told}");
        assert!(told.contains("expected an https URL, or ISSUER=URL"), "{url}: {told}");
    }
    let output = process::run(&[
        "serve",
        "--demo",
        "--jwks-url",
        "https://idp.example/keys",
        "--jwks-ca-file",
        "/nowhere",
    ]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("--jwks-ca-file names /nowhere, which cannot be read"), "{told}");
}
