//! `entitlementd routes import`.

use std::{fs, process::Output};

use super::routes_command::{routes, text, written};

/// As FastAPI lists endpoints.
const OPENAPI: &str = r#"{
  "openapi": "3.1.0",
  "servers": [{"url": "https://erp.example/erp"}],
  "paths": {
    "/": {"get": {}},
    "/orders": {"get": {}, "post": {}},
    "/orders/{order_id}": {"get": {}, "delete": {}, "parameters": []},
    "/orders/{order_id}/invoice": {"get": {}},
    "/login": {"post": {}},
    "/shop/{slug}": {"get": {}},
    "/admin/reset": {"post": {}},
    "/reports/{name}.pdf": {"get": {}},
    "/forgotten": {"get": {}, "patch": {}}
  }
}"#;

const MODULES: &str = "path_prefix,path,methods,module_code,access,callers,tenant,token,verified,enforce\n\
    /erp/orders,,,oms,,,,,,\n\
    /erp/orders,,DELETE,oms|finance,,,,,true,\n\
    ,/erp/orders/{id}/invoice,GET,finance,,,,,,false\n\
    /erp/login,,POST,,tenant,,,ignore,,\n\
    /erp/shop,,,,public,,optional,ignore,,\n\
    /erp/admin,,,,closed,console,,,,\n\
    ,/erp,GET,,public,,,,,\n\
    /erp/hrms,,,hrms,,,,,,\n\
    /orders,,,oms,,,,,,\n";

fn import(openapi: &str, modules: &str, more: &[&str]) -> Output {
    let (_openapi, openapi) = written("openapi.json", openapi);
    let (_modules, modules) = written("map.csv", modules);
    routes(&[&["import", "--openapi", &openapi, "--modules", &modules], more].concat())
}

#[test]
fn every_endpoint_gets_a_rule_and_what_has_none_is_named() {
    let output = import(OPENAPI, MODULES, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "path,methods,module_code,access,callers,tenant,token,verified,enforce\n\
         /erp/,GET,,public,,,,,\n\
         /erp/admin/reset,POST,,closed,console,,,,\n\
         /erp/login,POST,,tenant,,,ignore,,\n\
         /erp/orders,GET|POST,oms,module,,,,,\n\
         /erp/orders/{order_id},GET,oms,module,,,,,\n\
         /erp/orders/{order_id},DELETE,oms|finance,module,,,,true,\n\
         /erp/orders/{order_id}/invoice,GET,finance,module,,,,,false\n\
         /erp/shop/{slug},GET,,public,,optional,ignore,,\n"
    );
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    for line in [
        "no rule         GET /erp/forgotten",
        "no rule         PATCH /erp/forgotten",
        "unreadable      GET /erp/reports/{name}.pdf: a parameter is a whole segment",
        "no endpoint     * /erp/hrms/** (hrms; line 9)",
        "no endpoint     * /orders/** (oms; line 10)",
        "endpoints with a rule: 9, in 8 rules; without: 2; not readable: 1; rules without an endpoint: 2",
    ] {
        assert!(said.contains(line), "{line} in {said}");
    }
}

