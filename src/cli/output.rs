//! The output of commands.

use std::{
    error::Error,
    io::{self, Write},
};

use chrono::{DateTime, SecondsFormat, Utc};
use comfy_table::{Cell, CellAlignment, Table, presets::NOTHING};
use serde_json::Value;

use super::GOOD;
use crate::{domain::Money, escape::escape_control_json};

/// The exit code, or the error.
pub(crate) type CommandResult = Result<u8, Box<dyn Error>>;

/// Prints a text, followed by exactly one line break.
pub(crate) fn print(text: &str) -> CommandResult {
    writeln!(io::stdout(), "{}", text.trim_end())?;
    Ok(GOOD)
}

/// Prints JSON, indented.
pub(crate) fn print_json(json: &Value) -> CommandResult {
    print(&escape_control_json(&format!("{json:#}")))
}

/// A table without borders, with these column headings.
pub(crate) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header(header);
    if let Some(first) = table.column_mut(0) {
        first.set_padding((0, 1));
    }
    table
}

/// An amount of money, right-aligned; a dash where there is none.
pub(crate) fn price(amount: Option<Money>) -> Cell {
    Cell::new(amount.map_or("-".to_owned(), |amount| amount.to_string()))
        .set_alignment(CellAlignment::Right)
}

/// An instant to the second, in UTC.
pub(crate) fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// An instant to the second, or another text if there is none.
pub(crate) fn instant_or(at: Option<DateTime<Utc>>, otherwise: &str) -> String {
    at.map_or(otherwise.to_owned(), instant)
}

/// A limit; none at all is unlimited.
pub(crate) fn limit(limit: Option<i64>) -> String {
    limit.map_or("unlimited".to_owned(), |limit| limit.to_string())
}
