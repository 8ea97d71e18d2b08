//! No spelling of a guarded path passes for a public one.

use proptest::prelude::*;

use super::{
    found, map,
    model::{matches, segments, specificity},
};
use crate::routes::{
    Access, Origin, PathReading, PathTemplate, RouteMap, Rule,
    routers::{Habits, ROUTERS},
};

/// A template, and whether it is public.
type Written = (String, bool);

fn written() -> impl Strategy<Value = Vec<Written>> {
    let segment = prop::sample::select(vec!["a", "b", "ab", "B", "aB", "*"]);
    let template = (prop::collection::vec(segment, 1..5), any::<bool>(), any::<bool>());
    let written = template.prop_map(|(mut segments, subtree, public)| {
        if subtree {
            *segments.last_mut().unwrap() = "**";
        }
        (format!("/{}", segments.join("/")), public)
    });
    prop::collection::vec(written, 1..12).prop_map(|mut templates| {
        templates.sort_unstable();
        templates.dedup_by(|one, other| one.0 == other.0);
        templates
    })
}

fn map_of(templates: &[Written]) -> RouteMap {
    let rule = |(template, public): &Written| {
        let access = if *public { Access::Public } else { Access::Tenant };
        Rule::new(PathTemplate::parse(template).unwrap(), access, Origin::File(1))
    };
    let (map, conflicts) = RouteMap::new(templates.iter().map(rule).collect(), PathReading::Any);
    assert!(conflicts.is_empty(), "{conflicts:?}");
    map
}

/// Respells a character: mostly not at all, so that many of the generated paths pass.
fn spelled(character: char, how: u8) -> String {
    let code = u32::from(character);
    match (how, character) {
        (0..=5, '/') => {
            ["//", ";x/", "%3Bx/", "%3b/", "/;y/", "/%3By/"][usize::from(how)].to_owned()
        }
        (6, '/') => "/%2e/".to_owned(),
        (7, '/') => "%2f".to_owned(),
        (8, '/') => "%25%32%66".to_owned(),
        (9, '/') => ";x=%2541/".to_owned(),
        (0..=5, _) => format!("%{code:02x}"),
        (6..=11, _) => format!("%{code:02X}"),
        (12..=19, _) if character.is_uppercase() => character.to_lowercase().to_string(),
        (12..=19, _) => character.to_uppercase().to_string(),
        (20, _) => format!("%25{code:02x}"),
        (21, _) => format!("%25%3{}%3{}", code >> 4, code & 7),
        (22..=24, _) => format!("{character}%3B"),
        _ => character.to_string(),
    }
}

/// Another spelling of a path, possibly with something appended.
fn spelling() -> impl Strategy<Value = String> {
    let end = prop::sample::select(vec!["", "", "", "/", ";x", "%3Bx", "/;", "//", "?a=/b"]);
    ("(/(a|b|ab|aB|B|c)){1,6}", prop::collection::vec(0_u8..120, 24), end).prop_map(
        |(path, how, end)| {
            let spelled: String = path
                .char_indices()
                .map(|(place, character)| spelled(character, how[place % how.len()]))
                .collect();
            let first = if spelled.starts_with('/') { "" } else { "/" };
            format!("{first}{spelled}{end}")
        },
    )
}

