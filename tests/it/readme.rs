//! What the README and the documents show is what happens.

mod answers;
mod generated;
mod links;
mod mesh;
mod story;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

pub use self::links::anchors;
use crate::harness;

/// A file of this repository.
fn path(page: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(page)
}

/// A page of the documentation, by its path from the root.
pub fn page(page: &str) -> String {
    std::fs::read_to_string(path(page)).unwrap_or_else(|error| panic!("{page}: {error}"))
}

/// The pages that people read first, and all below `docs`.
fn pages() -> Vec<String> {
    let mut pages = vec!["README.md".to_owned()];
    let mut folders = vec!["docs".to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(path(&folder)).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{folder}/{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_dir() {
                folders.push(name);
            } else if name.ends_with(".md") {
                pages.push(name);
            }
        }
    }
    pages.sort();
    pages
}

/// What stands below a heading of a page, up to the next one that is as high.
pub fn section(name: &str, heading: &str) -> String {
    let text = page(name);
    let level = heading.chars().take_while(|letter| *letter == '#').count();
    let (_, below) = text
        .split_once(&format!("\n{heading}\n"))
        .unwrap_or_else(|| panic!("{name} has no section {heading}"));
    let mut is_code = false;
    let ends = |line: &&str| {
        is_code ^= line.starts_with("```");
        let depth = line.chars().take_while(|letter| *letter == '#').count();
        !is_code && (1..=level).contains(&depth)
    };
    let end = below.split_inclusive('\n').collect::<Vec<_>>();
    let count = end.iter().position(ends).unwrap_or(end.len());
    end[..count].concat()
}

/// The contents of the blocks of one language.
pub fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// The commands of a text that begin so, each with what the text says that it prints.
fn commands(text: &str, program: &str) -> Vec<(String, String)> {
    let shown = blocks(text, "console").into_iter().filter_map(|block| {
        let (command, output) = block.strip_prefix("$ ")?.split_once('\n')?;
        command.starts_with(program).then(|| (command.to_owned(), output.to_owned()))
    });
    shown.collect()
}

/// Replaces every instant of this day or later by a word: they differ from run to run.
fn without_clock(text: &str) -> String {
    let words = text.split_inclusive(['"', ' ', '\n', ',']).map(|word| {
        let bare = word.trim_end_matches(['"', ' ', '\n', ',']);
        let is_instant = bare.len() >= 20 && chrono::DateTime::parse_from_rfc3339(bare).is_ok();
        if is_instant { word.replace(bare, "AN INSTANT") } else { word.to_owned() }
    });
    words.collect()
}

fn json(text: &str) -> Value {
    serde_json::from_str(&without_clock(text)).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// grpcurl as `tests/run` builds it, or from the PATH.
pub fn grpcurl() -> String {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/grpcurl");
    // With its path: a script of the same name that calls it must not find itself.
    if ours.exists() { ours } else { harness::program("grpcurl") }.to_str().unwrap().to_owned()
}

fn shell(command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
