//! Leases that the Rust library has signed.

use std::time::Duration;

use entitlement_client::{Config, Entitlements, Error, LeaseRequest, OnOutage, Reason};

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_library_has_leases_signed_and_no_outage_rule_stands_in_for_the_server() {
    let database = Database::sqlite().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    database.mk_subscribed(2, "finance", Row::default()).await;
    database.set_status(2, "suspended").await;
    let (server, _) = start(database, &[]).await;
    let config = Config::new(server.running.address.to_string(), OnOutage::Allow).without_watch();
    let client = Entitlements::connect(config.deadline(Duration::from_secs(10))).unwrap();
    let [one, two] = [1, 2].map(|number| id(number).parse().unwrap());
    let wanted = LeaseRequest::default().module("hrms").feature("finance", "export");
    let wanted = wanted.ttl(Duration::from_secs(300)).audience("till-7");
    let issued = client.issue_lease(one, wanted.clone()).await.unwrap();
    assert_eq!((issued.issued_at, issued.expires_at, issued.stale), (NOW, instant(300), false));
    let said: Vec<_> = issued
        .modules
        .iter()
        .map(|it| (it.code.as_str(), it.granted, it.reason, it.until))
        .collect();
    assert_eq!(
        said,
        [
            ("hrms", false, Reason::NotSubscribed, None),
            ("finance", true, Reason::Enabled, Some(instant(300))),
        ]
    );
    assert!(issued.modules[0].message.contains("Please upgrade"));
    let verifier = verifier(&server).await.0.audience("till-7");
    let lease = verifier.verify(one, &issued.token).unwrap();
    assert!(lease.allows("finance") && lease.revision() == issued.revision);
    assert_eq!(lease.feature("finance", "export").reason, LeaseReason::Off);

    let refused = client.issue_lease(two, LeaseRequest::default()).await.unwrap_err();
    assert!(matches!(refused, Error::Refused(_)) && refused.word() == "TENANT_SUSPENDED");
    let longest = LeaseRequest::default().ttl(Duration::MAX);
    assert!(matches!(client.issue_lease(one, longest).await, Err(Error::Refused(_))));
    server.running.stop().await.unwrap();
    let away = client.issue_lease(one, wanted).await.unwrap_err();
    assert!(matches!(away, Error::Unavailable(_)), "{away}");
}
