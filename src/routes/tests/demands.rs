//! What the settings demand beside a module holds for the catalogue's rules as well.

use chrono::DateTime;

use super::{features::module, rule};
use crate::domain::{Catalogue, Module, ModuleCode};
use crate::routes::{Access, Origin, PathReading, RefusedPath, RouteMap, Rule};

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

fn map(settings: &[Rule], entries: Vec<Rule>) -> RouteMap {
    let all = settings.iter().cloned().chain(entries).collect();
    let (map, conflicts) = RouteMap::new(all, PathReading::Any);
    assert!(conflicts.is_empty(), "{conflicts:?}");
    map
}

/// What requests need: modules, and feature and verification, if any.
fn needs(settings: &[Rule], entries: Vec<Rule>, asked: &[(&str, &str)]) -> Vec<String> {
    let map = map(settings, entries);
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
fn where_two_modules_claim_the_same_paths_the_feature_of_one_is_needed_there() {
    let settings = [with_feature("POST", "/api/finance/**", "finance")];
    for order in [["finance", "hrms"], ["hrms", "finance"]] {
        let entries = order.map(|module| entry("", "/api/finance/reports", module)).to_vec();
        let map = map(&settings, entries);
        let both = |method: &str| {
            let rule = map.find(method, "/api/finance/reports").unwrap().unwrap();
            assert!(matches!(&rule.access, Access::AnyOf(both) if both.len() == 2), "{rule}");
            rule.feature.clone()
        };
        assert_eq!((both("POST").as_deref(), both("GET")), (Some("export"), None));
    }
}

#[test]
fn an_entry_of_another_module_goes_on_deciding_where_it_did() {
    let settings = [with_feature("", "/api/{any}/export/**", "finance")];
    let entries =
        vec![entry("", "/api/finance", "finance"), entry("", "/api/finance/{id}", "hrms")];
    let asked = [("GET", "/api/finance/export"), ("GET", "/api/finance/7")];
    assert_eq!(needs(&settings, entries, &asked), ["hrms", "hrms"]);
}

#[test]
fn an_exception_that_crosses_an_entry_is_one_there_too() {
    let shadow = Rule { enforce: false, ..rule("", "/api/finance/{id}/trial/**", "finance") };
    let settings = [
        with_feature("", "/api/finance/**", "finance"),
        rule("", "/api/finance/{id}/open", "finance"),
        rule("", "/api/{any}/health", "public"),
        shadow,
    ];
    let entries = vec![
        entry("", "/api/finance/reports", "finance"),
        entry("", "/api/finance/health", "finance"),
    ];
    let asked = ["reports/open", "reports/open/x", "reports/trial/x", "reports/7"]
        .map(|path| format!("/api/finance/{path}"));
    let asked = asked.each_ref().map(|path| ("GET", path.as_str()));
    assert_eq!(needs(&settings, entries, &asked), ["finance", WITH, "finance", WITH]);
}

#[test]
fn head_is_as_its_own_rule_says_where_it_has_one() {
    let head = Rule { verified: true, ..rule("HEAD", "/api/finance/**", "finance") };
    let entries = vec![entry("GET", "/api/finance/reports", "finance")];
    let asked = [("GET", "/api/finance/reports"), ("HEAD", "/api/finance/reports")];
    assert_eq!(needs(&[head], entries, &asked), ["finance", "finance, verified"]);
}

#[test]
fn a_slash_at_the_end_makes_no_difference() {
    let settings = [with_feature("", "/api/{any}/{id}", "finance")];
    let entries = vec![entry("", "/api/finance", "finance")];
    let asked = [("GET", "/api/finance/7"), ("GET", "/api/finance/7/")];
    assert_eq!(needs(&settings, entries, &asked), [WITH, WITH]);
}

#[test]
fn case_is_no_way_around_a_feature() {
    let settings = [with_feature("", "/api/{any}/export", "finance")];
    let map = map(&settings, vec![entry("", "/api/finance", "finance")]);
    let found = |path: &str| map.find("GET", path).map(|rule| rule.unwrap().needs());
    assert_eq!(found("/api/finance/export").unwrap(), WITH);
    assert_eq!(found("/api/finance/EXPORT").unwrap_err(), RefusedPath::Ambiguous);
    assert_eq!(found("/api/finance/OTHER").unwrap(), "finance");
}

#[test]
fn a_module_that_was_renamed_is_the_same_one() {
    let settings = [with_feature("", "/api/finance/**", "finance_old")];
    let mut map = map(&settings, vec![entry("", "/api/finance/reports", "finance")]);
    let renamed = (ModuleCode::new("finance_old"), ModuleCode::new("finance"));
    let finance = Module { code: ModuleCode::new("finance"), ..module() };
    let catalogue = Catalogue::new(vec![finance], Vec::new(), 0, DateTime::UNIX_EPOCH);
    map.know_codes_of(&catalogue.with_aliases([renamed]));
    let found = map.find("GET", "/api/finance/reports").unwrap().unwrap();
    assert_eq!(found.needs(), WITH);
}
