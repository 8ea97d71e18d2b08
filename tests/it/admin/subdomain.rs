//! CheckSubdomain.

use entitlementd::{
    domain::Role,
    proto::v1::{CheckSubdomainRequest, CheckSubdomainResponse, SubdomainReason},
};

use super::Admin;
use crate::harness::Database;

async fn check(admin: &mut Admin, subdomain: &str) -> CheckSubdomainResponse {
    let request = admin.by(Role::Viewer, CheckSubdomainRequest { subdomain: subdomain.into() });
    admin.client.check_subdomain(request).await.unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subdomain_is_available_or_the_answer_says_why_not() {
    for database in [Database::sqlite().await, Database::postgres().await] {
        database.mk_tenant(1, "Taken", "cancelled").await;
        let long = "a".repeat(56);
        database.mk_tenant(2, &format!("{long}1"), "active").await;
        database
            .execute(&format!(
                "UPDATE tenants SET database_schema = 'tenant_{long}1' WHERE subdomain = '{long}1'"
            ))
            .await;
        let mut admin = Admin::of(database, &["--reserved-label", "partners"]).await;
        for (subdomain, reason, message) in [
            ("testcompany", SubdomainReason::Available, ""),
            ("taken", SubdomainReason::Taken, "This subdomain is already taken."),
            ("sandbox", SubdomainReason::Reserved, "This subdomain is reserved."),
            ("partners", SubdomainReason::Reserved, "This subdomain is reserved."),
            (
                "admin\n",
                SubdomainReason::Invalid,
                "A subdomain has 3 to 63 of a-z, 0-9 and -, a letter or digit at both ends.",
            ),
            (
                &format!("{long}2"),
                SubdomainReason::SchemaTaken,
                "This subdomain is too much like one that is already taken.",
            ),
        ] {
            let answer = check(&mut admin, subdomain).await;
            assert_eq!(
                (answer.reason(), answer.message.as_str()),
                (reason, message),
                "{subdomain:?}"
            );
            assert_eq!(answer.available, reason == SubdomainReason::Available);
            let schema = format!("tenant_{subdomain}");
            let kept = if reason == SubdomainReason::Invalid {
                ""
            } else {
                &schema[..schema.len().min(63)]
            };
            assert_eq!(answer.database_schema, kept);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_that_was_left_behind_is_not_given_to_somebody_else() {
    let database = Database::postgres().await;
    database.execute(r#"CREATE SCHEMA "tenant_test-company""#).await;
    let mut admin = Admin::of(database, &[]).await;
    assert_eq!(check(&mut admin, "test-company").await.reason(), SubdomainReason::SchemaTaken);
    assert_eq!(check(&mut admin, "testcompany").await.reason(), SubdomainReason::Available);
}
