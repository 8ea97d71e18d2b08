//! The URLs of databases, whose passwords are never printed.

use std::{fmt, str::FromStr};

use url::Url;

/// A database's URL. Prints without user, password and parameters, which may contain a password
/// too.
#[derive(Clone, Eq, PartialEq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The whole URL, which may contain a password. Do not print it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The one that a file holds.
    pub fn in_file(text: &str) -> Result<Self, String> {
        match text.trim() {
            "" => Err("it is empty: expected a URL".to_owned()),
            url if url.contains(char::is_whitespace) => {
                Err("it holds more than one word: expected a URL".to_owned())
            }
            url => Ok(Self(url.to_owned())),
        }
    }

    /// Those that a file holds, one in a line. Empty lines mean nothing, nor do those that begin with
    /// `#`.
    pub fn all_in_file(text: &str) -> Vec<Self> {
        let lines = text.lines().map(str::trim);
        lines
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| Self(line.to_owned()))
            .collect()
    }

    /// Does a file say in a line of its own, `# none`, that it is meant to hold no URL?
    pub fn are_none_meant(text: &str) -> bool {
        let words = |line: &str| line.trim().strip_prefix('#').map(str::trim).map(str::to_owned);
        text.lines().any(|line| words(line).is_some_and(|words| words == "none"))
    }

    /// Is it a SQLite URL?
    pub fn is_sqlite(&self) -> bool {
        self.0.starts_with("sqlite:")
    }
}

impl Default for DatabaseUrl {
    fn default() -> Self {
        Self("sqlite:entitlementd.db".to_owned())
    }
}

impl FromStr for DatabaseUrl {
    type Err = std::convert::Infallible;

    /// Accepts any text: clap would print a refused one, including its password. The store refuses
    /// it later.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_sqlite() {
            return f.write_str(self.0.split(['?', '#']).next().unwrap_or_default());
        }
        let after_scheme =
            ["postgres://", "postgresql://"].iter().find_map(|s| self.0.strip_prefix(s));
        match (after_scheme, Url::parse(&self.0)) {
            (Some(rest), Ok(url)) if !may_show_a_secret(rest) => {
                write!(f, "postgres://{}", url.host_str().unwrap_or_default())?;
                if let Some(port) = url.port() {
                    write!(f, ":{port}")?;
                }
                f.write_str(url.path())
            }
            (Some(_), Ok(_)) => f.write_str("(a database URL that is not shown)"),
            _ => f.write_str("(not a database URL)"),
        }
    }
}

/// Could host, port or path be a part of the user or of the password? They are where a password that
/// is not percent-encoded holds `/`, `?` or `#`, and where a URL was cut off before its `@`.
fn may_show_a_secret(after_scheme: &str) -> bool {
    let end = after_scheme.find(['/', '?', '#']).unwrap_or(after_scheme.len());
    let (authority, rest) = after_scheme.split_at(end);
    let path = rest.split('?').next().unwrap_or_default();
    rest.contains(['@', '#'])
        || path.matches('/').count() > 1
        || !authority.contains('@') && authority.contains(':')
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOT_SHOWN: &str = "(a database URL that is not shown)";

    #[test]
    fn a_database_url_prints_without_secrets() {
        for (url, printed) in [
            (
                "postgres://erp:s3cret@db.example:6432/erp?sslmode=require",
                "postgres://db.example:6432/erp",
            ),
            ("postgresql://db/erp?user=erp&password=s3cret", "postgres://db/erp"),
            ("postgres://erp:s3c/ret@db/erp", "(not a database URL)"),
            ("erp:s3cret@db", "(not a database URL)"),
            ("sqlite:erp.db?mode=rwc&key=s3cret", "sqlite:erp.db"),
            ("s3cret", "(not a database URL)"),
            ("postgres://erp:a@b@db/erp", "postgres://db/erp"),
            ("postgres://erp:/s3cret@db/erp", NOT_SHOWN),
            ("postgres://erp:12/s3cret@db/erp", NOT_SHOWN),
            ("postgres://erp:12?s3cret@db/erp", NOT_SHOWN),
            ("postgres://erp:12#s3cret@db/erp", NOT_SHOWN),
            ("postgres://erp:@12/s3c/ret@db/erp", NOT_SHOWN),
            ("postgres://erp:12/s3cret", NOT_SHOWN),
            ("postgres://erp:s3cret@db/erp/more", NOT_SHOWN),
            ("postgres:erp:s3cret@db/erp", "(not a database URL)"),
            ("postgres:/erp:s3cret@db/erp", "(not a database URL)"),
            ("POSTGRES://erp:12/s3cret@db/erp", "(not a database URL)"),
            ("host=db user=erp password=s3cret dbname=erp", "(not a database URL)"),
        ] {
            let url: DatabaseUrl = url.parse().unwrap();
            assert!(!format!("{url} {url:?}").contains("s3c"), "{url}");
            assert_eq!(url.to_string(), printed);
        }
    }

    #[test]
    fn a_file_holds_one_url_or_one_in_a_line() {
        assert_eq!(
            DatabaseUrl::in_file(" postgres://db/erp\n").unwrap().expose(),
            "postgres://db/erp"
        );
        for text in ["", " \n", "postgres://db/erp\npostgres://db/other"] {
            DatabaseUrl::in_file(text).unwrap_err();
        }
        let all = DatabaseUrl::all_in_file("# ours\npostgres://one/erp\r\n\n  postgres://two/erp");
        let all: Vec<_> = all.iter().map(DatabaseUrl::expose).collect();
        assert_eq!(all, ["postgres://one/erp", "postgres://two/erp"]);
        for (text, meant) in [("# ours\n #none \r\n", true), ("# none of ours", false), ("", false)]
        {
            assert_eq!(DatabaseUrl::are_none_meant(text), meant, "{text:?}");
        }
    }

    proptest! {
        /// The words that surround the password have none of its capitals.
        #[test]
        fn no_password_is_ever_printed(
            before in r"[0-9]{0,6}[/?#@:\\\[\] &=%\t]{0,3}",
            secret in "[A-Z]{4,8}",
            after in r"[ -~]{0,6}|\PC{0,6}",
            shape in 0..6_usize,
        ) {
            let password = format!("{before}{secret}{after}");
            let url = [
                format!("postgres://erp:{password}@db:5432/erp"),
                format!("postgresql://erp:{password}@db/erp?sslmode=require"),
                format!("postgres://erp:{password}@/erp?host=/run/postgresql"),
                format!("postgres://db/erp?user=erp&password={password}"),
                format!("host=db user=erp password={password} dbname=erp"),
                format!("sqlite:erp.db?key={password}"),
            ][shape].parse::<DatabaseUrl>().unwrap();
            let printed = format!("{url} {url:?}");
            prop_assert!(!printed.to_uppercase().contains(&secret), "{printed}");
        }

        /// A file may be read before the rest of it is written.
        #[test]
        fn no_part_of_a_password_is_printed_of_a_url_that_was_cut_off(
            password in "[7-9]{1,5}[/?#@]?[A-Z]{4}",
            length in 0..40_usize,
        ) {
            let whole = format!("postgres://erp:{password}@db/erp");
            let url: DatabaseUrl = whole.chars().take(length).collect::<String>().parse().unwrap();
            let printed = format!("{url} {url:?}");
            prop_assert!(!printed.contains(char::is_numeric), "{printed}");
        }
    }
}
