//! Tokens signed with asymmetric keys, from a JWK set.

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use entitlementd::security::token::{AddedKeys, KeySet};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use crate::{
    harness::{
        Database, Server, id,
        pki::{Authority, Files},
        reason_of, token, until_so,
    },
    on_both,
};

/// A key pair: what signs, and the public half as a JWK.
pub struct Pair {
    pub algorithm: Algorithm,
    pub private: EncodingKey,
    pub public: Value,
}

impl Pair {
    pub fn sign(&self, key_id: Option<&str>) -> String {
        self.sign_claims(key_id, &token::claims(&id(1)))
    }

    pub fn sign_claims(&self, key_id: Option<&str>, claims: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = key_id.map(str::to_owned);
        encode(&header, claims, &self.private).unwrap()
    }
}

fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn mk_rsa(key_id: &str) -> Pair {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        STANDARD.encode(der.as_ref())
    );
    let public = pair.public_key();
    let (n, e) = (
        public.modulus().big_endian_without_leading_zero(),
        public.exponent().big_endian_without_leading_zero(),
    );
    Pair {
        algorithm: Algorithm::RS256,
        private: EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap(),
        public: json!({ "kty": "RSA", "use": "sig", "alg": "RS256", "kid": key_id, "n": base64url(n), "e": base64url(e) }),
    }
}

pub fn mk_ec(key_id: &str) -> Pair {
    let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
        .unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.as_ref()).unwrap();
    let point = pair.public_key().as_ref();
    Pair {
        algorithm: Algorithm::ES256,
        private: EncodingKey::from_ec_der(der.as_ref()),
        public: json!({ "kty": "EC", "crv": "P-256", "kid": key_id, "x": base64url(&point[1..33]), "y": base64url(&point[33..]) }),
    }
}

fn mk_ed(key_id: &str) -> Pair {
    let der = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(der.as_ref()).unwrap();
    Pair {
        algorithm: Algorithm::EdDSA,
        private: EncodingKey::from_ed_der(der.as_ref()),
        public: json!({ "kty": "OKP", "crv": "Ed25519", "kid": key_id, "x": base64url(pair.public_key().as_ref()) }),
    }
}

/// Members of a key set that verify no token here: for something else, or nothing can be verified
/// with them.
pub fn not_for_us() -> Vec<Value> {
    let ec = |changes: Value| changed(mk_ec("first").public, changes);
    let rsa = |changes: Value| changed(mk_rsa("first").public, changes);
    let modulus = |bytes: &[u8]| json!({ "n": base64url(bytes) });
    vec![
        json!({ "kty": "oct", "kid": "first", "k": "c2VjcmV0" }),
        json!({ "kty": "PQ", "kid": "new", "crv": "secp256k1" }),
        ec(json!({ "use": "enc" })),
        ec(json!({ "key_ops": ["sign"] })),
        ec(json!({ "alg": "ES384" })),
        ec(json!({ "alg": "unheard of" })),
        ec(json!({ "crv": "P-384" })),
        ec(json!({ "crv": "P-0" })),
        ec(json!({ "kid": 7 })),
        ec(json!({ "y": base64url(&[1; 32]) })),
        ec(json!({ "x": "?" })),
        changed(mk_ed("first").public, json!({ "x": base64url(&[1; 31]) })),
        rsa(json!({ "alg": "PS256" })),
        rsa(json!({ "n": "not base64!" })),
        rsa(json!({ "n": null })),
        rsa(modulus(&[])),
        rsa(modulus(&[0xff; 128])),
        rsa(modulus(&[0xfe; 256])),
        rsa(modulus(&[0xff; 2048])),
        rsa(json!({ "e": base64url(&[2]) })),
        rsa(json!({ "e": base64url(&[1]) })),
        json!("no key"),
    ]
}

fn changed(mut key: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        key[name] = value.clone();
    }
    key
}

async fn serve_with_keys(database: Database, keys: &[Value]) -> Server {
    database.mk_tenant(1, "acme", "active").await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), json!({ "keys": keys }).to_string()).unwrap();
    Server::start_with(database, &["--jwks-file", file.path().to_str().unwrap()]).await
}

#[test]
fn what_verifies_no_token_here_is_passed_over_one_by_one() {
    let good = mk_ec("good").public;
    for member in not_for_us() {
        let set = json!({ "keys": [member, good] }).to_string();
        let taken = KeySet::of_file(set.as_bytes()).unwrap().taken();
        assert_eq!(taken, AddedKeys { keys: 1, passed_over: 1 }, "{member}");
    }
}

