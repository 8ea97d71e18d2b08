//! The keys that sign, and those that are published.

use std::{fs, os::unix::fs::PermissionsExt};

use entitlement_client::{LeaseError, LeaseVerifier};
use entitlementd::{clock::Clock, server};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::*;
use crate::harness::{process::Process, server::serve_args, token, until_so};

/// A server that signs with these keys, which are followed.
async fn signs_with(path: &Path) -> (Server, Client) {
    let database = Database::sqlite().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    let fixed = ["--changes", "off", "--lease-key-file", path.to_str().unwrap()];
    let server = Server::start_with(database, &[&fixed, &SHOWN[..]].concat()).await;
    let client = client(&server).await;
    (server, client)
}

async fn lease(client: &mut Client) -> String {
    issue(client, request(&["finance"])).await.lease
}

fn kid(lease: &str) -> String {
    jsonwebtoken::decode_header(lease).unwrap().kid.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_refuses_nobody_whose_keys_are_those_that_were_published_before_it() {
    let (file, ids) = key_file(1);
    let (server, mut client) = signs_with(file.path()).await;
    let old = lease(&mut client).await;
    let devices = verifier(&server).await.0;
    let tenant = id(1).parse().unwrap();
    let change = |change: &dyn Fn(&mut LeaseKeyFile)| {
        let mut keys = LeaseKeyFile::parse(&fs::read(file.path()).unwrap()).unwrap();
        change(&mut keys);
        write_keys(file.path(), &keys.text());
        keys.ids()
    };

    // Published first, and signing nothing: devices learn of it.
    let ids = [ids[0].clone(), change(&|keys| _ = keys.add_new().unwrap())[1].clone()];
    until_so("the new key is published", async || published(&server).await.contains(&ids[1])).await;
    assert_eq!(kid(&lease(&mut client).await), ids[0]);
    let unaware = verifier(&server).await.0;
    unaware.replace_keys(published(&server).await.as_bytes()).unwrap();
    devices.replace_keys(published(&server).await.as_bytes()).unwrap();

    // Then it signs. What the old one has signed is good still.
    change(&|keys| assert!(keys.sign_with(&ids[1])));
    until_so("the new key signs", async || kid(&lease(&mut client).await) == ids[1]).await;
    let new = lease(&mut client).await;
    for lease in [&old, &new] {
        assert!(devices.verify(tenant, lease).unwrap().allows("finance"));
    }

    // Then the old one goes. Whoever has not learned of that takes its leases until they end.
    change(&|keys| assert!(keys.remove(&ids[0])));
    until_so("the old key is gone", async || !published(&server).await.contains(&ids[0])).await;
    assert!(devices.verify(tenant, &old).is_ok());
    devices.replace_keys(published(&server).await.as_bytes()).unwrap();
    assert_eq!(devices.verify(tenant, &old).unwrap_err(), LeaseError::UnknownKey);
    assert!(devices.verify(tenant, &new).is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_cannot_be_used_changes_nothing_and_is_told_of() {
    let (file, ids) = key_file(1);
    let path = file.path().to_str().unwrap();
    let mut server =
        Process::serve(&["--demo", "--listen", "127.0.0.1:0", "--lease-key-file", path]);
    let address = server.address();
    server.wait_for("\"ready\"");
    let mut client = LeaseServiceClient::new(connect(&address.parse().unwrap()).await);
    let original = fs::read_to_string(file.path()).unwrap();
    let another = key_file(1);
    let text = fs::read_to_string(another.0.path()).unwrap();
    for (bad, words) in [
        ("", "holds no key"),
        ("{\"keys\": []}", "holds no key"),
        ("no file of keys", "holds neither private keys in PEM"),
        (&text[..text.len() / 2], "holds neither private keys in PEM"),
    ] {
        write_keys(file.path(), bad);
        let line = server.wait_for("the previous contents stay in effect");
        assert!(line.contains(words), "{line}");
        assert_eq!(kid(&lease(&mut client).await), ids[0], "{bad}");
        // So that the next complaint is not taken for this one.
        write_keys(file.path(), &text);
        server.wait_for(&format!("leases are signed with the key {}", another.1[0]));
        write_keys(file.path(), &original);
        server.wait_for(&format!("leases are signed with the key {}", ids[0]));
    }
    // What others can read is no secret any more.
    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(file.path(), &text).unwrap();
    server.wait_for("its mode is 0644");
    assert_eq!(kid(&lease(&mut client).await), ids[0]);
    write_keys(file.path(), &text);
    server.wait_for(&format!("leases are signed with the key {}", another.1[0]));
    assert_eq!(kid(&lease(&mut client).await), another.1[0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_does_not_start_with_keys_that_others_can_read_or_that_are_none() {
    let (file, _) = key_file(1);
    let start = async || {
        let path = file.path().to_str().unwrap();
        let database = Database::sqlite().await;
        let args = serve_args(&database.url, &["--lease-key-file", path]);
        server::start(args, Clock::System).await.map(drop).map_err(|error| error.to_string())
    };
    for (mode, is_private) in [(0o600, true), (0o640, true), (0o644, false), (0o602, false)] {
        fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
        let started = start().await;
        assert_eq!(started.is_ok(), is_private, "{mode:o}: {started:?}");
        if let Err(error) = started {
            assert!(error.contains(&format!("its mode is {mode:04o}")), "{error}");
        }
    }
    write_keys(file.path(), "no keys");
    assert!(start().await.unwrap_err().contains("holds neither private keys in PEM"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_public_halves_are_published_to_everybody_and_for_a_while() {
    let (file, ids) = key_file(2);
    let (server, _) = signs_with(file.path()).await;
    let probes = server.running.metrics_address.unwrap();
    let reply = http::get(probes, "/.well-known/jwks.json").await;
    assert_eq!(reply.status, 200);
    assert!(reply.head.contains("content-type: application/jwk-set+json"), "{}", reply.head);
    assert!(reply.head.contains("cache-control: public, max-age=300"), "{}", reply.head);
    let set: Value = serde_json::from_str(&reply.body).unwrap();
    let keys = set["keys"].as_array().unwrap();
    assert_eq!(keys.iter().map(|key| key["kid"].as_str().unwrap()).collect::<Vec<_>>(), ids);
    for key in keys {
        let members: Vec<_> = key.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(members, ["alg", "crv", "kid", "kty", "use", "x"]);
    }
    let post = http::send(
        probes,
        "POST /.well-known/jwks.json HTTP/1.1\r\nHost: x\r\ncontent-length: 0\r\n\r\n",
    );
    assert_eq!(post.await.status, 405);

    let none = Server::start_with(Database::sqlite().await, &SHOWN).await;
    let probes = none.running.metrics_address.unwrap();
    assert_eq!(http::get(probes, "/.well-known/jwks.json").await.status, 404);
}

/// Somebody who has a lease must not pass for a user: not even where an operator has mixed up the keys,
/// and takes the tenant from the claim in which leases have it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_is_no_users_token_and_a_users_token_is_no_lease() {
    let (file, ids) = key_file(1);
    let (server, mut client) = signs_with(file.path()).await;
    let lease = lease(&mut client).await;
    let set = tempfile::NamedTempFile::new().unwrap();
    fs::write(set.path(), published(&server).await).unwrap();
    let flags = ["--jwks-file", set.path().to_str().unwrap(), "--jwt-tenant-claim", "sub"];
    let mut gateway = Server::start_with(server.database.again().await, &flags).await;
    for token in [lease.clone(), format!("Bearer {lease}")] {
        let status = gateway.resolve("", "", &token).await.unwrap_err();
        assert_eq!(reason_of(&status), "TOKEN_INVALID");
    }

    // The same claims, signed with the same key, as a user's token: so it is its type that keeps it out.
    let keys: Value = serde_json::from_slice(&fs::read(file.path()).unwrap()).unwrap();
    let claims: Value = claims_of(&lease);
    let as_type = |typ: Option<&str>| {
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = typ.map(str::to_owned);
        header.kid = Some(ids[0].clone());
        encode(&header, &claims, &private(&keys["keys"][0])).unwrap()
    };
    assert!(gateway.resolve("", "", &as_type(Some("JWT"))).await.unwrap().verified);
    for typ in
        ["entitlement-lease+jwt", "Entitlement-Lease+JWT", "application/entitlement-lease+jwt"]
    {
        assert!(gateway.resolve("", "", &as_type(Some(typ))).await.is_err(), "{typ}");
    }
    let verifier = verifier(&server).await.0;
    let tenant = id(1).parse().unwrap();
    assert!(verifier.verify(tenant, &as_type(Some("entitlement-lease+jwt"))).is_ok());
    for typ in [Some("JWT"), None] {
        assert_eq!(verifier.verify(tenant, &as_type(typ)).unwrap_err(), LeaseError::WrongType);
    }
    let shared = token::hs256(&claims);
    assert_eq!(verifier.verify(tenant, &shared).unwrap_err(), LeaseError::WrongAlgorithm);
    assert!(LeaseVerifier::new(&fs::read(file.path()).unwrap()).is_err(), "a private key");
}

fn claims_of(lease: &str) -> Value {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let payload = URL_SAFE_NO_PAD.decode(lease.split('.').nth(1).unwrap()).unwrap();
    let mut claims: Value = serde_json::from_slice(&payload).unwrap();
    claims["name"] = json!("ann");
    claims
}

/// What signs with a member of the file.
fn private(member: &Value) -> EncodingKey {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let seed = URL_SAFE_NO_PAD.decode(member["d"].as_str().unwrap()).unwrap();
    // RFC 8410, section 7: PKCS#8 around 32 bytes.
    let start = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    EncodingKey::from_ed_der(&[&start[..], &seed].concat())
}
