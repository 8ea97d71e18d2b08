//! The corpus of `fuzz/`, replayed and mutated.

use std::{fs, path::Path};

use entitlementd::fuzz::TARGETS;
use proptest::{
    collection::vec,
    prelude::*,
    sample::Index,
    test_runner::{Config, TestRunner},
};

/// The files of a target's corpus, in the order of their names.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|file| fs::read(file).unwrap()).collect()
}

#[test]
fn what_was_found_once_is_not_found_again() {
    for (name, run) in TARGETS {
        let corpus = corpus(name);
        assert!(corpus.len() > 2, "{name} has a corpus");
        corpus.iter().for_each(|bytes| run(bytes));
    }
}

#[test]
fn nothing_that_is_like_the_corpus_breaks_a_promise() {
    for (name, run) in TARGETS {
        let corpus = corpus(name);
        let splice =
            (any::<Index>(), any::<Index>(), any::<Index>(), vec(any::<u8>(), 0..4), any::<bool>());
        let mut runner = TestRunner::new(Config {
            failure_persistence: None,
            cases: 2_000,
            ..Config::default()
        });
        let spliced = runner.run(&splice, |(one, other, at, new, joins)| {
            let (one, other) = (one.get(&corpus), other.get(&corpus));
            let at = at.index(one.len() + 1);
            let end = if joins {
                other.get(at.min(other.len())..).unwrap_or_default()
            } else {
                &one[at..]
            };
            run(&[&one[..at], &new, end].concat());
            Ok(())
        });
        spliced.unwrap_or_else(|failure| panic!("{name}: {failure}"));
        let mut runner = TestRunner::new(Config {
            failure_persistence: None,
            cases: 1_000,
            ..Config::default()
        });
        let random = runner.run(&vec(any::<u8>(), 0..200), |bytes| {
            run(&bytes);
            Ok(())
        });
        random.unwrap_or_else(|failure| panic!("{name}: {failure}"));
    }
}