/// The templates that a router could choose for a path: the most specific ones, which may be
/// several if the router ignores case.
fn chosen<'a>(router: &Habits, templates: &'a [Written], path: &str) -> Vec<&'a Written> {
    let as_matched = |template: &str| {
        if router.ignores_case { template.to_lowercase() } else { template.to_owned() }
    };
    let fits =
        |(template, _): &&Written| matches(&segments(&as_matched(template)), &segments(path));
    let fitting: Vec<&Written> = templates.iter().filter(fits).collect();
    let best = fitting.iter().map(|(template, _)| specificity(template)).max();
    fitting.into_iter().filter(|(template, _)| Some(specificity(template)) == best).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_spelling_that_a_usual_router_brings_to_a_guarded_route_is_granted(
        templates in written(),
        sent in spelling(),
    ) {
        let Ok(rule) = map_of(&templates).find("GET", &sent) else { return Ok(()) };
        // A request that no rule covers passes with `--unmatched allow`.
        if rule.as_ref().is_some_and(|rule| rule.access != Access::Public) {
            return Ok(());
        }
        let path = sent.split('?').next().unwrap();
        for router in &ROUTERS {
            let read = router.read(path);
            let bare = read.strip_suffix('/').filter(|bare| !bare.is_empty());
            for end in [Some(read.as_str()), bare].into_iter().flatten() {
                for (template, public) in chosen(router, &templates, end) {
                    prop_assert!(public, "{} passes by {:?}; {} reads {} and takes {}", sent, rule, router.name, end, template);
                }
            }
        }
    }
}

#[test]
fn an_encoded_semicolon_does_not_hide_a_guarded_path() {
    let map = map(&[
        ("", "/static/**", "public"),
        ("", "/static/admin/**", "finance"),
        ("", "/x/{id}", "public"),
    ]);
    for path in [
        "/static/admin%3Bx/y",
        "/static/admin%3bx/y",
        "/static/admin%3B/y",
        "/static/%61dmin%3Bx/y",
        "/static/;x/admin/y",
        "/static/%3Bx/admin/y",
        "/static%3Bx/admin%3By/y",
        "/static/admin;x%3By/z",
        "/static/admin%3Bx",
    ] {
        assert_eq!(found(&map, "GET", path), "400 Ambiguous", "{path}");
    }
    for (path, access) in
        [("/static/a%3Bb/c", "public"), ("/static/admin/a%3Bb", "finance"), ("/x/a%3Bb", "public")]
    {
        assert_eq!(found(&map, "GET", path), access, "{path}");
    }
}

#[test]
fn another_case_does_not_hide_a_guarded_path() {
    let rules = [
        ("", "/static/**", "public"),
        ("", "/static/admin/**", "finance"),
        ("", "/static/Café/{id}", "hrms"),
        ("", "/Api/Orders/{id}", "orders"),
    ];
    let map = map(&rules);
    for path in [
        "/static/Admin/x",
        "/STATIC/admin",
        "/static/%41dmin/x",
        "/static/caf%C3%89/5",
        "/api/orders/5",
    ] {
        assert_eq!(found(&map, "GET", path), "400 Ambiguous", "{path}");
    }
    for (path, access) in [
        ("/static/admin/X", "finance"),
        ("/static/Logo.SVG", "public"),
        ("/static/Caf%C3%A9/X", "hrms"),
        ("/Api/Orders/AB-1", "orders"),
        ("/Other", "-"),
    ] {
        assert_eq!(found(&map, "GET", path), access, "{path}");
    }
    let rules = || {
        vec![
            super::rule("", "/static/**", "public"),
            super::rule("", "/static/admin/**", "finance"),
        ]
    };
    for reading in [PathReading::Normalized, PathReading::Literal] {
        let (map, _) = RouteMap::new(rules(), reading);
        assert_eq!(found(&map, "GET", "/static/Admin/x"), "public", "{reading:?}");
    }
}

#[test]
fn of_rules_that_differ_in_case_alone_each_holds_only_where_they_ask_for_the_same() {
    let differ = map(&[("", "/a/B", "public"), ("", "/a/b", "finance")]);
    assert_eq!(found(&differ, "GET", "/a/B"), "400 Ambiguous");
    assert_eq!(found(&differ, "GET", "/a/b"), "400 Ambiguous");
    let agree = map(&[("", "/a/B", "finance"), ("", "/a/b", "finance")]);
    assert_eq!(found(&agree, "GET", "/a/B"), "finance");
    assert_eq!(found(&agree, "GET", "/A/b"), "400 Ambiguous");
}
