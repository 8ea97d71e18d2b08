//! Rules of a file, in TOML or CSV.

use std::{fs, io::Read, path::Path};

use serde::Deserialize;
use thiserror::Error;
use toml::Spanned;

use super::{Access, Origin, PathTemplate, Rule, TokenUse, check_method};
use crate::domain::{ModuleCode, ids::validate_key, limits::MAX_FEATURE_KEY_CHARS};

/// Maximum size of a file, in bytes.
const MAX_BYTES: u64 = 16 * 1024 * 1024;
/// Maximum number of rules in one file.
const MAX_RULES: usize = 50_000;
/// Maximum number of methods of one rule: there are nine, plus some of WebDAV.
pub(super) const MAX_METHODS: usize = 40;

/// A file of rules that cannot be used: the first error, with its line.
#[derive(Debug, Error)]
pub enum UnreadableRoutes {
    /// It cannot be read at all.
    #[error("cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// Neither ends in `.toml` nor in `.csv`.
    #[error("is neither .toml nor .csv")]
    UnknownKind,
    /// Larger than any map should be.
    #[error("is larger than {} MiB or has more than {MAX_RULES} rules", MAX_BYTES >> 20)]
    TooLarge,
    /// Not TOML, or not as described.
    #[error("is not readable as routes: {0}")]
    Toml(#[from] toml::de::Error),
    /// Not CSV, or not as described.
    #[error("is not readable as routes: {0}")]
    Csv(#[from] csv::Error),
    /// A rule that makes no sense.
    #[error("is wrong in line {line}: {problem}")]
    Rule {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
}

/// Reads the rules of a file: TOML if its name ends in `.toml`, CSV if it ends in `.csv`.
pub fn read(path: &Path) -> Result<Vec<Rule>, UnreadableRoutes> {
    let mut text = String::new();
    let size = fs::File::open(path)?.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    if size as u64 > MAX_BYTES { Err(UnreadableRoutes::TooLarge) } else { parse(path, &text) }
}

/// Reads the rules of a file of this name.
pub fn parse(path: &Path, text: &str) -> Result<Vec<Rule>, UnreadableRoutes> {
    let kind = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let rules = match kind.to_ascii_lowercase().as_str() {
        "toml" => parse_toml(text),
        "csv" => parse_csv(text),
        _ => Err(UnreadableRoutes::UnknownKind),
    }?;
    if rules.len() > MAX_RULES { Err(UnreadableRoutes::TooLarge) } else { Ok(rules) }
}

/// A rule as it is written in files.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RuleEntry {
    path: String,
    methods: Vec<String>,
    module: Option<String>,
    any_of: Vec<String>,
    feature: Option<String>,
    access: Option<String>,
    callers: Vec<String>,
    tenant: Option<String>,
    token: Option<String>,
    verified: bool,
    enforce: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TomlFile {
    #[serde(default)]
    route: Vec<Spanned<RuleEntry>>,
}

fn parse_toml(text: &str) -> Result<Vec<Rule>, UnreadableRoutes> {
    let file: TomlFile = toml::from_str(text)?;
    // Files are short, and lines are counted only once.
    let line_of = |byte: usize| text[..byte].matches('\n').count() + 1;
    let rules = file.route.into_iter().map(|written| {
        let line = line_of(written.span().start);
        rule(written.into_inner(), false, line)
    });
    rules.collect()
}

/// A row: a path template in `path`, or a path and everything below it in `path_prefix`; methods,
/// modules and callers are separated by `|`. Unknown columns are taken for notes.
#[derive(Debug, Deserialize)]
struct CsvRow {
    path: Option<String>,
    path_prefix: Option<String>,
    methods: Option<String>,
    module_code: Option<String>,
    feature: Option<String>,
    access: Option<String>,
    callers: Option<String>,
    tenant: Option<String>,
    token: Option<String>,
    verified: Option<bool>,
    enforce: Option<bool>,
}

/// The columns of a row.
pub(super) const COLUMNS: [&str; 11] = [
    "path_prefix",
    "path",
    "methods",
    "module_code",
    "access",
    "callers",
    "tenant",
    "token",
    "verified",
    "enforce",
    "feature",
];

/// A heading that is nearly a column's name, and would make a note of what closes a path.
fn misspelled(heading: &str) -> Option<&'static str> {
    let plain = |text: &str| {
        let letters = text.chars().filter(|letter| letter.is_alphanumeric());
        letters.collect::<String>().to_lowercase()
    };
    let heading = plain(heading);
    COLUMNS.into_iter().find(|column| {
        let is_nearly = strsim::damerau_levenshtein(&heading, &plain(column)) <= 1;
        is_nearly || (heading.trim_end_matches('s') == "module" && *column == "module_code")
    })
}

fn parse_csv(text: &str) -> Result<Vec<Rule>, UnreadableRoutes> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .comment(Some(b'#'))
        .from_reader(text.as_bytes());
    let headers = reader.headers()?.clone();
    for heading in headers.iter().filter(|heading| !COLUMNS.contains(heading)) {
        if let Some(column) = misspelled(heading) {
            return Err(problem(1, format!("the column {heading:?} is none: is {column} meant?")));
        }
    }
    let mut rules = Vec::new();
    for record in reader.records() {
        let record = record?;
        let line = record
            .position()
            .map_or(0, |position| usize::try_from(position.line()).unwrap_or(usize::MAX));
        let row: CsvRow = record.deserialize(Some(&headers))?;
        let (path, is_prefix) = match (row.path, row.path_prefix) {
            (Some(path), None) => (path, false),
            (None, Some(prefix)) => (prefix, true),
            _ => return Err(problem(line, "needs either path or path_prefix")),
        };
        let written = RuleEntry {
            path,
            methods: vec![row.methods.unwrap_or_default()],
            module: None,
            any_of: words_of(row.module_code),
            feature: row.feature,
            access: row.access,
            callers: words_of(row.callers),
            tenant: row.tenant,
            token: row.token,
            verified: row.verified.unwrap_or_default(),
            enforce: row.enforce,
        };
        rules.push(rule(written, is_prefix, line)?);
    }
    Ok(rules)
}

/// The words of a cell, separated by `|`.
fn words_of(cell: Option<String>) -> Vec<String> {
    let cell = cell.unwrap_or_default();
    cell.split('|').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn problem(line: usize, problem: impl ToString) -> UnreadableRoutes {
    UnreadableRoutes::Rule { line, problem: problem.to_string() }
}

fn rule(written: RuleEntry, is_prefix: bool, line: usize) -> Result<Rule, UnreadableRoutes> {
    let path = PathTemplate::parse(&written.path);
    let path =
        path.map_err(|reason| problem(line, format!("the path {:?}: {reason}", written.path)))?;
    let path = if is_prefix { path.with_subtree() } else { path };
    let methods = methods_of(&written.methods.join("|")).map_err(|reason| problem(line, reason))?;
    let access = access_of(&written).map_err(|reason| problem(line, reason))?;
    let feature = feature_of(&written, &access).map_err(|reason| problem(line, reason))?;
    let token = token_of(&written, &access).map_err(|reason| problem(line, reason))?;
    let (verified, enforce) = (written.verified, written.enforce.unwrap_or(true));
    if matches!(access, Access::Callers(_)) && !enforce {
        return Err(problem(line, "what is closed would be open to everybody without enforce"));
    }
    let rule = Rule::new(path, access, Origin::File(line));
    Ok(Rule { methods, feature, verified, token, enforce, ..rule })
}

/// What an entry asks for.
fn access_of(written: &RuleEntry) -> Result<Access, String> {
    let codes = written.module.iter().chain(&written.any_of);
    let modules = codes
        .map(|code| ModuleCode::validate(code).map(ModuleCode::new))
        .collect::<Result<Vec<ModuleCode>, _>>()
        .map_err(|error| format!("a module's code {error}"))?;
    let word = written.access.as_deref();
    if !modules.is_empty() && !matches!(word, None | Some("module")) {
        return Err(format!("the access {:?} goes with no module", word.unwrap_or_default()));
    }
    if !written.callers.is_empty() && word != Some("closed") {
        return Err(
            "callers are named only where the access is \"closed\": those who may pass nevertheless"
                .into(),
        );
    }
    if written.tenant.is_some() && word != Some("public") {
        return Err("a tenant may be optional only where the access is \"public\"".into());
    }
    match (word, written.tenant.as_deref()) {
        (None | Some("module"), _) if !modules.is_empty() => Ok(Access::AnyOf(modules)),
        (Some("module"), _) => Err("the access \"module\" needs a module".into()),
        (None | Some("tenant"), _) => Ok(Access::Tenant),
        (Some("public"), None) => Ok(Access::Public),
        (Some("public"), Some("optional")) => Ok(Access::PublicWithTenant),
        (Some("public"), Some(word)) => Err(format!("the tenant {word:?} is not \"optional\"")),
        (Some("closed"), _) => Ok(Access::Callers(written.callers.clone())),
        (Some(word), _) => {
            Err(format!("the access {word:?} is neither public, tenant, module nor closed"))
        }
    }
}

/// The key of the feature that an entry asks for beside its modules.
fn feature_of(written: &RuleEntry, access: &Access) -> Result<Option<Box<str>>, String> {
    let Some(key) = written.feature.as_deref() else { return Ok(None) };
    validate_key(key, MAX_FEATURE_KEY_CHARS)
        .map_err(|error| format!("the feature {key:?}: {error}"))?;
    match access {
        Access::AnyOf(_) => Ok(Some(key.into())),
        _ => Err(format!("the feature {key:?} needs a module, whose feature it is")),
    }
}

/// Whether an entry lets the token be looked at, and whether that goes with what it asks for.
fn token_of(written: &RuleEntry, access: &Access) -> Result<TokenUse, String> {
    let token = match written.token.as_deref() {
        None | Some("verify") => TokenUse::Verify,
        Some("ignore") => TokenUse::Ignore,
        Some(word) => {
            return Err(format!("the token {word:?} is neither \"verify\" nor \"ignore\""));
        }
    };
    match access {
        Access::Public | Access::PublicWithTenant | Access::Callers(_) if written.verified => {
            Err(format!("what is {access} needs no tenant, so none can be verified"))
        }
        _ if written.verified && token == TokenUse::Ignore => {
            Err("a tenant is verified by its token, which this rule ignores".into())
        }
        _ => Ok(token),
    }
}

/// Reads methods separated by `|`, written as in requests. None, or `*`: all.
pub(super) fn methods_of(text: &str) -> Result<Vec<String>, String> {
    let mut methods: Vec<String> = Vec::new();
    for method in
        text.split('|').map(str::trim).filter(|method| !method.is_empty() && *method != "*")
    {
        check_method(method).map_err(|refused| format!("the method {method:?}: {refused}"))?;
        if !methods.iter().any(|known| known == method) {
            methods.push(method.to_owned());
        }
    }
    if methods.len() > MAX_METHODS {
        Err(format!("more than {MAX_METHODS} methods"))
    } else {
        Ok(methods)
    }
}