on_both! {
    async fn each_kind_of_key_vouches_for_its_own_tokens(server: Server) {
        let pairs = [mk_rsa("rsa"), mk_ec("ec"), mk_ed("ed")];
        let keys = not_for_us().into_iter().chain(pairs.iter().map(|pair| pair.public.clone())).collect::<Vec<_>>();
        let mut server = serve_with_keys(server.database, &keys).await;
        for (pair, key_id) in pairs.iter().zip(["rsa", "ec", "ed"]) {
            for key_id in [Some(key_id), None] {
                let answer = server.resolve("", "", &pair.sign(key_id)).await;
                assert!(answer.unwrap().verified, "{:?} {key_id:?}", pair.algorithm);
            }
        }
    }

    async fn keys_are_bound_to_their_algorithm_and_id(server: Server) {
        let (known, stranger) = (mk_rsa("known"), mk_rsa("known"));
        let mut server = serve_with_keys(server.database, &[known.public.clone(), mk_ec("ec").public]).await;
        // The classic swap: the public key, which anybody has, used as a shared secret.
        let modulus = URL_SAFE_NO_PAD.decode(known.public["n"].as_str().unwrap()).unwrap();
        let swaps = [
            EncodingKey::from_secret(&modulus),
            EncodingKey::from_secret(known.public.to_string().as_bytes()),
            EncodingKey::from_secret(known.public["n"].as_str().unwrap().as_bytes()),
        ];
        let mut refused: Vec<String> =
            swaps.iter().map(|secret| encode(&Header::new(Algorithm::HS256), &token::claims(&id(1)), secret).unwrap()).collect();
        refused.push(stranger.sign(Some("known")));
        refused.push(known.sign(Some("ec")));
        refused.push(known.sign(Some("nobody")));
        refused.push(encode(&Header::new(Algorithm::RS384), &token::claims(&id(1)), &known.private).unwrap());
        for token in refused {
            let status = server.resolve("", "", &token).await.unwrap_err();
            assert_eq!(reason_of(&status), "TOKEN_INVALID", "{token}");
        }
        assert!(server.resolve("", "", &known.sign(Some("known"))).await.is_ok());
    }

    async fn keys_of_one_name_or_none_are_all_tried(server: Server) {
        let pairs = [mk_ec("same"), mk_ec("same"), mk_ec("nameless"), mk_ec("nameless")];
        let public = |pair: &Pair| pair.public.clone();
        let mut keys: Vec<Value> = pairs.iter().map(public).collect();
        keys[2..].iter_mut().for_each(|key| _ = key.as_object_mut().unwrap().remove("kid"));
        // What verifies no token does not count towards how many there may be.
        keys.extend(vec![json!({ "kty": "oct", "k": "c2VjcmV0" }); 200]);
        let mut server = serve_with_keys(server.database, &keys).await;
        for (number, pair) in pairs.iter().enumerate() {
            assert!(server.resolve("", "", &pair.sign(Some("same"))).await.unwrap().verified, "{number}");
        }
    }

    async fn a_header_that_must_be_understood_is_refused(server: Server) {
        let pair = mk_ec("ec");
        let mut server = serve_with_keys(server.database, std::slice::from_ref(&pair.public)).await;
        let sign = |crit: Option<&[&str]>| {
            let mut header = Header::new(pair.algorithm);
            header.crit = crit.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
            header.extras.insert("b64", true);
            encode(&header, &token::claims(&id(1)), &pair.private).unwrap()
        };
        assert!(server.resolve("", "", &sign(None)).await.unwrap().verified);
        for crit in [&["b64"][..], &["exp", "alg"], &[]] {
            let status = server.resolve("", "", &sign(Some(crit))).await.unwrap_err();
            assert_eq!(reason_of(&status), "TOKEN_INVALID", "{crit:?}");
        }
    }
}

/// Does this server take the token?
async fn takes(server: &mut Server, token: &str) -> bool {
    match server.resolve("", "", token).await {
        Ok(answer) => answer.verified,
        Err(status) => {
            assert_eq!(reason_of(&status), "TOKEN_INVALID");
            false
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_in_files_are_followed_and_unusable_ones_are_not() {
    let database = Database::sqlite().await;
    database.mk_tenant(1, "acme", "active").await;
    let (old, new) = (mk_ec("old"), mk_ec("new"));
    let keys = |pair: &Pair| json!({ "keys": [pair.public] }).to_string();
    let files = Files::new(&Authority::new("unused").server());
    let jwks = files.put("jwks.json", &keys(&old));
    let secret = files.put("secret", token::SECRET);
    let flags = ["--jwks-file", &jwks, "--jwt-secret-file", &secret];
    let mut server = Server::start_with(database, &flags).await;
    let shared = token::hs256(&token::claims(&id(1)));
    let (by_old, by_new) = (old.sign(Some("old")), new.sign(Some("new")));
    assert!(takes(&mut server, &shared).await && takes(&mut server, &by_old).await);

    files.put("jwks.json", r#"{"keys": []}"#);
    files.put("secret", "");
    server.running.reload();
    assert!(takes(&mut server, &shared).await && takes(&mut server, &by_old).await);

    files.put("jwks.json", &keys(&new));
    until_so("the new key is known", async || takes(&mut server, &by_new).await).await;
    assert!(!takes(&mut server, &by_old).await);
    assert!(takes(&mut server, &shared).await, "the empty file changed nothing");
    files.put("secret", "another secret of more than thirty-two bytes");
    until_so("the old secret is gone", async || !takes(&mut server, &shared).await).await;
}
