//! Rules for an application's own endpoints, as its OpenAPI document lists them.

use std::{collections::BTreeMap, sync::Arc};

use serde::Deserialize;
use serde_json::{Map, Value};
use thiserror::Error;

use super::{FRESH, PathTemplate, RefusedMethod, RouteMap, Rule, check_method};

/// What a path of OpenAPI 3.2 may have beside methods with names of their own.
const FURTHER_METHODS: &str = "additionalOperations";
/// The methods that an OpenAPI document gives names to. Other keys of a path are no methods. OPTIONS
/// is left out: a rule that names it would refuse preflights.
const METHODS: [&str; 8] = ["get", "put", "post", "delete", "head", "patch", "trace", "query"];

/// A document that is no OpenAPI.
#[derive(Debug, Error)]
pub enum InvalidOpenApi {
    /// Not JSON, or without `paths`.
    #[error("is no OpenAPI document in JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// Its server has a path with variables in it.
    #[error("has the server {0:?}, whose path has variables: write down the one that is used")]
    Variables(String),
    /// A path that stands elsewhere.
    #[error("has the path {0:?} in another place ($ref): put everything into one document")]
    Reference(String),
}

/// An endpoint, as the document lists it.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Operation {
    /// In capitals.
    pub method: String,
    /// Below the path of the document's server.
    pub path: String,
}

/// The rules for an application's endpoints.
#[derive(Debug)]
pub struct Imported {
    /// What the endpoints of one path need, with their methods; and rules of the map about words
    /// that one of their parameters may be.
    pub rules: Vec<Rule>,
    /// Endpoints that no rule covers.
    pub uncovered: Vec<Operation>,
    /// Endpoints whose path or method cannot be written as a rule, and why.
    pub unreadable: Vec<(Operation, String)>,
    /// Rules that decide about no endpoint.
    pub unmatched: Vec<Arc<Rule>>,
}

/// Looks every endpoint of an OpenAPI document up in a map. `document` is JSON.
pub fn import(document: &str, map: &RouteMap) -> Result<Imported, InvalidOpenApi> {
    let mut imported = Imported {
        rules: Vec::new(),
        uncovered: Vec::new(),
        unreadable: Vec::new(),
        unmatched: map.rules().to_vec(),
    };
    for operation in operations(document)? {
        match PathTemplate::parse(&operation.path) {
            Err(problem) => imported.unreadable.push((operation, problem.to_string())),
            Ok(_) if check_method(&operation.method).is_err() => {
                imported.unreadable.push((operation, RefusedMethod.to_string()));
            }
            Ok(path) => imported.add(operation, path, map),
        }
    }
    Ok(imported)
}

impl Imported {
    fn add(&mut self, operation: Operation, path: PathTemplate, map: &RouteMap) {
        let method = &operation.method;
        // What is below a subtree is what is meant: a parameter that takes slashes is not empty.
        let below = if path.is_subtree() { format!("/{FRESH}") } else { String::new() };
        let usual = map.met(method, &(path.example(FRESH) + &below));
        for rule in map.rules() {
            // A parameter may be a word that another rule is about.
            let met = rule.path.meet(&path, FRESH).and_then(|path| map.met(method, &path));
            let Some(met) = met.filter(|met| met.is_the_same_as(rule)) else { continue };
            if usual.as_ref().is_none_or(|usual| !usual.demands_as(&met)) {
                self.unmatched.retain(|one| !Arc::ptr_eq(one, rule));
                add(&mut self.rules, method.clone(), rule.path.clone(), &met);
            }
        }
        match usual {
            None => self.uncovered.push(operation),
            Some(rule) => {
                self.unmatched.retain(|one| !rule.is_the_same_as(one));
                add(&mut self.rules, operation.method, path, &rule);
            }
        }
    }
}

