//! Rules as a file of CSV.

use std::io::Write;

use super::{Access, Rule, TokenUse, file::COLUMNS};

/// Writes rules as CSV. What [`read`](super::read) makes of it are these rules. The last column, that
/// of features, is there only where a rule needs one.
pub fn write(out: impl Write, rules: &[Rule]) -> Result<(), csv::Error> {
    let mut out = csv::Writer::from_writer(out);
    let has_features = rules.iter().any(|rule| rule.feature.is_some());
    let columns = COLUMNS.len() - 1 - usize::from(!has_features);
    out.write_record(&COLUMNS[1..=columns])?;
    for rule in rules {
        out.write_record(&row(rule)[..columns])?;
    }
    Ok(out.flush()?)
}

/// A cell for each column but the first: a path that covers what is below it says so itself.
fn row(rule: &Rule) -> [String; COLUMNS.len() - 1] {
    let (mut modules, mut callers, mut tenant) = (String::new(), String::new(), "");
    let access = match &rule.access {
        Access::Public => "public",
        Access::PublicWithTenant => {
            tenant = "optional";
            "public"
        }
        Access::Tenant => "tenant",
        Access::AnyOf(codes) => {
            modules = codes.iter().map(ToString::to_string).collect::<Vec<_>>().join("|");
            "module"
        }
        Access::Callers(names) => {
            callers = names.join("|");
            "closed"
        }
    };
    let token = if rule.token == TokenUse::Ignore { "ignore" } else { "" };
    let (verified, enforce) =
        (if rule.verified { "true" } else { "" }, if rule.enforce { "" } else { "false" });
    [
        rule.path.to_string(),
        rule.methods.join("|"),
        modules,
        access.into(),
        callers,
        tenant.into(),
        token.into(),
        verified.into(),
        enforce.into(),
        rule.feature.as_deref().unwrap_or_default().into(),
    ]
}
