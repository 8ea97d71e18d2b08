//! The dashboard and the documentation name the metrics that there are.

use std::{collections::BTreeSet, path::Path};

use serde_json::Value;

use crate::{
    harness::{Database, Server, http::Metrics},
    metrics::SHOWN,
    monitoring::rules::{documented, metric, names, recorded},
};

fn file(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

fn dashboard() -> Value {
    serde_json::from_str(&file("deploy/grafana/entitlementd.json")).unwrap()
}

/// What a running server shows.
async fn shown() -> Metrics {
    Server::start_with(Database::sqlite().await, &SHOWN).await.metrics().await
}

/// Every value of a key, wherever it stands.
fn values_of<'a>(key: &str, json: &'a Value) -> Vec<&'a Value> {
    match json {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, value)| if name == key { vec![value] } else { values_of(key, value) })
            .collect(),
        Value::Array(items) => items.iter().flat_map(|item| values_of(key, item)).collect(),
        _ => vec![],
    }
}

/// The queries of all panels.
pub fn expressions() -> Vec<String> {
    let dashboard = dashboard();
    let expressions = values_of("expr", &dashboard).into_iter();
    expressions.map(|expression| expression.as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_dashboard_uses_only_metrics_and_labels_that_there_are() {
    let metrics = shown().await;
    let (documented, recorded) = (documented(), recorded());
    let expressions = expressions();
    assert!(expressions.len() > 60);
    for expression in expressions {
        let used = names(&expression);
        assert!(!used.is_empty() || expression.contains("up{"), "{expression}");
        for name in used {
            let is_there =
                recorded.contains(&name) || documented.contains(&metric(&name, &documented));
            assert!(is_there, "{name} of {expression}");
        }
        for label in grouped_by(&expression) {
            let is_there = ["instance", "le", "job"].contains(&label)
                || metrics.page.contains(&format!("{label}=\""));
            assert!(is_there, "{label} of {expression}");
        }
    }
}

#[test]
fn the_dashboard_shows_every_metric() {
    let documented = documented();
    let all: BTreeSet<String> = expressions()
        .iter()
        .flat_map(|expression| names(expression))
        .map(|name| metric(&name, &documented))
        .collect();
    let left: Vec<_> = documented.difference(&all).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn requests_are_shown_without_health_checks_and_of_the_chosen_instances() {
    for expression in expressions() {
        for selector in expression.split('{').skip(1) {
            let selector = selector.split('}').next().unwrap();
            assert!(selector.contains("job=~\"$job\""), "{expression}");
        }
        if expression.contains("entitlementd_rpc_duration_seconds") {
            assert!(expression.contains("method!=\"other\""), "{expression}");
        }
    }
}

/// The labels of each `by (...)`.
fn grouped_by(expression: &str) -> Vec<&str> {
    let groups = expression.split("by (").skip(1);
    groups.flat_map(|rest| rest.split(')').next().unwrap().split(", ")).collect()
}

#[test]
fn the_dashboard_shows_any_data_source_and_every_panel_has_its_place() {
    let dashboard = dashboard();
    for source in values_of("datasource", &dashboard) {
        assert_eq!(source["uid"], "${datasource}");
    }
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    assert!(
        variables
            .iter()
            .any(|variable| variable["name"] == "datasource" && variable["type"] == "datasource")
    );
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "each has an id of its own");
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let [x, width] = ["x", "w"].map(|field| panel["gridPos"][field].as_u64().unwrap());
        assert!(x + width <= 24, "{}", panel["title"]);
        assert!(!panel["description"].as_str().unwrap().is_empty(), "{}", panel["title"]);
    }
}

#[test]
fn a_divergence_turns_its_panel_red() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let panel = panels
        .iter()
        .find(|panel| panel["type"] == "stat" && panel["title"] == "Divergences")
        .unwrap();
    let steps = &panel["fieldConfig"]["defaults"]["thresholds"]["steps"];
    assert_eq!(
        (&steps[0]["color"], &steps[1]["color"], &steps[1]["value"]),
        (&"green".into(), &"red".into(), &1.into())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_table_of_metrics_is_complete_and_true() {
    let page = shown().await.page;
    let described = |kind: &str| {
        let lines = page
            .lines()
            .filter_map(|line| line.strip_prefix(&format!("# {kind} "))?.split(' ').next());
        lines.map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let shown = described("TYPE");
    assert_eq!(shown, described("HELP"));
    assert_eq!(documented(), shown);
}
