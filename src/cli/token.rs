//! `entitlementd token`.

use std::{
    error::Error,
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
};

use super::GOOD;
use crate::{
    config::{NewTokenArgs, TokenArgs, TokenCommand, UnusableSetting},
    domain::limits::MAX_TOKENS_FILE_BYTES,
    security::admin_tokens::{AdminToken, AdminTokens, TokenEntry},
};

pub(crate) fn run(args: TokenArgs) -> Result<u8, Box<dyn Error>> {
    match args.command {
        TokenCommand::New(args) => new(args),
    }
}

/// Adds a token to the file, and only then prints it: a printed token is valid.
fn new(args: NewTokenArgs) -> Result<u8, Box<dyn Error>> {
    let NewTokenArgs { name, role, admin_tokens_file: path } = args;
    let unusable = |problem: &dyn std::fmt::Display| {
        UnusableSetting::new("--admin-tokens-file", format!("names {}, {problem}", path.display()))
    };
    let cannot = |error: io::Error| unusable(&format!("which cannot be used: {error}"));
    let mut options = OpenOptions::new();
    let mut file =
        options.read(true).append(true).create(true).mode(0o600).open(&path).map_err(cannot)?;
    // Two concurrent processes would not see each other's names. The lock is released with the
    // file.
    file.lock().map_err(cannot)?;
    let text = read(&mut file).map_err(cannot)?;
    let tokens: AdminTokens = text.parse().map_err(|error| unusable(&error))?;
    if tokens.has(&name) {
        return Err(unusable(&format!(
            "where {name} has a token already: remove the line first, or take another name"
        ))
        .into());
    }
    let token = AdminToken::generate()?;
    let end_of_last_line = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    let line = format!("{end_of_last_line}{}", TokenEntry::new(name, role, &token).line());
    file.write_all(line.as_bytes()).and_then(|()| file.sync_all()).map_err(cannot)?;
    writeln!(io::stdout(), "{}", token.expose())?;
    Ok(GOOD)
}

/// Reads a file of tokens that is not too large.
pub(crate) fn read(file: &mut File) -> io::Result<String> {
    let mut text = String::new();
    // One byte more, to detect a file that is too large.
    file.take(MAX_TOKENS_FILE_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_TOKENS_FILE_BYTES {
        return Err(io::Error::other(format!("it is larger than {MAX_TOKENS_FILE_BYTES} bytes")));
    }
    Ok(text)
}
