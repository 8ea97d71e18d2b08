//! What the settings demand beside a module holds for the catalogue's rules as well.

use super::rule;
use crate::routes::{Access, Origin, PathReading, RouteMap, Rule, keep_demands};

const WITH: &str = "finance, with the feature export";

fn with_feature(methods: &str, path: &str, module: &str) -> Rule {
    Rule { feature: Some("export".into()), ..rule(methods, path, module) }
}

fn verified(path: &str, module: &str) -> Rule {
    Rule { verified: true, ..rule("", path, module) }
}

fn entry(methods: &str, path: &str, module: &str) -> Rule {
    Rule { origin: Origin::Catalogue, ..rule(methods, &format!("{path}/**"), module) }
}

/// What requests need: modules, and feature and verification, if any.
fn needs(settings: &[Rule], entries: Vec<Rule>, asked: &[(&str, &str)]) -> Vec<String> {
    let entries = keep_demands(settings, entries);
    let all = settings.iter().cloned().chain(entries).collect();
    let (map, conflicts) = RouteMap::new(all, PathReading::Any);
    assert!(conflicts.is_empty(), "{conflicts:?}");
    let need = |(method, path): &(&str, &str)| {
        let rule = map.find(method, path).unwrap().unwrap();
        let verified = if rule.verified { ", verified" } else { "" };
        format!("{}{verified}", rule.needs())
    };
    asked.iter().map(need).collect()
}

#[test]
fn an_entry_within_a_rule_keeps_its_feature_and_one_beside_it_has_none() {
    let settings = [with_feature("", "/api/finance/**", "finance")];
    let entries =
        vec![entry("", "/api/finance/reports", "finance"), entry("", "/api/finances", "finance")];
    let asked = [
        ("GET", "/api/finance/reports"),
        ("POST", "/api/finance/reports/daily"),
        ("GET", "/api/finance/other"),
        ("GET", "/api/finances"),
    ];
    assert_eq!(needs(&settings, entries, &asked), [WITH, WITH, WITH, "finance"]);
}

#[test]
fn where_an_entry_and_a_rule_cover_a_part_of_each_other_that_part_keeps_the_feature() {
    let settings = [with_feature("", "/api/{any}/export/**", "finance")];
    let entries = vec![entry("", "/api/finance", "finance")];
    let asked = [
        ("GET", "/api/finance/export"),
        ("GET", "/api/finance/export/csv"),
        ("GET", "/api/finance/reports"),
    ];
    assert_eq!(needs(&settings, entries, &asked), [WITH, WITH, "finance"]);
}

#[test]
fn an_exception_that_the_settings_make_is_one_below_entries_too() {
    let settings = [
        with_feature("", "/api/finance/**", "finance"),
        rule("", "/api/finance/open/**", "finance"),
        rule("GET", "/api/finance/**", "finance"),
        rule("", "/api/finance/reports", "finance"),
    ];
    let entries = ["open/daily", "reports", "x"];
    let entries = entries.map(|path| entry("", &format!("/api/finance/{path}"), "finance"));
    let asked = [
        ("POST", "/api/finance/open/daily"),
        ("POST", "/api/finance/reports"),
        ("POST", "/api/finance/reports/daily"),
        ("GET", "/api/finance/x"),
        ("HEAD", "/api/finance/x"),
        ("PUT", "/api/finance/x"),
    ];
    let wanted = ["finance", "finance", WITH, "finance", "finance", WITH];
    assert_eq!(needs(&settings, entries.to_vec(), &asked), wanted);
}

#[test]
fn methods_of_an_entry_keep_each_what_is_demanded_of_them() {
    let settings = [with_feature("POST", "/api/finance/**", "finance")];
    let entries = vec![entry("GET|POST", "/api/finance/reports", "finance")];
    let asked = [("GET", "/api/finance/reports/1"), ("POST", "/api/finance/reports/1")];
    assert_eq!(needs(&settings, entries, &asked), ["finance", WITH]);
}

#[test]
fn a_feature_is_one_of_its_module_and_a_verified_tenant_is_asked_for_whatever_the_module() {
    let finance = Rule { verified: true, ..with_feature("", "/api/finance/**", "finance") };
    let settings = [finance, verified("/api/**", "")];
    let entries = vec![
        entry("", "/api/finance/payroll", "hrms"),
        entry("", "/api/finance/reports", "finance"),
        entry("", "/api/hrms", "hrms"),
        entry("", "/other", "hrms"),
    ];
    let asked = ["/api/finance/payroll", "/api/finance/reports", "/api/hrms/x", "/other"]
        .map(|path| ("GET", path));
    let wanted = ["hrms, verified", &format!("{WITH}, verified"), "hrms, verified", "hrms"];
    assert_eq!(needs(&settings, entries, &asked), wanted);
}

#[test]
fn what_the_settings_do_not_enforce_is_not_asked_for() {
    let shadow = Rule { enforce: false, ..with_feature("", "/api/finance/**", "finance") };
    let entries = vec![entry("", "/api/finance/reports", "finance")];
    assert_eq!(needs(&[shadow], entries, &[("GET", "/api/finance/reports")]), ["finance"]);
}

#[test]
fn of_two_modules_that_claim_the_same_paths_the_feature_stays() {
    let settings = [with_feature("", "/api/finance/**", "finance")];
    for order in [["finance", "hrms"], ["hrms", "finance"]] {
        let entries = order.map(|module| entry("", "/api/finance/reports", module)).to_vec();
        let all = settings.iter().cloned().chain(keep_demands(&settings, entries)).collect();
        let (map, _) = RouteMap::new(all, PathReading::Any);
        let rule = map.find("GET", "/api/finance/reports").unwrap().unwrap();
        assert_eq!(rule.feature.as_deref(), Some("export"), "{rule}");
        assert!(matches!(&rule.access, Access::AnyOf(both) if both.len() == 2), "{rule}");
    }
}
