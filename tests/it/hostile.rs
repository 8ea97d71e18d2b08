//! What an attacker, or a broken caller, sends.

use entitlementd::proto::v1::{
    AuthorizeRequest, BatchCheckModulesRequest, CheckModuleRequest, ExplainModuleRequest,
    ListEnabledModulesRequest,
};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use prost_types::Timestamp;
use serde_json::{Value, json};
use tonic::Code;

use crate::{
    harness::{
        Database, Row, Server, field_violations, id, instant, reason_of, server::check_request,
        token,
    },
    on_both,
};

on_both! {
    async fn unreadable_fields_are_all_named_at_once(server: Server) {
        let bad_at = Some(Timestamp { seconds: i64::MAX, nanos: -1 });
        for (tenant_id, module_code, at, fields) in [
            ("", "", None, vec!["tenant_id", "module_code"]),
            ("acme", "finance", None, vec!["tenant_id"]),
            ("{00000000-0000-4000-8000-000000000001}", "finance", None, vec!["tenant_id"]),
            ("urn:uuid:00000000-0000-4000-8000-000000000001", "finance", None, vec!["tenant_id"]),
            ("00000000000040008000000000000001", "finance", None, vec!["tenant_id"]),
            ("00000000-0000-4000-8000-000000000001\0", "finance", None, vec!["tenant_id"]),
            ("00000000-0000-4000-8000-000000000001", "fin\0ance", None, vec!["module_code"]),
            ("00000000-0000-4000-8000-000000000001", "fin\nance", None, vec!["module_code"]),
            ("00000000-0000-4000-8000-000000000001", "123456789012345678901234567890123456789012345678901", None, vec!["module_code"]),
            ("x", "\u{7f}", bad_at, vec!["tenant_id", "at", "module_code"]),
        ] {
            let request = CheckModuleRequest { tenant_id: tenant_id.into(), module_code: module_code.into(), at, min_revision: None };
            let status = server.check_request(request).await.unwrap_err();
            assert_eq!((status.code(), reason_of(&status).as_str()), (Code::InvalidArgument, "INVALID_FIELD"));
            assert_eq!(field_violations(&status), fields, "{tenant_id:?} {module_code:?}");
        }
    }

    async fn batches_are_bounded_and_name_the_bad_code(server: Server) {
        let batch = |codes: Vec<String>| BatchCheckModulesRequest { tenant_id: id(1), module_codes: codes, ..Default::default() };
        for codes in [vec![], vec!["finance".to_owned(); 101]] {
            let status = server.client.batch_check_modules(batch(codes)).await.unwrap_err();
            assert_eq!(field_violations(&status), ["module_codes"]);
        }
        let status = server.client.batch_check_modules(batch(vec!["a".into(), String::new()])).await.unwrap_err();
        assert_eq!(field_violations(&status), ["module_codes[1]"]);
        let status = server.client.batch_check_modules(batch(vec![String::new(); 100])).await.unwrap_err();
        assert_eq!(field_violations(&status).len(), 20, "details travel in a header");
        let none = AuthorizeRequest { tenant_id: id(1), ..Default::default() };
        assert_eq!(field_violations(&server.client.authorize(none).await.unwrap_err()), ["any_of_module_codes"]);
        let nothing = ListEnabledModulesRequest::default();
        assert_eq!(field_violations(&server.list(nothing).await.unwrap_err()), ["tenant_id"]);
        let nobody = ExplainModuleRequest { tenant: "a b".into(), module_code: "finance".into(), at: None };
        assert_eq!(field_violations(&server.client.explain_module(nobody).await.unwrap_err()), ["tenant"]);
        let status = server.resolve("", "", "").await.unwrap_err();
        assert_eq!(field_violations(&status), ["tenant_id", "host", "bearer_token"]);
    }

    async fn a_message_of_a_megabyte_is_refused_unread(server: Server) {
        let request = CheckModuleRequest { module_code: "a".repeat(1 << 20), ..check_request(1, "") };
        let status = server.check_request(request).await.unwrap_err();
        assert_eq!((status.code(), reason_of(&status).as_str()), (Code::InvalidArgument, "MALFORMED_REQUEST"));
    }

    async fn hosts_that_name_no_tenant_resolve_to_none(server: Server) {
        server.database.mk_tenant(1, "acme", "active").await;
        for host in ["acme.erp.example", "ACME.ERP.Example", "acme.erp.example.", "acme.erp.example:8443", "acme.erp.example.:1"] {
            assert_eq!(server.resolve("", host, "").await.unwrap().tenant.unwrap().id, id(1), "{host}");
        }
        for host in [
            "acme.evil.example", "acme.erp.example.evil.example", "deep.acme.erp.example", "erp.example", ".erp.example",
            "acme..erp.example", "acme.erp.example..", "10.0.0.1", "[::1]:443", "::1", "acme", "acme.erp.example:x", "a\0.erp.example",
            "acme.erp.example/x", "x@acme.erp.example", " acme.erp.example", "api.erp.example", "\u{430}cme.erp.example",
        ] {
            let status = server.resolve("", host, "").await.unwrap_err();
            assert_eq!((status.code(), reason_of(&status).as_str()), (Code::NotFound, "TENANT_NOT_FOUND"), "{host:?}");
        }
    }

    async fn forged_and_unfit_tokens_are_refused(server: Server) {
        let database = server.database;
        database.mk_tenant(1, "acme", "active").await;
        let secret = token::secret_file();
        let flags = ["--jwt-secret-file", secret.path().to_str().unwrap(), "--jwt-issuer", "erp", "--jwt-audience", "erp-api"];
        let mut server = Server::start_with(database, &flags).await;
        let with = |changes: Value| {
            let mut claims = token::claims(&id(1));
            claims["iss"] = "erp".into();
            claims["aud"] = json!(["other", "erp-api"]);
            for (name, value) in changes.as_object().unwrap() {
                claims[name] = value.clone();
            }
            claims
        };
        let good = token::hs256(&with(json!({})));
        for accepted in [
            good.clone(),
            format!("Bearer {good}"),
            format!("bearer {good}"),
            token::hs256(&with(json!({ "aud": "erp-api" }))),
            token::hs256(&with(json!({ "exp": instant(-59).timestamp() }))),
            token::hs256(&with(json!({ "nbf": instant(60).timestamp() }))),
            token::hs256(&with(json!({ "exp": 1e11 }))),
        ] {
            assert!(server.resolve("", "", &accepted).await.unwrap().verified, "{accepted}");
        }

        let parts: Vec<&str> = good.split('.').collect();
        let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
        let foreign = EncodingKey::from_secret(b"another secret");
        for (name, refused) in [
            ("garbage", "garbage".to_owned()),
            ("only the scheme", "Bearer ".to_owned()),
            ("alg none", format!("{none}.{}.", parts[1])),
            ("alg none with a signature", format!("{none}.{}.{}", parts[1], parts[2])),
            ("no signature", format!("{}.{}.", parts[0], parts[1])),
            ("another secret", encode(&Header::default(), &with(json!({})), &foreign).unwrap()),
            ("another algorithm", encode(&Header::new(Algorithm::HS512), &with(json!({})), &EncodingKey::from_secret(token::SECRET.as_bytes())).unwrap()),
            ("claims of another token", format!("{}.{}.{}", parts[0], token::hs256(&with(json!({"tenant_id": id(2)}))).split('.').nth(1).unwrap(), parts[2])),
            ("expired", token::hs256(&with(json!({ "exp": instant(-60).timestamp() })))),
            ("no exp", token::hs256(&with(json!({ "exp": null })))),
            ("exp as text", token::hs256(&with(json!({ "exp": "tomorrow" })))),
            ("exp beyond the calendar", token::hs256(&with(json!({ "exp": i64::MAX })))),
            ("not yet valid", token::hs256(&with(json!({ "nbf": instant(61).timestamp() })))),
            ("another issuer", token::hs256(&with(json!({ "iss": "evil" })))),
            ("no issuer", token::hs256(&with(json!({ "iss": null })))),
            ("another audience", token::hs256(&with(json!({ "aud": ["other"] })))),
            ("a tenant that is no UUID", token::hs256(&with(json!({ "tenant_id": "acme" })))),
            ("a tenant that is no text", token::hs256(&with(json!({ "tenant_id": 1 })))),
            ("nine kilobytes", token::hs256(&with(json!({ "x": "x".repeat(9000) })))),
        ] {
            let status = server.resolve(&id(1), "", &refused).await.unwrap_err();
            assert_eq!((status.code(), reason_of(&status).as_str()), (Code::Unauthenticated, "TOKEN_INVALID"), "{name}");
            assert_eq!(status.message(), "the bearer token is not valid", "{name}: nothing is learned from it");
        }
    }

    async fn a_flood_of_invented_ids_costs_few_statements(server: Server) {
        server.database.mk_subscribed(1, "finance", Row::default()).await;
        for number in 1000..3000 {
            assert!(!server.check(number, "finance").await.allowed);
        }
        assert!(server.check(1, "finance").await.allowed, "a tenant that exists is found during the flood");
        if !server.database.is_sqlite() {
            let statements = crate::harness::postgres::shared().statements(&server.database.name).await;
            assert!(statements < 200, "{statements} statements");
        }
    }
}
