//! The floors of the house, as `docs/architecture.md` has them: calls go down only.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// What the domain may use from outside.
const DOMAIN_CRATES: [&str; 6] = ["std", "chrono", "chrono_tz", "rustc_hash", "thiserror", "uuid"];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// A file's text up to its tests, without comments.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let code = text.split("#[cfg(test)]").next().unwrap();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The place that a file belongs to: `cache` for `cache/roster.rs`.
fn place(path: &Path) -> String {
    let relative = path.strip_prefix(source()).unwrap();
    let first = relative.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// The places that a file names after `crate::` (in `main.rs`, after the crate's name).
fn named_places(code: &str) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for prefix in ["crate::", "entitlementd::"] {
        for (_, rest) in code.match_indices(prefix).map(|(at, _)| code.split_at(at + prefix.len()))
        {
            match rest.strip_prefix('{') {
                Some(group) => named.extend(top_level_names(group)),
                None => named.extend(first_word(rest)),
            }
        }
    }
    named
}

/// The names of a `{...}` group of imports that stand on its first level.
fn top_level_names(group: &str) -> Vec<String> {
    let mut depth = 0;
    let mut names = Vec::new();
    let mut at_start = true;
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => at_start = true,
            _ if at_start && letter.is_ascii_lowercase() => {
                names.extend(first_word(&group[at..]));
                at_start = false;
            }
            _ => {}
        }
    }
    names
}

fn first_word(text: &str) -> Option<String> {
    let word: String = text
        .chars()
        .take_while(|letter| letter.is_ascii_alphanumeric() || *letter == '_')
        .collect();
    (!word.is_empty()).then_some(word)
}

/// Each place, and the places of this crate that it may name: the table of the architecture.
fn floors() -> BTreeMap<String, BTreeSet<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/architecture.md");
    let text = fs::read_to_string(path).unwrap();
    let (_, table) = text.split_once("| place | what it does | may name |").unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let words =
        |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let floors = rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        let [place, _, may_name] = cells[..] else { panic!("{row}") };
        (words(place).remove(0), words(may_name).into_iter().collect())
    });
    floors.collect()
}

#[test]
fn no_floor_names_one_above_it() {
    let floors = floors();
    let mut seen = BTreeSet::new();
    for path in files(&source()) {
        let place = place(&path);
        let allowed = floors
            .get(&place)
            .unwrap_or_else(|| panic!("{place} has no floor in docs/architecture.md"));
        for named in named_places(&code(&path)) {
            let inside = named == place || allowed.contains(&named);
            assert!(
                inside || place == "lib",
                "{} names {named}: {place} may name {allowed:?}",
                path.display()
            );
            seen.insert((place.clone(), named));
        }
        seen.insert((place.clone(), place));
    }
    for (place, allowed) in floors {
        assert!(
            seen.iter().any(|(seen, _)| *seen == place),
            "{place} is in the architecture and not in the code"
        );
        for named in allowed {
            assert!(
                seen.contains(&(place.clone(), named.clone())),
                "{place} may name {named}, and does not need to"
            );
        }
    }
}

/// The files that a path in the architecture or in the guide for contributors stands for.
#[test]
fn the_files_that_the_documents_name_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for page in [
        "docs/architecture.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "fuzz/README.md",
        "benches/README.md",
    ] {
        let text = fs::read_to_string(root.join(page)).unwrap();
        let paths = text.split('`').skip(1).step_by(2).filter(|word| {
            let is_path =
                ["src/", "tests/", "migration/", "proto/", "clients/", "deploy/", "docs/"];
            is_path.iter().any(|start| word.starts_with(start))
                && !word.contains([' ', '*', '{', '<'])
        });
        for path in paths {
            assert!(root.join(path).exists(), "{page} names {path}");
        }
    }
}

#[test]
fn the_domain_is_pure() {
    for path in files(&source().join("domain")).into_iter().chain([source().join("domain.rs")]) {
        let code = code(&path);
        assert!(!code.contains("async "), "{}", path.display());
        for line in code.lines().filter_map(|line| line.trim().strip_prefix("use ")) {
            let first = first_word(line).unwrap();
            let known = DOMAIN_CRATES.contains(&first.as_str())
                || ["super", "crate", "self"].contains(&first.as_str());
            assert!(known, "{} uses {first}", path.display());
        }
    }
}

/// Outside of `service/grpc`, what the service may name of gRPC: the body of an HTTP response,
/// and the list of methods, which are counted.
const NAMED_OUTSIDE_GRPC: [(&str, &str); 3] = [
    ("service/forward_auth.rs", "tonic::body::Body"),
    ("service/forward_auth/response.rs", "tonic::body::Body"),
    ("service/metrics.rs", "proto::Method"),
];

#[test]
fn use_cases_know_nothing_of_grpc() {
    for path in files(&source().join("service")) {
        let name = path.strip_prefix(source()).unwrap().to_str().unwrap().to_owned();
        if name.starts_with("service/grpc") {
            continue;
        }
        let allowed = NAMED_OUTSIDE_GRPC.iter().filter(|(file, _)| *file == name);
        let code = allowed.fold(code(&path), |code, (_, named)| code.replace(named, ""));
        assert!(!code.contains("tonic") && !code.contains("proto::"), "{name} names gRPC");
    }
}

#[test]
fn only_the_store_names_sea_orm() {
    for path in files(&source()) {
        if place(&path) != "store" {
            assert!(!code(&path).contains("use sea_orm"), "{}", path.display());
        }
    }
}

#[test]
fn main_is_a_sentence() {
    assert!(fs::read_to_string(source().join("main.rs")).unwrap().lines().count() <= 25);
}

#[test]
fn named_places_are_found_in_groups_and_paths() {
    let code = "use crate::{\n    cache::{Cache, Known},\n    domain::ids,\n};\nlet x = crate::store::Store;";
    assert_eq!(
        named_places(code),
        BTreeSet::from(["cache".to_owned(), "domain".to_owned(), "store".to_owned()])
    );
}
