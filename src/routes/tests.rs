//! Which rule decides, and what is said of rules that do not fit each other.

mod demands;
mod features;
mod model;
mod spellings;

use super::{
    Access, Finding, Origin, PathReading, PathTemplate, RefusedPath, RouteMap, Rule, check,
};
use crate::domain::ModuleCode;

fn rule(methods: &str, path: &str, module: &str) -> Rule {
    let methods =
        methods.split('|').filter(|method| !method.is_empty()).map(str::to_owned).collect();
    let access = match module {
        "public" => Access::Public,
        "" => Access::Tenant,
        module => Access::AnyOf(vec![ModuleCode::new(module)]),
    };
    Rule { methods, ..Rule::new(PathTemplate::parse(path).unwrap(), access, Origin::File(1)) }
}

fn map(rules: &[(&str, &str, &str)]) -> RouteMap {
    let rules = rules.iter().map(|(methods, path, module)| rule(methods, path, module)).collect();
    let (map, conflicts) = RouteMap::new(rules, PathReading::Any);
    assert!(conflicts.is_empty(), "{conflicts:?}");
    map
}

/// The access that a request needs, as a word; `-`: no rule.
fn found(map: &RouteMap, method: &str, path: &str) -> String {
    match map.find(method, path) {
        Ok(Some(rule)) => rule.access.to_string(),
        Ok(None) => "-".to_owned(),
        Err(refusal) => format!("400 {refusal:?}"),
    }
}

#[test]
fn the_most_specific_rule_decides_whatever_the_order() {
    let mut rules = [
        ("", "/**", "everything"),
        ("", "/api/v1/orders/**", "orders"),
        ("", "/api/v1/orders/{id}", "one"),
        ("", "/api/v1/orders/{id}/lines", "lines"),
        ("", "/api/v1/orders/export", "export"),
        ("", "/api/v1/{any}/export", "exports"),
        ("", "/api/v1/orders", "list"),
    ];
    for _ in 0..rules.len() {
        rules.rotate_left(1);
        let map = map(&rules);
        for (path, module) in [
            ("/", "everything"),
            ("/api/v1/order", "everything"),
            ("/api/v1/ordersx", "everything"),
            ("/api/v1/orders", "list"),
            ("/api/v1/orders?id=/api/v1/other", "list"),
            ("/api/v1/orders/5", "one"),
            ("/api/v1/orders/export", "export"),
            ("/api/v1/invoices/export", "exports"),
            ("/api/v1/orders/5/lines", "lines"),
            ("/api/v1/orders/5/lines/7", "orders"),
            ("/api/v1/orders/export/lines", "lines"),
            ("/api/v1/orders/export/now", "orders"),
        ] {
            assert_eq!(found(&map, "GET", path), module, "{path}");
        }
    }
}

#[test]
fn a_rule_for_another_method_is_not_in_the_way() {
    let map = map(&[
        ("GET", "/a/{id}", "reads"),
        ("POST", "/a/**", "writes"),
        ("", "/**", "rest"),
        ("", "/a/b/c", "all"),
    ]);
    assert_eq!(found(&map, "GET", "/a/1"), "reads");
    assert_eq!(found(&map, "HEAD", "/a/1"), "reads");
    assert_eq!(found(&map, "POST", "/a/1"), "writes");
    assert_eq!(found(&map, "DELETE", "/a/1"), "rest");
    assert_eq!(found(&map, "get", "/a/1"), "rest");
    assert_eq!(found(&map, "POST", "/a/b/c"), "all");
}

#[test]
fn a_subtree_is_itself_and_everything_below_it_by_segments() {
    let map = map(&[("", "/a/b/**", "sub")]);
    for path in ["/a/b", "/a/b/", "/a/b/c", "/a/b/c/", "/a/b/c/d/e"] {
        assert_eq!(found(&map, "GET", path), "sub", "{path}");
    }
    for path in ["/a", "/a/bc", "/a/c", "/"] {
        assert_eq!(found(&map, "GET", path), "-", "{path}");
    }
}

