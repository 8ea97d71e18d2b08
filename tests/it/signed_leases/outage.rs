//! Leases while the database cannot be asked.

use super::*;
use crate::harness::{postgres::Cluster, process};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_lease_outlasts_what_is_held_while_the_database_is_away() {
    let cluster = Cluster::start(&[]);
    let name = cluster.empty_database().await;
    process::migrate(&cluster.url(&name));
    let database = Database::on(&cluster, name).await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    database.define("finance", Defined { is_on: true, ..Defined::default() }).await;
    let (server, mut client) = start(database, &["--max-stale", "1h"]).await;
    let feature =
        FeatureName { module_code: "finance".into(), feature_key: "multi_currency".into() };
    let asked = IssueLeaseRequest { features: vec![feature], ..request(&["finance"]) };
    let fresh = issue(&mut client, asked.clone()).await;
    assert_eq!(at(fresh.expires_at), instant(DAY));
    assert!(!fresh.freshness.unwrap().stale);
    cluster.stop();

    // Read at NOW, and good for an hour from there, however long is asked for.
    for (seconds, asked) in [(400, &asked), (1800, &request(&["finance"])), (3000, &asked)] {
        server.advance(seconds - (server.clock.now() - NOW).num_seconds());
        let stale = issue(&mut client, asked.clone()).await;
        assert!(stale.freshness.unwrap().stale, "{seconds}");
        assert_eq!(at(stale.issued_at), instant(seconds));
        assert_eq!(at(stale.expires_at), instant(3600), "{seconds}");
        assert_eq!(at(stale.modules[0].until), instant(3600), "{seconds}");
    }
    let short = IssueLeaseRequest { ttl: seconds(60), ..request(&["finance"]) };
    assert_eq!(at(issue(&mut client, short.clone()).await.expires_at), instant(3060));
    server.advance(599);
    assert_eq!(at(issue(&mut client, short.clone()).await.expires_at), instant(3600));
    server.advance(1);
    let unavailable = (Code::Unavailable, "STORE_UNAVAILABLE".to_owned());
    assert_eq!(refused(client.issue_lease(short).await), unavailable);
    assert_eq!(refused(client.issue_lease(asked).await), unavailable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_rests_on_the_revision_that_its_caller_has_written() {
    let database = Database::sqlite().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    let (file, _) = key_file(1);
    let flags = ["--lease-key-file", file.path().to_str().unwrap(), "--poll-interval", "20ms"];
    let server = Server::start_with(database, &[&flags, &SHOWN[..]].concat()).await;
    let mut client = client(&server).await;
    let before = issue(&mut client, request(&["finance"])).await.freshness.unwrap().revision;
    server.database.execute("UPDATE tenant_subscriptions SET status = 'suspended'").await;
    let asked = IssueLeaseRequest { min_revision: Some(before + 1), ..request(&["finance"]) };
    let after = issue(&mut client, asked.clone()).await;
    assert!(!after.modules[0].granted && after.freshness.unwrap().revision > before);
    let lease = verified(&verifier(&server).await.0, &after);
    assert!(lease.revision() > before && lease.check("finance").reason == LeaseReason::Denied);
    let ahead = IssueLeaseRequest { min_revision: Some(before + 1000), ..asked };
    let refusal = (Code::Unavailable, "NOT_FRESH_ENOUGH".to_owned());
    assert_eq!(refused(client.issue_lease(ahead).await), refusal);
}
