//! A service whose code does not say where the server is.

use std::process::{Command, Output};

use entitlement_client::{Config, ConfigError, Entitlements, OnOutage};

use super::tenant;
use crate::harness::{Database, Row, process::Process};

/// Set in the process that asks: a process cannot set variables of its own without unsafe code.
const ASKS: &str = "ENTITLEMENTD_TEST_ASKS";
const VARIABLE: &str = "ENTITLEMENTD_ENDPOINT";

/// Runs the test of this name in a process of its own, which says what it found.
fn ask_with(test: &str, variable: &str) -> Output {
    let name = format!("client::environment::{test}");
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &name, "--nocapture"]).env(ASKS, "yes").env(VARIABLE, variable);
    command.output().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_variable_leads_to_a_servers_socket() {
    if std::env::var_os(ASKS).is_some() {
        let config = Config::from_env(OnOutage::Deny).unwrap();
        let client = Entitlements::connect(config).unwrap();
        let answer = client.check(tenant(1), "finance").await.unwrap();
        println!("allowed={} by_outage_rule={}", answer.allowed(), answer.by_outage_rule());
        return;
    }
    let database = Database::sqlite().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let socket = format!("unix:{}", folder.path().join("edge.sock").display());
    let listen = format!("{socket}?mode=0600");
    let mut server = Process::serve(&["--database-url", &database.url, "--listen", &listen]);
    server.wait_for("\"ready\"");
    let nobody = format!("unix:{}", folder.path().join("nobody.sock").display());
    for variable in [socket.clone(), format!("{nobody}, {socket}")] {
        let asked = ask_with("the_variable_leads_to_a_servers_socket", &variable);
        let said = String::from_utf8_lossy(&asked.stdout);
        assert!(said.contains("allowed=true by_outage_rule=false"), "{variable}: {asked:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_an_endpoint_of_the_variable_names_the_variable() {
    if std::env::var_os(ASKS).is_some() {
        let config =
            || Config::from_env(OnOutage::Deny).map(|config| config.bearer_token("orders"));
        let problem = config().and_then(Entitlements::connect).unwrap_err();
        println!("said: {problem}");
        // What the code says is no matter of the environment.
        let own = Config::new("http://core:1", OnOutage::Deny).bearer_token("orders");
        let own = Entitlements::connect(own).unwrap_err();
        assert!(matches!(own, ConfigError::TokenInTheClear(_)), "{own}");
        return;
    }
    for (variable, complaint) in [
        (",", "names no endpoint"),
        ("127.0.0.1:1,not an address", "\"not an address\" is not an address"),
        ("core:50051", "in the clear to \"core:50051\""),
    ] {
        let test = "what_is_wrong_with_an_endpoint_of_the_variable_names_the_variable";
        let asked = ask_with(test, variable);
        let said = String::from_utf8_lossy(&asked.stdout);
        assert!(asked.status.success(), "{asked:?}");
        assert!(said.contains("said: ENTITLEMENTD_ENDPOINT cannot be used: "), "{said}");
        assert!(said.contains(complaint), "{said}");
    }
}
