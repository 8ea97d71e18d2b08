//! The map against a model that walks all rules, and against routers that read paths in all the
//! ways there are.

use proptest::prelude::*;

use super::rule;
use crate::routes::{Access, Origin, PathReading, PathTemplate, RouteMap, Rule};

/// What a template is to the model: its segments, `*` for a parameter, and whether it goes on.
pub(super) fn matches(template: &[&str], path: &[&str]) -> bool {
    match (template.split_first(), path.split_first()) {
        (None, None) | (Some((&"**", _)), _) => true,
        (Some((word, template)), Some((segment, path))) => {
            (*word == *segment || *word == "*" && !segment.is_empty()) && matches(template, path)
        }
        _ => false,
    }
}

/// The order of the model: from the left, a word before a parameter before the end of a prefix.
pub(super) fn specificity(template: &str) -> Vec<u8> {
    let rank = |segment: &str| match segment {
        "**" => 1,
        "*" => 2,
        _ => 3,
    };
    // What ends before it goes on is as specific as can be.
    template.split('/').skip(1).map(rank).chain([4]).collect()
}

pub(super) fn segments(path: &str) -> Vec<&str> {
    let path = path.trim_start_matches('/');
    if path.is_empty() { Vec::new() } else { path.split('/').collect() }
}

fn model<'a>(templates: &'a [String], path: &str) -> Option<&'a String> {
    let fits = templates.iter().filter(|template| matches(&segments(template), &segments(path)));
    fits.max_by_key(|template| specificity(template))
}

fn templates() -> impl Strategy<Value = Vec<String>> {
    let segment = prop::sample::select(vec!["a", "b", "ab", "*"]);
    let template = (prop::collection::vec(segment, 1..5), any::<bool>());
    let written = template.prop_map(|(mut segments, subtree)| {
        if subtree {
            *segments.last_mut().unwrap() = "**";
        }
        format!("/{}", segments.join("/"))
    });
    prop::collection::vec(written, 1..12).prop_map(|mut templates| {
        templates.sort_unstable();
        templates.dedup();
        templates
    })
}

fn map_of(templates: &[String], reading: PathReading) -> RouteMap {
    let rules = templates.iter().map(|template| rule("", template, template)).collect();
    let (map, conflicts) = RouteMap::new(rules, reading);
    assert!(conflicts.is_empty());
    map
}

/// A spelling of a path: letters encoded, slashes doubled, parameters added, a slash at the end.
fn spelling() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(vec![
        "a",
        "b",
        "ab",
        "c",
        "%61",
        "%62",
        "a;x",
        "a%3Bx",
        ";x",
        "%3bx",
        "",
        "caf%C3%A9",
    ]);
    (prop::collection::vec(segment, 1..6), any::<bool>()).prop_map(|(segments, slash)| {
        format!("/{}{}", segments.join("/"), if slash { "/" } else { "" })
    })
}

/// What routers make of a path that was sent: decoded or not, merged or not, cut or not, before
/// they decode or after it.
fn as_routers_read(sent: &str) -> Vec<String> {
    let cut = |read: &str| {
        read.split('/')
            .map(|segment| segment.split(';').next().unwrap())
            .collect::<Vec<_>>()
            .join("/")
    };
    let mut readings = Vec::new();
    for way in 0..16 {
        let mut read = sent.to_owned();
        if way & 1 > 0 {
            read = cut(&read);
        }
        if way & 2 > 0 {
            read = percent_encoding::percent_decode_str(&read).decode_utf8().unwrap().into_owned();
        }
        if way & 8 > 0 {
            read = cut(&read);
        }
        if way & 4 > 0 {
            while read.contains("//") {
                read = read.replace("//", "/");
            }
        }
        readings.push(read);
    }
    readings
}

proptest! {
    #[test]
    fn the_map_decides_as_a_walk_over_all_rules_would(templates in templates(), path in "(/(a|b|ab|c)){1,6}") {
        let map = map_of(&templates, PathReading::Any);
        let by_map = map.find("GET", &path).unwrap().map(|rule| rule.path.to_string());
        prop_assert_eq!(by_map.as_ref(), model(&templates, &path));
    }

    #[test]
    fn whatever_a_router_makes_of_a_spelling_the_same_rule_decides_or_it_is_refused(
        templates in templates(),
        sent in spelling(),
    ) {
        let map = map_of(&templates, PathReading::Any);
        let Ok(found) = map.find("GET", &sent) else { return Ok(()) };
        let found = found.map(|rule| rule.path.to_string());
        for read in as_routers_read(&sent) {
            // A router that drops the last slash, and one that does not know the path with it.
            let bare = read.strip_suffix('/').filter(|bare| !bare.is_empty()).unwrap_or(&read);
            let by_router = model(&templates, bare).or_else(|| model(&templates, &read));
            prop_assert_eq!(found.as_ref(), by_router, "{} read as {}", &sent, &read);
        }
    }

    #[test]
    fn no_text_panics(method in ".{0,10}", path in ".{0,60}", template in "/.{0,30}") {
        let templates: Vec<PathTemplate> = PathTemplate::parse(&template).into_iter().collect();
        let rules = templates.into_iter().map(|path| Rule::new(path, Access::Tenant, Origin::Flag)).collect();
        let (map, _) = RouteMap::new(rules, PathReading::Any);
        _ = map.find(&method, &path);
        _ = map.find(&method, &format!("/{path}"));
    }
}
