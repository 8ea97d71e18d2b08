//! `entitlementd completions` and `entitlementd man`: what a package installs beside the program.

use std::io;

use super::{GOOD, output::CommandResult};
use crate::config::{self, CompletionsArgs, ManArgs, UnusableSetting};

const NAME: &str = "entitlementd";

/// Prints completions for a shell.
pub(crate) fn completions(args: CompletionsArgs) -> CommandResult {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut config::command(), NAME, &mut script);
    io::Write::write_all(&mut io::stdout(), &script)?;
    Ok(GOOD)
}

/// Writes a manual page for each command.
pub(crate) fn man(args: &ManArgs) -> CommandResult {
    clap_mangen::generate_to(config::command(), &args.folder).map_err(|error| {
        UnusableSetting::new(
            "FOLDER",
            format!("is {}, which cannot be written to: {error}", args.folder.display()),
        )
    })?;
    Ok(GOOD)
}
