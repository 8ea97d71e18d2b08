//! Addresses of IPv6, in the brackets that URLs put around them.

use entitlement_client::{Config, Entitlements, OnOutage};

use crate::harness::{
    Database, Row, id,
    pki::{ALWAYS, Authority, Files},
    process::Process,
    until_so,
};

/// A database of PostgreSQL by its address of IPv6, with a tenant that has finance.
async fn database() -> Database {
    let database = Database::postgres().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    let url = database.url.replace("127.0.0.1", "[::1]");
    database.by_way_of(url).await
}

async fn may_use_finance(config: Config) -> bool {
    let client = Entitlements::connect(config).unwrap();
    client.check(id(1).parse().unwrap(), "finance").await.unwrap().allowed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_a_listener_and_an_endpoint_may_have_them() {
    let database = database().await;
    let flags = ["--database-url", &database.url, "--listen-database-url", &database.url];
    let mut server = Process::serve(&[&flags[..], &["--listen", "[::1]:0"]].concat());
    let address = server.address();
    assert!(address.starts_with("[::1]:"), "{address}");
    server.wait_for("\"ready\"");
    for endpoint in [address.clone(), format!("http://{address}")] {
        // A token may be sent in the clear to where nobody else sees it.
        let config = Config::new(endpoint, OnOutage::Deny).bearer_token("orders");
        assert!(may_use_finance(config).await);
    }
    // Changes are received by the same address.
    database.set_status(1, "cancelled").await;
    until_so("the change has arrived", async || {
        !may_use_finance(Config::new(address.clone(), OnOutage::Deny)).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_may_name_one() {
    let database = database().await;
    let authority = Authority::new("ours");
    let issued = authority.issue(&["::1"], 1, ALWAYS, rcgen::ExtendedKeyUsagePurpose::ServerAuth);
    let files = Files::new(&issued);
    let mut flags = files.flags();
    flags.extend(["--database-url", &database.url, "--listen", "[::1]:0"].map(str::to_owned));
    let mut server = Process::serve(&flags.iter().map(String::as_str).collect::<Vec<_>>());
    let address = server.address();
    server.wait_for("\"ready\"");
    let config = Config::new(address, OnOutage::Deny).tls_ca(authority.pem.clone());
    assert!(may_use_finance(config).await);
}
