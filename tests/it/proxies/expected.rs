//! What was expected, against what came.

use serde_json::Value;

use super::{
    run::filled,
    table::{Answer, Entry},
};
use crate::harness::http::Reply;

/// An answer, or nothing but the end of the connection.
pub(super) type Got = Option<Reply>;

/// What is not as expected.
pub(super) fn check(entry: &Entry, answer: &Answer, got: &Got) -> Result<(), String> {
    let Some(reply) = got else {
        return if answer.status == 0 { Ok(()) } else { Err("no answer".into()) };
    };
    if reply.status != answer.status {
        return Err(format!("{} instead of {}", reply.status, answer.status));
    }
    head(answer, reply)?;
    let body: Value = serde_json::from_str(&reply.body).unwrap_or_default();
    let reason = body["reason"].as_str().unwrap_or_default();
    if reason != answer.reason {
        return Err(format!("{reason:?} instead of {:?}", answer.reason));
    }
    let is_of_the_service = body["headers"].is_object();
    let is_expected = answer.status == 200 && !answer.by_the_proxy;
    if is_of_the_service != is_expected {
        return Err(format!("reached the service: {is_of_the_service}"));
    }
    if is_expected { seen(entry, answer, &body) } else { Ok(()) }
}

fn head(answer: &Answer, reply: &Reply) -> Result<(), String> {
    // Whether there are blanks in a list makes no difference.
    let head = reply.head.replace(", ", ",");
    let has = |start: &String| {
        head.lines().any(|line| line.starts_with(&filled(start).replace(", ", ",")))
    };
    if let Some(missing) = answer.head.iter().find(|start| !has(start)) {
        return Err(format!("no {missing:?}"));
    }
    if let Some(unwanted) = answer.head_without.iter().find(|start| has(start)) {
        return Err(format!("{unwanted:?}"));
    }
    Ok(())
}

/// What reached the service.
fn seen(entry: &Entry, answer: &Answer, body: &Value) -> Result<(), String> {
    let (method, target) = entry.send.split_once(' ').unwrap();
    let target = if answer.target.is_empty() { target } else { &answer.target };
    let content = if entry.chunks.is_empty() { entry.body.clone() } else { entry.chunks.concat() };
    for (name, wanted) in [("method", method), ("target", target), ("body", &content)] {
        if body[name] != wanted {
            return Err(format!("the {name} is {} instead of {wanted:?}", body[name]));
        }
    }
    for (name, wanted) in &answer.sees {
        let value = body["headers"][name].as_str().unwrap_or_default();
        if value != filled(wanted) {
            return Err(format!("{name} is {value:?}"));
        }
    }
    Ok(())
}
