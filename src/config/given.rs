//! Settings as they were given: where each comes from, and which are not the defaults.

use std::fmt;

use clap::{Arg, ArgMatches, Command, CommandFactory, FromArgMatches, parser::ValueSource};

use super::{Cli, Command as What, redact::without_passwords};

/// The flags of `serve` and `edge` that the one page of `-h` shows. `--help` shows all.
const FIRST: [&str; 25] = [
    "admin_listen",
    "admin_tokens_file",
    "base_domain",
    "cache_capacity",
    "callers_file",
    "changes",
    "client_ca",
    "database_url",
    "database_url_file",
    "demo",
    "enforce",
    "forward_auth_listen",
    "hold",
    "jwks_url",
    "listen",
    "max_stale",
    "metrics_listen",
    "print_config",
    "routes",
    "state_dir",
    "tls_cert",
    "tls_key",
    "upstream",
    "upstream_ca_file",
    "upstream_token_file",
];

/// A setting of `serve`, with the value in effect.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Given {
    /// Its flag, with the dashes.
    pub flag: String,
    /// Its value, without passwords; empty: it has none.
    pub value: String,
    /// Where it comes from.
    pub source: Source,
}

/// Where a setting comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Source {
    /// The default.
    Default,
    /// The command line.
    Flag,
    /// This environment variable.
    Variable(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Flag => f.write_str("command line"),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.value.as_str() {
            "true" | "" => f.write_str(&self.flag),
            value => write!(f, "{}={value}", self.flag),
        }
    }
}

impl Cli {
    /// Reads the command line and the environment.
    pub fn read() -> Result<Self, clap::Error> {
        let mut command = command();
        let matches = command.try_get_matches_from_mut(std::env::args_os())?;
        let mut cli =
            Self::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
        let of_instance = match &mut cli.command {
            What::Serve(args) => Some((&mut args.given, &mut args.instance.trace)),
            What::Edge(args) => Some((&mut args.given, &mut args.instance.trace)),
            _ => None,
        };
        if let (Some((all, trace)), Some((name, matches))) = (of_instance, matches.subcommand()) {
            let flags = command.find_subcommand(name).into_iter().flat_map(Command::get_arguments);
            *all = flags.filter_map(|flag| given(flag, matches)).collect();
            trace.read_otel(all, std::env::vars_os());
        }
        Ok(cli)
    }
}

/// The whole command line. `serve -h` and `edge -h` are one page of their help.
pub fn command() -> Command {
    Cli::command().mut_subcommand("serve", on_one_page).mut_subcommand("edge", on_one_page)
}

fn on_one_page(command: Command) -> Command {
    let command = command
        .after_help("--help shows all settings, --print-config what they are.")
        .after_long_help("");
    command.mut_args(|flag| {
        let is_first = FIRST.contains(&flag.get_id().as_str()) || flag.is_global_set();
        flag.hide_short_help(!is_first)
    })
}

/// `None` for arguments that are not settings, for example `--help`.
fn given(flag: &Arg, matches: &ArgMatches) -> Option<Given> {
    let (id, name) = (flag.get_id().as_str(), flag.get_long()?);
    if ["help", "version", "print_config"].contains(&id) {
        return None;
    }
    let source = match matches.value_source(id) {
        Some(ValueSource::CommandLine) => Source::Flag,
        Some(ValueSource::EnvVariable) => {
            Source::Variable(flag.get_env().unwrap_or_default().to_string_lossy().into_owned())
        }
        _ => Source::Default,
    };
    let values = matches.get_raw(id).into_iter().flatten();
    let values: Vec<String> =
        values.map(|value| without_passwords(&value.to_string_lossy())).collect();
    Some(Given { flag: format!("--{name}"), value: values.join(","), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_flags_that_there_are() {
        let command = command();
        let all = ["serve", "edge"].map(|name| command.find_subcommand(name).unwrap());
        for id in FIRST {
            let mut flags = all.into_iter().flat_map(Command::get_arguments);
            assert!(flags.any(|flag| flag.get_id() == id), "--{id}");
        }
    }
}