#[test]
fn a_map_that_was_imported_is_a_map() {
    let folder = tempfile::tempdir().unwrap();
    let made = folder.path().join("routes.csv");
    let made = made.to_str().unwrap();
    import(OPENAPI, MODULES, &["--output", made]);
    let checked = routes(&["check", "--routes", made]);
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked));
    assert!(
        text(&checked)
            .contains("8 rules: 4 need a module, 1 a tenant, 2 nothing; closed: 1; 0 findings"),
        "{}",
        text(&checked)
    );
    let explained = text(&routes(&["explain", "DELETE", "/erp/orders/5", "--routes", made]));
    assert!(explained.contains("oms or finance, verified"), "{explained}");
    // What the import says of it: nothing.
    let map = fs::read_to_string(made).unwrap();
    let all = OPENAPI
        .replace(r#""get": {}, "patch": {}"#, "")
        .replace(r#"{name}.pdf": {"get": {}"#, r#"a": {"#);
    let again = import(&all, &map, &[]);
    assert_eq!(
        (again.status.code(), String::from_utf8_lossy(&again.stdout)),
        (Some(0), map.into())
    );
}

#[test]
fn what_a_parameter_may_be_stays_as_closed_as_the_map_has_it() {
    let map = "path_prefix,path,methods,module_code,access\n\
        /api,,,,tenant\n/api/admin,,,,closed\n/api/billing,,POST,finance,\n\
        ,/files,,,public\n/files,,,storage,\n";
    let openapi = r#"{"paths": {
        "/api/{area}/statistics": {"get": {}, "post": {}, "options": {}},
        "/api/orders": {"get": {}, "additionalOperations": {"copy": {}}},
        "/files/{path:path}": {"get": {}}
    }}"#;
    let (folder, made) = written("routes.csv", "");
    let output = import(openapi, map, &["--output", &made]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(
        text(&output).contains("unreadable      copy /api/orders: the method"),
        "{}",
        text(&output)
    );
    let explain = |method: &str, path: &str| {
        let explained = text(&routes(&["explain", method, path, "--routes", &made]));
        let needs = explained.lines().find(|line| line.starts_with("needs")).unwrap_or("none");
        needs.trim_start_matches("needs").trim().to_owned()
    };
    for (method, path, needs) in [
        ("GET", "/api/admin/statistics", "closed"),
        ("POST", "/api/billing/statistics", "finance"),
        ("GET", "/api/billing/statistics", "tenant"),
        ("POST", "/api/orders/statistics", "tenant"),
        ("OPTIONS", "/api/orders/statistics", "none"),
        ("GET", "/files/a/b", "storage"),
    ] {
        assert_eq!(
            explain(method, path),
            needs,
            "{method} {path}: {}",
            fs::read_to_string(&made).unwrap()
        );
    }
    drop(folder);
}

#[test]
fn what_cannot_be_imported_is_refused_with_what_is_wrong() {
    for (openapi, modules, wanted) in [
        ("openapi: 3.1.0", MODULES, "no OpenAPI document in JSON"),
        ("{}", MODULES, "missing field `paths`"),
        (r#"{"servers": [{"url": "/{region}/api"}], "paths": {}}"#, MODULES, "variables"),
        (OPENAPI, "path,access\n/a,open\n", "neither public, tenant, module nor closed"),
        (OPENAPI, "path,module_code\n/a/{x},finance\n/a/{y},hrms\n", "ask for different things"),
    ] {
        let output = import(openapi, modules, &[]);
        assert_eq!(output.status.code(), Some(2), "{wanted}");
        assert!(text(&output).contains(wanted), "{wanted} in {}", text(&output));
        assert!(output.stdout.is_empty(), "{wanted}");
    }
    let missing = routes(&["import", "--openapi", "nowhere.json", "--modules", "nowhere.csv"]);
    assert!(text(&missing).contains("--openapi"), "{}", text(&missing));
}

#[test]
fn rules_that_contradict_themselves_are_refused_with_their_line() {
    for (columns, row, wanted) in [
        ("access,module_code", "closed,finance", "goes with no module"),
        ("access,callers", "public,console", "closed"),
        ("access,callers", ",console", "closed"),
        ("access,enforce", "closed,false", "without enforce"),
        ("access,tenant", "tenant,optional", "public"),
        ("access,tenant", "public,required", "optional"),
        ("access,token", "tenant,drop", "neither"),
        ("access,token,verified", "tenant,ignore,true", "verified by its token"),
        ("access,verified", "closed,true", "none can be verified"),
        ("access,tenant,verified", "public,optional,true", "none can be verified"),
    ] {
        let (_folder, file) = written("routes.csv", &format!("path,{columns}\n/a,{row}\n"));
        let refused = routes(&["check", "--routes", &file]);
        assert_eq!(refused.status.code(), Some(2), "{columns} {row}");
        let told = text(&refused);
        assert!(told.contains("line 2") && told.contains(wanted), "{wanted} in {told}");
    }
    // What is taken for a note closes nothing.
    for (heading, meant) in [
        ("module", "module_code"),
        ("Modules", "module_code"),
        ("acess", "access"),
        ("Access", "access"),
        ("caller", "callers"),
        ("method", "methods"),
        ("path prefix", "path_prefix"),
        ("tokens", "token"),
    ] {
        let (_folder, file) = written("routes.csv", &format!("path,{heading}\n/a,x\n"));
        let told = text(&routes(&["check", "--routes", &file]));
        assert!(told.contains(&format!("is {meant} meant?")), "{heading}: {told}");
    }
    let (_folder, file) = written("routes.csv", "path,note,endpoint_file,owner\n/a,x,y,z\n");
    assert_eq!(routes(&["check", "--routes", &file]).status.code(), Some(0));
}
