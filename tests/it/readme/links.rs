//! Every relative link leads somewhere, and every anchor is a heading's.

use std::collections::BTreeSet;

use super::{page, pages, path};

/// Pages beside the documentation that link into it, or are linked from it.
const BESIDE: [&str; 9] = [
    "CHANGELOG.md",
    "SECURITY.md",
    "benches/README.md",
    "clients/README.md",
    "clients/python/README.md",
    "clients/rust/README.md",
    "deploy/tenant-template/README.md",
    "fuzz/README.md",
    "tests/vectors/README.md",
];

/// A text without its blocks of code.
fn without_blocks(text: &str) -> String {
    let mut is_code = false;
    let lines = text.lines().filter(|line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Where a text's links lead, but for those to other sites.
fn links(text: &str) -> Vec<String> {
    // A link's words may be code, and so may hold anything: what counts is what follows them.
    let text = without_blocks(text);
    let targets = text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap().to_owned());
    targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:")).collect()
}

/// The anchors of a page, as the platforms that render Markdown make them: in small letters,
/// without punctuation, with hyphens for blanks.
pub fn anchors(text: &str) -> BTreeSet<String> {
    let text = without_blocks(text);
    let headings =
        text.lines().filter(|line| line.starts_with('#')).filter_map(|line| line.split_once("# "));
    let anchor = |heading: &str| {
        let letters = heading
            .trim()
            .chars()
            .filter(|letter| letter.is_alphanumeric() || [' ', '-', '_'].contains(letter));
        letters.collect::<String>().to_lowercase().replace(' ', "-")
    };
    headings.map(|(_, heading)| anchor(heading)).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut broken = Vec::new();
    let mut count = 0;
    for name in pages().into_iter().chain(BESIDE.map(str::to_owned)) {
        let text = page(&name);
        let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
        for link in links(&text) {
            count += 1;
            let (file, anchor) =
                link.split_once('#').map_or((&*link, None), |(file, anchor)| (file, Some(anchor)));
            let target = if file.is_empty() { path(&name) } else { path(folder).join(file) };
            let leads = match (target.exists(), anchor) {
                (true, Some(anchor)) => {
                    anchors(&std::fs::read_to_string(&target).unwrap()).contains(anchor)
                }
                (exists, _) => exists,
            };
            if !leads {
                broken.push(format!("{name}: {link}"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(count > 100, "{count}");
}

#[test]
fn no_page_is_out_of_reach_from_the_readme() {
    let mut reached = BTreeSet::new();
    let mut next = vec!["README.md".to_owned()];
    while let Some(name) = next.pop() {
        if !reached.insert(name.clone()) {
            continue;
        }
        let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        for link in links(&page(&name)) {
            let file = link.split('#').next().unwrap();
            let Ok(target) = path(&folder).join(file).canonicalize() else { continue };
            let inside = target
                .strip_prefix(path("").canonicalize().unwrap())
                .map(|inside| inside.to_str().unwrap().to_owned());
            next.extend(
                inside
                    .into_iter()
                    .filter(|inside| inside.starts_with("docs/") && inside.ends_with(".md")),
            );
        }
    }
    let left: Vec<String> = pages().into_iter().filter(|name| !reached.contains(name)).collect();
    assert!(left.is_empty(), "nothing leads to {left:?}");
}

#[test]
fn the_readme_is_short() {
    let lines = page("README.md").lines().count();
    assert!(lines <= 220, "{lines}: what is for some readers only belongs below docs");
}

#[test]
fn anchors_and_links_are_found() {
    let text = "# A tenant's life: `x`, and more\n```sh\n# none\n[no](where)\n```\n[`a`](b.md#c) [d](https://e)";
    assert_eq!(anchors(text), BTreeSet::from(["a-tenants-life-x-and-more".to_owned()]));
    assert_eq!(links(text), ["b.md#c"]);
}
