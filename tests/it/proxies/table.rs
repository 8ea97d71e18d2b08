//! The table: requests, what is expected of each, and what differs in some proxies, and why.

use std::{collections::BTreeMap, fs};

use serde::Deserialize;

use crate::harness::mesh::Kind;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/proxy-requests.toml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    /// What all refusals have in common behind some proxies.
    #[serde(rename = "nature")]
    pub natures: Vec<Nature>,
    #[serde(rename = "request")]
    pub requests: Vec<Entry>,
    #[serde(rename = "call")]
    pub calls: Vec<Call>,
}

/// How refusals reach a client behind some proxies, where that is not how the server answers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nature {
    pub proxies: Vec<Kind>,
    pub why: String,
    /// What these statuses become.
    pub statuses: BTreeMap<String, u16>,
}

/// A request, and what is expected of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub claim: String,
    /// Method and target.
    pub send: String,
    #[serde(default = "one_one")]
    pub version: String,
    /// Lines of the head. Without a host among them there is one that names no tenant.
    #[serde(default)]
    pub headers: Vec<String>,
    #[serde(default)]
    pub body: String,
    /// The body in chunks.
    #[serde(default)]
    pub chunks: Vec<String>,
    #[serde(default)]
    pub when: When,
    pub answer: Answer,
    #[serde(default)]
    pub differs: Vec<Difference>,
}

fn one_one() -> String {
    "1.1".into()
}

/// How it is with the server that is asked.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum When {
    #[default]
    Served,
    /// Nobody listens.
    Gone,
    /// Somebody listens, and never answers.
    Hung,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(super) struct Answer {
    /// 0: none, but the end of the connection.
    pub status: u16,
    /// In the body. Empty: the body has none.
    pub reason: String,
    /// Lines that begin so in the answer's head, in small letters.
    pub head: Vec<String>,
    /// What a line of the answer's head must not begin with.
    pub head_without: Vec<String>,
    /// Headers that the service got, in small letters. Empty: none, or an empty one.
    pub sees: BTreeMap<String, String>,
    /// The target that the service got, where it is not the one that was sent.
    pub target: String,
    /// The request did not reach the service, although it was not refused.
    pub by_the_proxy: bool,
}

/// What is different in some proxies, by their own nature.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Difference {
    pub proxies: Vec<Kind>,
    pub why: String,
    /// The whole answer.
    pub answer: Answer,
}

/// A call of gRPC, and what is expected of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Call {
    pub claim: String,
    #[serde(default)]
    pub when: When,
    #[serde(default)]
    pub headers: Vec<String>,
    /// The status by the name that gRPC gives it.
    pub code: String,
    /// Headers that the service got.
    #[serde(default)]
    pub sees: BTreeMap<String, String>,
    #[serde(default)]
    pub differs: Vec<OtherCode>,
}

/// Another status in some proxies, by their own nature.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OtherCode {
    pub proxies: Vec<Kind>,
    pub why: String,
    pub code: String,
}

impl Call {
    /// The status through a proxy.
    pub(super) fn code(&self, kind: Kind) -> &str {
        let other = self.differs.iter().find(|other| other.proxies.contains(&kind));
        let Some(other) = other else { return &self.code };
        assert!(other.code != self.code && !other.why.is_empty(), "{}: {kind:?}", self.claim);
        &other.code
    }
}

pub(super) fn table() -> Table {
    let table: Table = toml::from_str(&fs::read_to_string(FILE).unwrap()).unwrap();
    for entry in &table.requests {
        for kind in Kind::ALL {
            let count = entry.differs.iter().filter(|other| other.proxies.contains(&kind)).count();
            assert!(count < 2, "{}: {kind:?} differs twice", entry.claim);
        }
        for difference in &entry.differs {
            assert!(!difference.why.is_empty(), "{}: differs without a reason", entry.claim);
        }
    }
    table
}

impl Table {
    /// What is expected of a request through a proxy.
    pub(super) fn expected(&self, entry: &Entry, kind: Kind) -> Answer {
        let natural = self.natural(entry, kind);
        let Some(difference) = entry.differs.iter().find(|other| other.proxies.contains(&kind))
        else {
            return natural;
        };
        assert_ne!(difference.answer, natural, "{}: {kind:?} does not differ", entry.claim);
        difference.answer.clone()
    }

    fn natural(&self, entry: &Entry, kind: Kind) -> Answer {
        let mut answer = entry.answer.clone();
        let nature = self.natures.iter().find(|nature| nature.proxies.contains(&kind));
        let Some(nature) = nature else { return answer };
        if let Some(status) = nature.statuses.get(&answer.status.to_string()) {
            assert!(!nature.why.is_empty());
            answer = Answer { status: *status, ..Answer::default() };
        }
        answer
    }
}