/// Endpoints of one path that need the same become one rule.
fn add(rules: &mut Vec<Rule>, method: String, path: PathTemplate, met: &Rule) {
    let is_one = |rule: &&mut Rule| rule.path.is_same_as(&path) && rule.demands_as(met);
    match rules.iter_mut().find(is_one) {
        Some(rule) if rule.methods.contains(&method) => {}
        Some(rule) => rule.methods.push(method),
        None => rules.push(Rule { path, methods: vec![method], ..met.clone() }),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(default)]
    servers: Vec<Server>,
    /// OpenAPI 2.
    #[serde(default)]
    base_path: String,
    paths: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct Server {
    url: String,
}

/// All endpoints, by path and method.
fn operations(document: &str) -> Result<Vec<Operation>, InvalidOpenApi> {
    let document: Document = serde_json::from_str(document)?;
    let base = match document.servers.first() {
        Some(server) => path_of(&server.url)?,
        None => document.base_path.trim_end_matches('/').to_owned(),
    };
    let mut operations = Vec::new();
    // Other keys are extensions.
    for (path, item) in document.paths.iter().filter(|(path, _)| path.starts_with('/')) {
        if item.get("$ref").is_some() {
            return Err(InvalidOpenApi::Reference(path.clone()));
        }
        let of = |method| Operation { method, path: format!("{base}{path}") };
        operations.extend(methods_of(item).into_iter().map(of));
    }
    Ok(operations)
}

fn methods_of(item: &Value) -> Vec<String> {
    let named = METHODS.iter().filter(|method| item[**method].is_object());
    let further = item[FURTHER_METHODS].as_object().into_iter().flat_map(Map::keys).cloned();
    named.map(|method| method.to_ascii_uppercase()).chain(further).collect()
}

/// The path of a server's URL, without a slash at its end: `https://erp.example/api/` is `/api`.
fn path_of(url: &str) -> Result<String, InvalidOpenApi> {
    let after_scheme =
        url.split_once("://").map(|(_, rest)| rest.find('/').map_or("", |at| &rest[at..]));
    let path = after_scheme.unwrap_or(url).trim_end_matches('/');
    if path.contains('{') {
        Err(InvalidOpenApi::Variables(url.to_owned()))
    } else {
        Ok(path.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(document: &str) -> Vec<String> {
        let operations = operations(document).unwrap();
        operations.iter().map(|one| format!("{} {}", one.method, one.path)).collect()
    }

    #[test]
    fn endpoints_are_the_methods_of_paths_below_the_server() {
        let item = r#"{"summary": "s", "parameters": [], "get": {}, "query": {}, "additionalOperations": {"COPY": {}}}"#;
        let of = |rest: &str| {
            listed(&format!(r#"{{{rest} "paths": {{"/a/{{id}}": {item}, "x-b": 1}}}}"#))
        };
        assert_eq!(of(""), ["GET /a/{id}", "QUERY /a/{id}", "COPY /a/{id}"]);
        for (rest, first) in [
            (r#""servers": [{"url": "/api/"}],"#, "GET /api/a/{id}"),
            (
                r#""servers": [{"url": "https://erp.example/v1"}, {"url": "/other"}],"#,
                "GET /v1/a/{id}",
            ),
            (r#""servers": [{"url": "https://erp.example"}],"#, "GET /a/{id}"),
            (r#""servers": [],"#, "GET /a/{id}"),
            (r#""basePath": "/v2/","#, "GET /v2/a/{id}"),
        ] {
            assert_eq!(of(rest)[0], first, "{rest}");
        }
    }

    #[test]
    fn what_is_no_openapi_or_not_all_of_it_is_refused() {
        for document in [
            "",
            "openapi: 3.1.0",
            "{}",
            r#"{"paths": []}"#,
            r#"{"servers": [{"url": "/{tenant}"}], "paths": {}}"#,
            r#"{"paths": {"/a": {"$ref": "a.json"}}}"#,
        ] {
            assert!(operations(document).is_err(), "{document}");
        }
    }
}
