//! Tests of the parent module.

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header, jwk::JwkSet};
use serde_json::Value;

use super::*;

/// From RFC 8037, appendix A.1: known to everybody, so it protects nothing.
const PRIVATE: &str = r#"{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
const THUMBPRINT: &str = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";

fn set(members: &[&str]) -> Vec<u8> {
    format!("{{\"keys\": [{}]}}", members.join(", ")).into_bytes()
}

fn parse(members: &[&str]) -> Result<LeaseKeys, String> {
    LeaseKeys::parse(&set(members)).map_err(|error| error.to_string())
}

#[test]
fn a_key_without_a_name_goes_by_its_thumbprint_and_only_its_public_half_is_published() {
    let keys = parse(&[PRIVATE]).unwrap();
    assert_eq!(keys.ids().collect::<Vec<_>>(), [THUMBPRINT]);
    let published: Value = serde_json::from_str(keys.published()).unwrap();
    assert_eq!(published["keys"][0]["kid"], THUMBPRINT);
    assert_eq!(published["keys"][0]["x"], "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
    assert!(!keys.published().contains("nWGxne") && !format!("{keys:?}").contains("nWGxne"));
}

#[test]
fn what_is_signed_is_a_jwt_that_another_library_verifies_with_the_published_set() {
    let keys = parse(&[PRIVATE]).unwrap();
    let token = keys.sign(&json!({ "sub": "x", "exp": 4_000_000_000_u64 })).unwrap();
    let header = decode_header(&token).unwrap();
    assert_eq!(
        (header.alg, header.typ.as_deref(), header.kid.as_deref()),
        (Algorithm::EdDSA, Some(LEASE_TYPE), Some(THUMBPRINT))
    );
    let set: JwkSet = serde_json::from_str(keys.published()).unwrap();
    let key = DecodingKey::from_jwk(set.find(THUMBPRINT).unwrap()).unwrap();
    let read = decode::<Value>(&token, &key, &Validation::new(Algorithm::EdDSA)).unwrap();
    assert_eq!(read.claims["sub"], "x");
    assert_eq!(keys.sign(&"x".repeat(MAX_SIGNED_LEASE_BYTES)), Err(LeaseTooLarge));
}

#[test]
fn what_cannot_sign_is_refused_with_its_number_and_never_with_its_text() {
    let with = |name: &str, value: Value| {
        let mut member: Value = serde_json::from_str(PRIVATE).unwrap();
        member[name] = value;
        member.to_string()
    };
    let without = |name: &str| {
        let mut member: Value = serde_json::from_str(PRIVATE).unwrap();
        member.as_object_mut().unwrap().remove(name);
        member.to_string()
    };
    for (second, words) in [
        (without("d"), "no private half"),
        (without("x"), "unreadable"),
        (with("d", json!("nWGxne")), "unreadable"),
        (with("d", json!("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")), "unreadable"),
        (with("x", json!("A".repeat(43))), "x is not the public half of d"),
        (with("kty", json!("oct")), "not an Ed25519 key"),
        (with("crv", json!("X25519")), "not an Ed25519 key"),
        (with("crv", json!(7)), "not an Ed25519 key"),
        (with("use", json!("enc")), "not for signing"),
        (with("alg", json!("HS256")), "not for signing"),
        (with("key_ops", json!(["verify"])), "not for signing"),
        (with("kid", json!("")), "its kid must be"),
        (with("kid", json!("a b")), "its kid must be"),
        (with("kid", json!(7)), "its kid must be"),
        (with("kid", json!(THUMBPRINT)), "that of an earlier one"),
        ("[]".to_owned(), "not an Ed25519 key"),
    ] {
        let refused = parse(&[PRIVATE, &second]).unwrap_err();
        assert!(
            refused.contains("key number 2: ") && refused.contains(words),
            "{second}: {refused}"
        );
        assert!(!refused.contains("nWGxne"), "{refused}");
    }
    for (text, words) in [
        ("", "holds no key"),
        ("{\"keys\": []}", "holds no key"),
        ("{\"keys\": 7}", "holds neither"),
        ("nWGxne", "holds neither"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "holds no key"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "Ed25519 key in PKCS#8"),
        ("-----BEGIN PRIVATE KEY-----\n!\n-----END PRIVATE KEY-----\n", "is not PEM"),
    ] {
        let refused = LeaseKeys::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(refused.contains(words), "{text}: {refused}");
    }
    let many = vec![PRIVATE; MAX_KEYS + 1];
    assert!(parse(&many).unwrap_err().contains("more than 16 keys"));
}

#[test]
fn pem_holds_the_same_keys_in_both_versions_of_pkcs_8() {
    // The key of RFC 8410, section 10.3, as openssl writes it.
    let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    let both = format!("{pem}{}", second_version());
    let keys = LeaseKeys::parse(both.as_bytes()).unwrap();
    assert_eq!(keys.ids().len(), 2);
    assert!(keys.published().contains("Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE"));
    let twice = LeaseKeys::parse(pem.repeat(2).as_bytes()).unwrap_err();
    assert!(twice.to_string().contains("that of an earlier one"));
}

/// As libraries write it that are newer than PKCS#8 itself.
fn second_version() -> String {
    use aws_lc_rs::rand::SystemRandom;
    use base64::engine::general_purpose::STANDARD;
    let der = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        STANDARD.encode(der.as_ref())
    )
}

#[test]
fn a_rotation_makes_a_key_signs_with_it_and_drops_the_old_one() {
    let mut file = LeaseKeyFile::parse(b"").unwrap();
    let old = file.add_new().unwrap();
    let new = file.add_new().unwrap();
    assert_eq!(file.ids(), [old.clone(), new.clone()]);
    let signs_with = |file: &LeaseKeyFile| {
        let keys = LeaseKeys::parse(file.text().as_bytes()).unwrap();
        decode_header(keys.sign(&json!({})).unwrap()).unwrap().kid.unwrap()
    };
    assert_eq!(signs_with(&file), old, "a new key is published before it signs");
    assert!(file.sign_with(&new) && !file.sign_with("another"));
    assert_eq!((signs_with(&file), file.ids()), (new.clone(), vec![new.clone(), old.clone()]));
    let mut file = LeaseKeyFile::parse(file.text().as_bytes()).unwrap();
    assert!(file.remove(&old) && !file.remove(&old));
    assert_eq!(file.ids(), [new]);
}
