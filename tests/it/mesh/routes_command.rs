//! `entitlementd routes`.

use std::{fs, process::Output};

use tempfile::TempDir;

use crate::{
    features::Defined,
    harness::{Database, process::program},
};

pub(super) fn written(name: &str, text: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    (folder, path.to_str().unwrap().to_owned())
}

pub(super) fn routes(arguments: &[&str]) -> Output {
    program().arg("routes").args(arguments).output().unwrap()
}

pub(super) fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn the_erps_own_routes_are_sound() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/erp-routes.csv");
    let output = routes(&["check", "--routes", file]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(text(&output).contains("417 rules"), "{}", text(&output));
}

#[test]
fn conflicts_and_rules_that_are_never_met_are_told_with_their_lines() {
    let (_folder, file) = written(
        "routes.toml",
        "[[route]]\npath = '/a/{x}'\nmodule = 'finance'\n\n[[route]]\npath = '/a/{y}'\nmodule = 'hrms'\n",
    );
    let output = routes(&["check", "--routes", &file, "--public", "/b"]);
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output);
    assert!(
        told.contains("conflict") && told.contains("line 1") && told.contains("line 5"),
        "{told}"
    );

    let refused = program().args(["serve", "--demo", "--routes", &file]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused));
    assert!(text(&refused).contains("ask for different things"), "{}", text(&refused));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn modules_that_the_catalogue_lacks_and_endpoints_that_cannot_be_read_are_told() {
    let database = Database::sqlite().await;
    database
        .execute("UPDATE modules SET api_endpoints = '[\"orders\", \"/api/v1/orders\"]' WHERE code = 'finance'")
        .await;
    let (_folder, file) = written("routes.csv", "path,methods,module_code\n/a,GET,finanse\n");
    let url = database.url.clone();
    let check = async |more: &'static [&str]| {
        let (file, url) = (file.clone(), url.clone());
        let run =
            move || routes(&[&["check", "--routes", &file, "--database-url", &url], more].concat());
        text(&tokio::task::spawn_blocking(run).await.unwrap())
    };
    let told = check(&[]).await;
    assert!(told.contains("the catalogue has no module finanse"), "{told}");
    assert!(told.contains("\"orders\""), "{told}");
    assert!(told.contains("2 rules: 2 need a module"), "{told}");
    let told = check(&["--api-endpoints-prefix", "/api/v2"]).await;
    assert!(told.contains("3 rules: 3 need a module") && !told.contains("\"orders\""), "{told}");
    // What the file closes stays closed, and what is empty is no path.
    database
        .execute("UPDATE modules SET api_endpoints = '[\"/api/v1/admin/x\", \"\", \"/api/v1\", \"GET /b/c\"]' WHERE code = 'finance'")
        .await;
    let (_folder, closed) = written(
        "closed.csv",
        "path_prefix,methods,access\n/api/v1/admin,,closed\n/b,POST,closed\n",
    );
    let url = database.url.clone();
    let told = tokio::task::spawn_blocking(move || {
        text(&routes(&["check", "--routes", &closed, "--database-url", &url]))
    });
    let told = told.await.unwrap();
    assert!(told.contains("left out        * /api/v1/admin/x/** (finance; catalogue)"), "{told}");
    assert!(told.contains("4 rules: 2 need a module") && told.contains("2 findings"), "{told}");
    for bad in ["api", "/api/**"] {
        let refused = routes(&["check", "--api-endpoints-prefix", bad]);
        assert_eq!(refused.status.code(), Some(2), "{bad}");
        assert!(text(&refused).contains("--api-endpoints-prefix"), "{}", text(&refused));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn features_that_the_catalogue_does_not_define_are_told() {
    let database = Database::sqlite().await;
    let defined = Defined { key: "bulk_export", ..Defined::default() };
    database.define("finance", defined).await;
    let (_folder, file) = written(
        "routes.csv",
        "path,module_code,feature\n/a,finance,bulk_export\n/b,finance,bulk_exports\n",
    );
    let url = database.url.clone();
    let run = move |arguments: &[&str]| {
        text(&routes(&[arguments, &["--routes", &file, "--database-url", &url]].concat()))
    };
    let told =
        tokio::task::spawn_blocking(move || (run(&["check"]), run(&["explain", "GET", "/a"])));
    let (checked, explained) = told.await.unwrap();
    assert!(
        checked.contains("unknown feature * /b (finance, with the feature bulk_exports; line 3)"),
        "{checked}"
    );
    assert!(
        checked.contains("2 rules: 2 need a module") && checked.contains("1 findings"),
        "{checked}"
    );
    assert!(
        explained.contains("needs      finance, with the feature bulk_export\n"),
        "{explained}"
    );
}

#[test]
fn explain_shows_which_rule_decides_and_where_readings_differ() {
    let (_folder, file) = written(
        "routes.csv",
        "path,methods,module_code,access\n/a/{id},GET,finance,\n/a/**,,,tenant\n/p/**,,,public\n",
    );
    let explain = |path: &str| text(&routes(&["explain", "GET", path, "--routes", &file]));
    assert!(
        explain("/a/5").contains("decides    GET /a/{id} (finance; line 2)"),
        "{}",
        explain("/a/5")
    );
    assert!(explain("/a/5/6").contains("needs      tenant"));
    assert!(explain("/q").contains("no rule"));
    assert!(explain("/p/%2e%2e/a").contains("400, the path has a dot segment"));
    let odd = explain("/a/%35;x/6");
    assert!(odd.contains("/a/5/6"), "{odd}");
    let small = text(&routes(&["explain", "get", "/p/a", "--routes", &file]));
    assert!(small.contains("400, the method is not a word in capital letters"), "{small}");
}

#[test]
fn what_a_path_a_method_or_a_file_holds_does_not_act_on_a_terminal() {
    let forged = "x\n\u{1b}[2J\u{9b}2J\u{2028}\u{202e}0 rules";
    let acts =
        |letter: char| letter != '\n' && letter.is_control() || "\u{2028}\u{202e}".contains(letter);
    let content = "[[route]]\npath = '/a/{x}'\nmodule = \"MODULE\"\n\n[[route]]\npath = '/a/{y}'\nmodule = 'hrms'\n";
    let (_folder, sound) = written("sound.csv", "path,access\n/**,tenant\n");
    let odd = ["\u{2028}\u{202e}0 rules", forged]
        .map(|module| written("r.toml", &content.replace("MODULE", module)));
    let path = format!("/a/{forged}");
    for arguments in [
        &["explain", "get", &path, "--routes", &sound][..],
        &["explain", forged, "/a", "--routes", &sound],
        &["explain", forged, "/a", "--routes", forged],
        &["explain", "get", "/a", forged],
        &["check", "--routes", &odd[0].1],
        &["check", "--routes", &odd[1].1],
        &["check", "--routes", &sound, "--public", forged],
    ] {
        let told = text(&routes(arguments));
        assert!(
            told.to_lowercase().contains("0 rules") && !told.contains(acts),
            "{arguments:?}: {told:?}"
        );
        assert!(
            !told.lines().any(|line| line.starts_with(r"\u{1b}[2J")),
            "{arguments:?}: {told:?}"
        );
    }
}

#[test]
fn a_file_that_cannot_be_used_is_told_with_its_line() {
    for (name, content, problem) in [
        ("r.toml", "[[route]]\npath = '/a/{b}.pdf'\n", "a parameter is a whole segment"),
        ("r.toml", "[[route]]\npath = '/a'\nmodul = 'x'\n", "unknown field"),
        ("r.csv", "path,access\n/a,private\n", "neither public, tenant, module nor closed"),
        (
            "r.csv",
            "path,methods\n/a,G T\n",
            "line 2: the method \"G T\": the method is not a word in capital letters",
        ),
        ("r.csv", "path,methods\n/a,GET|delete\n", "line 2: the method \"delete\""),
        (
            "r.toml",
            "[[route]]\npath = '/a'\nmethods = ['GET', 'Delete']\n",
            "line 1: the method \"Delete\"",
        ),
        ("r.csv", "path,module_code,access\n/a,finance,public\n", "goes with no module"),
        (
            "r.csv",
            "path,feature\n/a,bulk_export\n",
            "line 2: the feature \"bulk_export\" needs a module, whose feature it is",
        ),
        ("r.json", "[]", "neither .toml nor .csv"),
    ] {
        let (_folder, file) = written(name, content);
        let output = routes(&["check", "--routes", &file]);
        assert_eq!(output.status.code(), Some(2), "{}", text(&output));
        assert!(text(&output).contains(problem), "{problem:?} in {}", text(&output));
    }
}