#[test]
fn a_spelling_that_services_may_read_differently_is_refused() {
    let map = map(&[
        ("", "/public/**", "public"),
        ("", "/api/{id}", "one"),
        ("", "/api/finance/**", "finance"),
    ]);
    for path in [
        "/api/%66inance",
        "/public//../api",
        "/api//finance",
        "/api/finance;x=1",
        "//api/finance",
        "/%61pi/x/y",
    ] {
        let found = found(&map, "GET", path);
        assert!(found.starts_with("400") || found == "-", "{path}: {found}");
    }
    assert_eq!(found(&map, "GET", "/api/caf%C3%A9"), "one");
    assert_eq!(found(&map, "GET", "/api/%40me"), "one");
    assert_eq!(found(&map, "GET", "/api/5/"), "one");
    assert_eq!(found(&map, "GET", "/api/finance//x"), "finance");
}

#[test]
fn a_slash_at_the_end_that_leads_elsewhere_is_refused() {
    let map = map(&[("", "/a", "public"), ("", "/a/**", "finance")]);
    assert_eq!(found(&map, "GET", "/a"), "public");
    assert_eq!(map.find("GET", "/a/").unwrap_err(), RefusedPath::Ambiguous);
}

#[test]
fn rules_that_contradict_each_other_are_told_and_the_first_holds() {
    let rules = vec![
        rule("GET|POST", "/a/{x}", "finance"),
        rule("POST", "/a/{y}", "hrms"),
        rule("POST", "/a/*", "finance"),
    ];
    let (map, conflicts) = RouteMap::new(rules, PathReading::Any);
    assert_eq!(conflicts.len(), 1, "{conflicts:?}");
    assert_eq!(found(&map, "POST", "/a/1"), "finance");
}

#[test]
fn of_rules_about_the_same_paths_that_of_the_command_line_holds_then_that_of_the_file() {
    let by = |origin, module| Rule { origin, ..rule("", "/a/**", module) };
    let (catalogue, file, flag) =
        (by(Origin::Catalogue, "finance"), by(Origin::File(3), "hrms"), by(Origin::Flag, "public"));
    let access = |rules: Vec<Rule>| {
        let (map, conflicts) = RouteMap::new(rules, PathReading::Any);
        assert!(conflicts.is_empty());
        found(&map, "GET", "/a/b")
    };
    assert_eq!(access(vec![catalogue.clone(), file.clone()]), "hrms");
    assert_eq!(access(vec![flag.clone(), catalogue.clone(), file]), "public");
    assert_eq!(access(vec![catalogue.clone(), by(Origin::Catalogue, "scm")]), "finance or scm");
    assert_eq!(
        access(vec![catalogue.clone(), by(Origin::Catalogue, "scm"), by(Origin::Catalogue, "oms")]),
        "finance or scm or oms"
    );
}

#[test]
fn what_is_never_met_is_found() {
    let kinds = |rules: &[(&str, &str, &str)]| {
        let map = map(rules);
        let findings = check(&map, Vec::new(), None);
        findings.iter().map(|finding| (finding.kind(), finding.to_string())).collect::<Vec<_>>()
    };
    assert!(
        kinds(&[("", "/a/**", "x"), ("", "/a/{b}", "y"), ("", "/a/b", "z"), ("GET", "/a/b", "w")])
            .is_empty()
    );
    let covered = kinds(&[("", "/a/**", "x"), ("", "/a/{b}/**", "y"), ("", "/a", "z")]);
    assert!(
        matches!(&covered[..], [("unreachable", text)] if text.starts_with("* /a/** ")),
        "{covered:?}"
    );

    for pair in [["/a/b/**", "/A/b/**"], ["/a/b", "/a/B"], ["/a/{c}/b", "/a/{c}/B/**"]] {
        let differ = kinds(&[("GET", pair[0], "x"), ("GET", pair[1], "y")]);
        assert!(
            matches!(&differ[..], [("ambiguous", one), ("ambiguous", _)] if one.contains(pair[1])),
            "{differ:?}"
        );
        assert!(kinds(&[("GET", pair[0], "x"), ("POST", pair[1], "y")]).is_empty(), "{pair:?}");
        assert!(kinds(&[("GET", pair[0], "x"), ("GET", pair[1], "x")]).is_empty(), "{pair:?}");
    }

    let flag = Rule { origin: Origin::Flag, ..rule("GET", "/a/{b}", "public") };
    let (map, _) = RouteMap::new(vec![flag, rule("GET|POST", "/a/{b}", "x")], PathReading::Any);
    let findings = check(&map, Vec::new(), None);
    assert!(
        matches!(&findings[..], [Finding::Shadowed { methods, .. }] if methods == &["GET"]),
        "{findings:?}"
    );
}
