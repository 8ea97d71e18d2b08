//! What the rules, the alerts and their tests name is there.

use std::{collections::BTreeSet, fs, path::Path};

use crate::readme::{self, anchors, page};

const ALERTS: &str = "deploy/prometheus/alerts.yml";
const RECORDING: &str = "deploy/prometheus/recording.yml";

/// What every Prometheus has by itself.
const OWN: [&str; 2] = ["up", "ALERTS"];

/// A file without its comments.
fn without_comments(file: &str) -> String {
    let text = page(file);
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines.map(|line| format!("{line}\n")).collect()
}

/// The metrics of the program that a text names, and the recorded ones.
pub fn names(text: &str) -> BTreeSet<String> {
    let is_of_name = |letter: char| letter.is_ascii_alphanumeric() || "_:".contains(letter);
    let words = text.split(|letter| !is_of_name(letter));
    let is_metric = |word: &&str| {
        ["entitlementd_", "process_", "job:entitlementd_"]
            .iter()
            .any(|start| word.starts_with(start))
    };
    words.filter(is_metric).map(str::to_owned).collect()
}

/// The metrics that the documentation has, without the series of a histogram.
pub fn documented() -> BTreeSet<String> {
    let page = page("docs/metrics.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    rows.map(str::to_owned).collect()
}

/// The name of a metric whose series has this name.
pub fn metric(series: &str, documented: &BTreeSet<String>) -> String {
    let of_histogram = ["_bucket", "_count", "_sum"]
        .iter()
        .filter_map(|end| series.strip_suffix(end))
        .find(|name| documented.contains(*name));
    of_histogram.unwrap_or(series).to_owned()
}

/// The names that the recording rules give.
pub fn recorded() -> BTreeSet<String> {
    let text = without_comments(RECORDING);
    let names = text.lines().filter_map(|line| line.trim().strip_prefix("- record: "));
    names.map(str::to_owned).collect()
}

/// The files with tests of the rules.
fn tests() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus/tests");
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name());
    files.map(|name| format!("deploy/prometheus/tests/{}", name.to_str().unwrap())).collect()
}

/// The values of a key of YAML, one a line.
fn values<'a>(key: &str, text: &'a str) -> Vec<&'a str> {
    let start = format!("{key}: ");
    let lines = text.lines().map(|line| line.trim().trim_start_matches("- "));
    lines.filter_map(|line| line.strip_prefix(&*start)).collect()
}

#[test]
fn rules_and_their_tests_name_only_metrics_that_there_are() {
    let (documented, recorded) = (documented(), recorded());
    assert!(recorded.len() > 20, "{recorded:?}");
    for file in [ALERTS.to_owned(), RECORDING.to_owned()].into_iter().chain(tests()) {
        let text = without_comments(&file);
        for name in names(&text) {
            let is_there =
                recorded.contains(&name) || documented.contains(&metric(&name, &documented));
            assert!(is_there, "{name} of {file}");
        }
    }
}

#[test]
fn every_series_of_a_test_is_one_that_a_rule_may_read() {
    for file in tests() {
        let text = without_comments(&file);
        for series in text.split("series: '").skip(1) {
            let name = series.split('{').next().unwrap();
            assert!(OWN.contains(&name) || names(name).contains(name), "{name} of {file}");
        }
    }
}

#[test]
fn every_alert_leads_to_a_section_that_says_what_to_do() {
    let text = without_comments(ALERTS);
    let names = values("alert", &text);
    let links = values("runbook_url", &text);
    assert!(names.len() > 30, "{names:?}");
    assert_eq!(names.len(), links.len());
    assert_eq!(names.len(), names.iter().collect::<BTreeSet<_>>().len(), "each has its own name");
    let section = readme::section("docs/operations.md", "## What to do when");
    let anchors = anchors(&section);
    for (name, link) in names.iter().zip(links) {
        let (document, anchor) = link.split_once('#').unwrap();
        assert!(document.ends_with("/docs/operations.md"), "{link}");
        assert!(anchors.contains(anchor), "{name}: {anchor}");
    }
    for key in ["summary", "description"] {
        assert_eq!(values(key, &text).len(), names.len(), "{key}");
    }
    let severities =
        text.lines().filter_map(|line| line.trim().strip_prefix("labels: { severity: "));
    let severities: Vec<&str> =
        severities.map(|rest| rest.split([',', ' ']).next().unwrap()).collect();
    assert_eq!(severities.len(), names.len());
    assert!(severities.iter().all(|word| ["page", "ticket", "info"].contains(word)));
}

#[test]
fn every_alert_has_a_test_in_which_it_fires() {
    let tested: String = tests().iter().map(|file| without_comments(file)).collect();
    for alert in values("alert", &without_comments(ALERTS)) {
        let expected = format!("labels: '{{alertname=\"{alert}\",");
        assert!(tested.contains(&expected), "{alert}");
    }
}
