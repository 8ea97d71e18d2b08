//! Rules that need a feature beside a module.

use std::path::Path;

use chrono::DateTime;

use super::rule;
use crate::{
    domain::{
        Catalogue, Definitions, FeatureDefinition, Module, ModuleCode, ValueType,
        limits::MAX_FEATURE_KEY_CHARS,
    },
    routes::{Access, Finding, PathReading, RouteMap, Rule, check, parse, propose, write},
};

fn with(path: &str, modules: &[&str], feature: &str) -> Rule {
    let access = Access::AnyOf(modules.iter().copied().map(ModuleCode::new).collect());
    let feature = (!feature.is_empty()).then(|| feature.into());
    Rule { access, feature, ..rule("", path, "") }
}

fn parsed(name: &str, text: &str) -> Result<Vec<Rule>, String> {
    parse(Path::new(name), text).map_err(|error| error.to_string())
}

#[test]
fn both_kinds_of_files_name_a_feature_beside_modules() {
    let toml = "[[route]]\npath = '/a/**'\nany_of = ['oms', 'finance']\nfeature = 'bulk_export'\n";
    let csv = "path_prefix,module_code,feature\n/a,oms|finance,bulk_export\n/b,oms,\n";
    for (name, text) in [("r.toml", toml), ("r.csv", csv)] {
        let rules = parsed(name, text).unwrap();
        assert_eq!(rules[0].feature.as_deref(), Some("bulk_export"), "{name}");
        assert_eq!(rules[0].needs(), "oms or finance, with the feature bulk_export");
        assert!(
            rules[0].to_string().contains("(oms or finance, with the feature bulk_export; line")
        );
        assert!(rules[1..].iter().all(|rule| rule.feature.is_none()));
    }
}

#[test]
fn a_feature_without_a_module_or_without_a_name_is_an_error_in_its_line() {
    let long = "k".repeat(MAX_FEATURE_KEY_CHARS + 1);
    for (rest, problem) in [
        ("feature = 'export'", "needs a module, whose feature it is"),
        ("access = 'tenant'\nfeature = 'export'", "needs a module"),
        ("access = 'public'\nfeature = 'export'", "needs a module"),
        ("access = 'closed'\nfeature = 'export'", "needs a module"),
        ("module = 'oms'\nfeature = ''", "must be 1 to 100 characters"),
        ("module = 'oms'\nfeature = \"a\\tb\"", "must be 1 to 100 characters"),
        (&format!("module = 'oms'\nfeature = '{long}'"), "must be 1 to 100 characters"),
    ] {
        let refused = parsed("r.toml", &format!("\n[[route]]\npath = '/a'\n{rest}\n")).unwrap_err();
        assert!(refused.contains("line 2") && refused.contains(problem), "{rest}: {refused}");
    }
    let refused = parsed("r.csv", "path,feature\n/a,export\n").unwrap_err();
    assert!(refused.contains("line 2") && refused.contains("needs a module"), "{refused}");
    let refused = parsed("r.csv", "path,module_code,features\n/a,oms,export\n").unwrap_err();
    assert!(refused.contains("is feature meant?"), "{refused}");
}

#[test]
fn what_is_written_is_read_as_it_was() {
    let rules = [with("/a/**", &["oms"], "bulk_export"), with("/b", &["oms", "hrms"], "")];
    for (rules, has_column) in [(&rules[..], true), (&rules[1..], false)] {
        let mut csv = Vec::new();
        write(&mut csv, rules).unwrap();
        let csv = String::from_utf8(csv).unwrap();
        assert_eq!(csv.lines().next().unwrap().ends_with(",feature"), has_column, "{csv}");
        let read = parsed("r.csv", &csv).unwrap();
        assert_eq!(read.len(), rules.len());
        for (read, written) in read.iter().zip(rules) {
            assert!(read.demands_as(written) && read.path.is_same_as(&written.path), "{read}");
        }
    }
}

#[test]
fn rules_that_differ_in_their_feature_alone_ask_for_different_things() {
    let pair = |one: &str, other: &str, paths: [&str; 2]| {
        vec![with(paths[0], &["oms"], one), with(paths[1], &["oms"], other)]
    };
    let (_, conflicts) = RouteMap::new(pair("export", "", ["/a/{b}", "/a/{c}"]), PathReading::Any);
    assert_eq!(conflicts.len(), 1);
    let (_, conflicts) =
        RouteMap::new(pair("export", "export", ["/a/{b}", "/a/{c}"]), PathReading::Any);
    assert!(conflicts.is_empty());
    // Another case, and a needless encoding, are no way around the feature.
    let (map, _) = RouteMap::new(pair("export", "", ["/a/b", "/a/**"]), PathReading::Any);
    for path in ["/a/B", "/a/%62", "/a/b;x"] {
        assert!(map.find("GET", path).is_err(), "{path}");
    }
    assert_eq!(map.find("GET", "/a/b").unwrap().unwrap().feature.as_deref(), Some("export"));
}

#[test]
fn a_proposed_rule_takes_over_the_feature_that_its_neighbours_agree_on() {
    let neighbours = |features: [&str; 2]| {
        let rules = vec![
            with("/api/exports/csv", &["oms"], features[0]),
            with("/api/exports/pdf", &["oms"], features[1]),
        ];
        let (map, _) = RouteMap::new(rules, PathReading::Any);
        propose([("GET", "/api/exports/xml")], &map).remove(0).rule.needs()
    };
    assert_eq!(neighbours(["bulk", "bulk"]), "oms, with the feature bulk");
    assert_eq!(neighbours(["bulk", ""]), "closed");
}

#[test]
fn a_feature_that_is_not_defined_for_the_module_is_found() {
    let module = |code: &str| Module { code: ModuleCode::new(code), ..module() };
    let defined = FeatureDefinition {
        key: "export".into(),
        name: String::new(),
        description: String::new(),
        value_type: ValueType::Bool,
        is_on_by_default: false,
        default_value: None,
    };
    let catalogue =
        Catalogue::new(vec![module("oms"), module("hrms")], Vec::new(), 0, DateTime::UNIX_EPOCH)
            .with_definitions(Definitions::new([(ModuleCode::new("oms"), defined)], [], []));
    let found = |modules: &[&str], feature: &str| {
        let (map, conflicts) = RouteMap::new(vec![with("/a", modules, feature)], PathReading::Any);
        let findings = check(&map, conflicts, Some(&catalogue));
        let kinds = findings.iter().map(|finding| match finding {
            Finding::UnknownFeature { module, .. } => module.to_string(),
            other => other.kind().to_owned(),
        });
        kinds.collect::<Vec<_>>()
    };
    assert!(found(&["oms"], "export").is_empty() && found(&["hrms"], "").is_empty());
    assert_eq!(found(&["oms", "hrms"], "export"), ["hrms"]);
    assert_eq!(found(&["oms"], "exports"), ["oms"]);
    assert_eq!(found(&["omz"], "export"), ["unknown module"], "once is enough");
}

pub(super) fn module() -> Module {
    Module::of_code(ModuleCode::new(""))
}
