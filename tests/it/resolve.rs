//! ResolveTenant and Authorize.

use entitlementd::proto::v1::{
    AuthorizeRequest, DecisionReason, FeatureReason, Tenant, TenantSource, TenantStatus,
};
use serde_json::json;
use tonic::{Code, Status};

use crate::{
    harness::{Database, Row, Server, field_violations, id, instant, reason_of, token},
    on_both,
};

const ACME: &str = "acme.erp.example";
const OTHER: &str = "other.erp.example";

/// Two tenants, acme (1) and other (2), and a server that knows the secret.
async fn mk_two(database: Database, flags: &[&str]) -> Server {
    database.mk_tenant(1, "acme", "active").await;
    database.mk_tenant(2, "other", "active").await;
    let secret = token::secret_file();
    let mut all = vec!["--jwt-secret-file", secret.path().to_str().unwrap()];
    all.extend_from_slice(flags);
    Server::start_with(database, &all).await
}

fn refusal(status: Status) -> (Code, String) {
    let reason = reason_of(&status);
    (status.code(), reason)
}

fn refused(code: Code, reason: &str) -> (Code, String) {
    (code, reason.to_owned())
}

on_both! {
    async fn every_source_names_a_tenant_and_the_strongest_is_told(server: Server) {
        let mut server = mk_two(server.database, &[]).await;
        let token = token::hs256(&token::claims(&id(1)));
        for (tenant_id, host, token, source, verified) in [
            (id(1), "", "", TenantSource::TenantId, false),
            (String::new(), ACME, "", TenantSource::Host, false),
            (id(1), ACME, "", TenantSource::TenantId, false),
            (String::new(), "", token.as_str(), TenantSource::BearerToken, true),
            (id(1), ACME, token.as_str(), TenantSource::BearerToken, true),
            (String::new(), "elsewhere.example", token.as_str(), TenantSource::BearerToken, true),
        ] {
            let answer = server.resolve(&tenant_id, host, token).await.unwrap();
            assert_eq!((answer.source(), answer.verified), (source, verified), "{tenant_id} {host}");
            assert_eq!(answer.tenant.unwrap(), Tenant {
                id: id(1),
                name: "Tenant 1".into(),
                subdomain: "acme".into(),
                database_schema: "tenant_acme".into(),
                status: TenantStatus::Active.into(),
                plan_slug: String::new(),
            });
        }
    }

    async fn all_that_names_a_tenant_must_name_the_same_one(server: Server) {
        let mut server = mk_two(server.database, &[]).await;
        let token = token::hs256(&token::claims(&id(1)));
        for (tenant_id, host, token) in [
            (id(2), ACME, ""),
            (id(2), "", token.as_str()),
            (String::new(), OTHER, token.as_str()),
            (id(1), OTHER, token.as_str()),
            (id(1), "unknown.erp.example", ""),
            (id(9), ACME, ""),
            (id(9), "", token.as_str()),
        ] {
            let status = server.resolve(&tenant_id, host, token).await.unwrap_err();
            assert_eq!(refusal(status), refused(Code::PermissionDenied, "TENANT_CONFLICT"), "{tenant_id} {host}");
        }
    }

    async fn nothing_that_names_a_known_tenant_is_not_found(server: Server) {
        let mut server = mk_two(server.database, &[]).await;
        let nameless = token::hs256(&json!({ "exp": instant(60).timestamp(), "tenant_id": null }));
        for (tenant_id, host, token) in [
            (id(9), "", ""),
            (String::new(), "unknown.erp.example", ""),
            (id(9), "unknown.erp.example", ""),
            (String::new(), "erp.example", ""),
            (String::new(), "www.erp.example", ""),
            (String::new(), "acme.evil.example", ""),
            (String::new(), "127.0.0.1:80", ""),
            (String::new(), "", nameless.as_str()),
        ] {
            let status = server.resolve(&tenant_id, host, token).await.unwrap_err();
            assert_eq!(refusal(status), refused(Code::NotFound, "TENANT_NOT_FOUND"), "{tenant_id} {host}");
        }
    }

    async fn a_token_without_the_claim_leaves_the_tenant_unverified(server: Server) {
        let mut server = mk_two(server.database, &[]).await;
        let nameless = token::hs256(&json!({ "exp": instant(60).timestamp() }));
        let answer = server.resolve(&id(1), "", &nameless).await.unwrap();
        assert_eq!((answer.source(), answer.verified), (TenantSource::TenantId, false));
    }

    async fn a_tenant_that_is_not_served_is_refused_with_its_status(server: Server) {
        let mut server = mk_two(server.database, &["--changes", "off", "--cache-ttl", "1s"]).await;
        for (status, reason) in [
            ("suspended", "TENANT_SUSPENDED"),
            ("cancelled", "TENANT_CANCELLED"),
            ("pending_setup", "TENANT_NOT_SERVED"),
            ("whatever", "TENANT_NOT_SERVED"),
        ] {
            server.database.set_status(1, status).await;
            server.advance(1);
            let answer = server.resolve(&id(1), "", "").await.unwrap_err();
            assert_eq!(refusal(answer), refused(Code::PermissionDenied, reason), "{status}");
        }
    }

    async fn a_bad_id_never_falls_through_to_another_source(server: Server) {
        let mut server = mk_two(server.database, &[]).await;
        let status = server.resolve("not-a-uuid", ACME, "").await.unwrap_err();
        assert_eq!(refusal(status), refused(Code::InvalidArgument, "INVALID_FIELD"));
    }

    async fn a_bad_token_never_falls_through_to_another_source(server: Server) {
        let mut server = mk_two(server.database, &[]).await;
        let status = server.resolve(&id(1), ACME, "nonsense").await.unwrap_err();
        assert_eq!(refusal(status), refused(Code::Unauthenticated, "TOKEN_INVALID"));
    }

    async fn without_a_key_no_token_can_be_vouched_for(server: Server) {
        server.database.mk_tenant(1, "acme", "active").await;
        let token = token::hs256(&token::claims(&id(1)));
        let status = server.resolve(&id(1), "", &token).await.unwrap_err();
        assert_eq!(refusal(status), refused(Code::Unauthenticated, "TOKEN_INVALID"));
    }

    async fn what_a_token_vouches_for_is_not_kept_beyond_its_end(server: Server) {
        let mut server = mk_two(server.database, &[]).await;
        let mut claims = token::claims(&id(1));
        claims["exp"] = instant(7).timestamp().into();
        let freshness = server.resolve("", "", &token::hs256(&claims)).await.unwrap().freshness.unwrap();
        assert_eq!(freshness.max_age.unwrap().seconds, 7);
        assert_eq!(freshness.valid_until.unwrap().seconds, instant(7).timestamp());
        let unbounded = server.resolve(&id(1), "", "").await.unwrap().freshness.unwrap();
        assert_eq!((unbounded.max_age.unwrap().seconds, unbounded.valid_until), (30, None));
    }

    async fn a_renamed_tenant_is_found_by_its_new_name_only(server: Server) {
        server.database.mk_tenant(1, "acme", "active").await;
        assert_eq!(server.resolve("", ACME, "").await.unwrap().tenant.unwrap().id, id(1));
        server.database.execute("UPDATE tenants SET subdomain = 'newname'").await;
        server.database.mk_tenant(2, "acme", "active").await;
        server.advance(300);
        assert_eq!(server.resolve("", "newname.erp.example", "").await.unwrap().tenant.unwrap().id, id(1));
        assert_eq!(server.resolve("", ACME, "").await.unwrap().tenant.unwrap().id, id(2));
    }

    async fn authorize_takes_the_first_code_that_is_allowed(server: Server) {
        server.database.mk_subscribed(1, "finance", Row::default()).await;
        let request = |codes: &[&str]| AuthorizeRequest {
            host: "tenant-1.erp.example".into(),
            any_of_module_codes: codes.iter().map(ToString::to_string).collect(),
            ..Default::default()
        };
        let answer = server.client.authorize(request(&["hrms", "finance", "marketing"])).await.unwrap().into_inner();
        let decision = answer.decision.unwrap();
        assert_eq!((decision.module_code.as_str(), decision.allowed), ("finance", true));
        assert_eq!(answer.tenant.unwrap().id, id(1));
        assert_eq!(answer.freshness.unwrap().max_age.unwrap().seconds, 30);

        let answer = server.client.authorize(request(&["hrms", "marketing"])).await.unwrap().into_inner();
        let decision = answer.decision.unwrap();
        assert_eq!((decision.module_code.as_str(), decision.reason()), ("hrms", DecisionReason::NotSubscribed));
        assert_eq!(answer.freshness.unwrap().max_age.unwrap().seconds, 5, "a denial is kept briefly");

        server.database.mk_subscription(1, "crm_service", Row { starts: 3, ..Row::default() }).await;
        server.advance(300);
        server.database.mk_subscription(1, "scm_ai", Row { starts: 303, ..Row::default() }).await;
        let answer = server.client.authorize(request(&["hrms", "scm_ai"])).await.unwrap().into_inner();
        assert_eq!(answer.decision.unwrap().module_code, "hrms");
        let freshness = answer.freshness.unwrap();
        assert_eq!(freshness.max_age.unwrap().seconds, 3, "the other one starts before that");
        assert_eq!(freshness.valid_until.unwrap().seconds, instant(303).timestamp());

        let unknown = AuthorizeRequest { host: "unknown.erp.example".into(), ..request(&["hrms"]) };
        let status = server.client.authorize(unknown).await.unwrap_err();
        assert_eq!(refusal(status), refused(Code::NotFound, "TENANT_NOT_FOUND"));
    }
    async fn authorize_takes_the_first_code_that_is_allowed_and_has_the_feature_on(server: Server) {
        let database = server.database.again().await;
        database.mk_subscribed(1, "finance", Row::default()).await;
        database.mk_subscription(1, "crm_service", Row { expires: Some(9), ..Row::default() }).await;
        database.mk_subscription(1, "hrms", Row { expires: Some(100), ..Row::default() }).await;
        database.flag(1, "finance", "export", "false", "'{}'").await;
        database.flag(1, "hrms", "export", "true", "'7'").await;
        let request = |codes: &[&str], key: &str| AuthorizeRequest {
            tenant_id: id(1),
            any_of_module_codes: codes.iter().map(ToString::to_string).collect(),
            feature_key: key.into(),
            ..Default::default()
        };
        let mut ask = async |codes: &[&str], key: &str| {
            let answer = server.client.authorize(request(codes, key)).await.unwrap().into_inner();
            let (module, freshness) = (answer.decision.unwrap(), answer.freshness.unwrap());
            let feature = answer.feature_decision;
            if let Some(feature) = &feature {
                assert_eq!((&feature.module_code, feature.module_reason()), (&module.module_code, module.reason()));
            }
            let feature = feature.map(|feature| (feature.enabled, feature.reason()));
            (module.module_code, module.allowed, feature, freshness.valid_until.map(|at| at.seconds), freshness.max_age.unwrap().seconds)
        };
        let modules = ["marketing", "finance", "crm_service", "hrms"];
        let at = |seconds| Some(instant(seconds).timestamp());
        let told = |code: &str, allowed, feature, until, age| (code.to_owned(), allowed, feature, until, age);
        // An old caller is told of the module alone.
        assert_eq!(ask(&modules, "").await, told("finance", true, None, None, 30));
        let on = Some((true, FeatureReason::Tenant));
        assert_eq!(ask(&modules, "export").await, told("hrms", true, on, at(100), 30));
        // Where none has it on, the first that is allowed says why, and any that changes counts.
        let off = Some((false, FeatureReason::Tenant));
        assert_eq!(ask(&["marketing", "finance", "crm_service"], "export").await, told("finance", true, off, at(9), 5));
        let denied = Some((false, FeatureReason::ModuleDenied));
        assert_eq!(ask(&["marketing", "scm_ai"], "export").await, told("marketing", false, denied, None, 5));
        let unknown = Some((false, FeatureReason::NotFound));
        assert_eq!(ask(&["hrms"], "nothing").await, told("hrms", true, unknown, at(100), 5));
        let wrong = server.client.authorize(request(&["hrms"], "a\nb")).await.unwrap_err();
        assert_eq!(field_violations(&wrong), ["feature_key"]);
    }
}
