//! Which tenant, and what is held of the answer.

use std::time::{Duration, Instant};

use entitlement_client::{Credentials, Error, OnOutage, TenantSource};
use serde_json::json;

use super::{FLAGS, PATIENCE, World, tenant};
use crate::harness::{Database, Row, id, token};

pub fn by_id(id: &str) -> Credentials<'_> {
    Credentials { tenant_id: id, ..Credentials::default() }
}

impl World {
    pub async fn until_resolved_by_id(&self, number: u32) {
        self.until_resolved(by_id(&id(number))).await;
    }

    /// Asks until the server is not asked any more: an answer that news of the tenant overtook is
    /// not held.
    async fn until_resolved(&self, credentials: Credentials<'_>) {
        let started = Instant::now();
        loop {
            let before = self.questions("ResolveTenant").await;
            for _ in 0..10 {
                self.client.resolve(credentials).await.unwrap();
            }
            if self.questions("ResolveTenant").await == before {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "still asked");
        }
    }
}

async fn refused(world: &World, credentials: Credentials<'_>) -> (tonic::Code, String) {
    match world.client.resolve(credentials).await.unwrap_err() {
        error @ (Error::Refused(_) | Error::Unavailable(_)) => {
            let word = error.word();
            let (Error::Refused(status) | Error::Unavailable(status)) = error else {
                unreachable!()
            };
            (status.code(), word)
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_is_resolved_once_and_held_until_it_changes() {
    for database in [Database::sqlite().await, Database::postgres().await] {
        let world = World::of(database, OnOutage::Deny).await;
        world.server.database.mk_subscribed(1, "finance", Row::default()).await;
        world.until(1, "finance", |answer| answer.allowed()).await;
        let id = id(1);
        let resolved = world.client.resolve(by_id(&id)).await.unwrap();
        assert_eq!(
            (resolved.tenant.id, resolved.source, resolved.verified),
            (tenant(1), TenantSource::TenantId, false)
        );
        world.until_resolved(by_id(&id)).await;

        world.server.database.set_status(1, "suspended").await;
        world.until(1, "finance", |answer| !answer.allowed()).await;
        assert_eq!(
            refused(&world, by_id(&id)).await,
            (tonic::Code::PermissionDenied, "TENANT_SUSPENDED".into())
        );
        world.server.database.set_status(1, "active").await;
        world.until(1, "finance", |answer| answer.allowed()).await;
        world.client.resolve(by_id(&id)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_vouches_for_its_tenant_until_it_expires() {
    let secret = token::secret_file();
    let path = secret.path().to_str().unwrap().to_owned();
    let flags = [&FLAGS[..], &["--jwt-secret-file", &path]].concat();
    let database = Database::sqlite().await;
    // Before the server starts: news of the tenant would outdate what is held of it.
    database.mk_subscribed(1, "finance", Row::default()).await;
    let world = World::with(database, &flags, OnOutage::Deny).await;
    let mut claims = token::claims(&id(1));
    claims["exp"] = json!((crate::harness::NOW + chrono::TimeDelta::seconds(4)).timestamp());
    let bearer = format!("Bearer {}", token::hs256(&claims));
    let credentials = Credentials { bearer_token: &bearer, ..Credentials::default() };
    let resolved = world.client.resolve(credentials).await.unwrap();
    assert_eq!((resolved.source, resolved.verified), (TenantSource::BearerToken, true));
    world.until_resolved(credentials).await;
    let asked = world.questions("ResolveTenant").await;
    world.advance(3);
    world.client.resolve(credentials).await.unwrap();
    assert_eq!(world.questions("ResolveTenant").await, asked, "held until its end");
    // The server's leeway is 60 s.
    world.advance(100);
    assert_eq!(
        refused(&world, credentials).await,
        (tonic::Code::Unauthenticated, "TOKEN_INVALID".into())
    );
    let wrong = Credentials { bearer_token: "Bearer x.y.z", ..Credentials::default() };
    assert_eq!(
        refused(&world, wrong).await,
        (tonic::Code::Unauthenticated, "TOKEN_INVALID".into())
    );
    let known = id(1);
    let conflict = Credentials { tenant_id: &known, host: "nobody.erp.example", bearer_token: "" };
    assert_eq!(refused(&world, conflict).await.0, tonic::Code::PermissionDenied);
    assert!(!format!("{credentials:?}").contains(&bearer));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_holds_nothing_is_authorized_in_one_round_trip() {
    let database = Database::sqlite().await;
    // Before the server starts: to hear of it takes a moment.
    database.mk_subscribed(1, "finance", Row::default()).await;
    let world = World::of(database, OnOutage::Deny).await;
    let id = id(1);
    let authorized = world.client.authorize(by_id(&id), &["hrms", "finance"]).await.unwrap();
    assert!(authorized.answer.allowed() && authorized.resolved.tenant.id == tenant(1));
    let counted = ["Authorize", "ResolveTenant", "ListEnabledModules", "CheckModule"];
    let questions = async || {
        let mut questions = Vec::new();
        for method in counted {
            questions.push(world.questions(method).await);
        }
        questions
    };
    assert_eq!(questions().await, [1.0, 0.0, 0.0, 0.0]);
    let denied = world.client.authorize(by_id(&id), &["hrms"]).await.unwrap();
    assert!(!denied.answer.allowed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_denies_in_an_outage_knows_a_tenant_as_long_as_the_answer_is_good() {
    let database = Database::sqlite().await;
    // Before the server starts: news of the tenant would outdate what is held of it.
    database.mk_subscribed(1, "finance", Row::default()).await;
    let world = World::of(database, OnOutage::Deny).await;
    let id = id(1);
    world.until_resolved(by_id(&id)).await;
    world.lose_the_server().await;
    world.client.resolve(by_id(&id)).await.unwrap();
    world.clock.advance(Duration::from_secs(31));
    let error = world.client.resolve(by_id(&id)).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
}
