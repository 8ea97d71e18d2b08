//! Which database.

use std::{fmt, fs, path::PathBuf, str::FromStr};

use clap::Args;
use url::Url;

use super::UnusableSetting;

/// Which database.
#[derive(Args, Clone, Debug)]
pub struct DatabaseArgs {
    /// The database: postgres://USER:PASSWORD@HOST:PORT/DATABASE or sqlite:PATH. A password is better kept in a file
    /// [default: sqlite:entitlementd.db]
    #[arg(long, env = "ENTITLEMENTD_DATABASE_URL", hide_env_values = true, conflicts_with = "database_url_file")]
    pub database_url: Option<DatabaseUrl>,
    /// A file that holds the database's URL.
    #[arg(long, env = "ENTITLEMENTD_DATABASE_URL_FILE", value_name = "FILE")]
    pub database_url_file: Option<PathBuf>,
    /// Certificates (PEM) that the database server's own must descend from. Demands TLS and the right host name.
    #[arg(long, env = "ENTITLEMENTD_DATABASE_CA_FILE", value_name = "FILE")]
    pub database_ca_file: Option<PathBuf>,
}

impl DatabaseArgs {
    /// The URL, from wherever it is given.
    pub fn url(&self) -> Result<DatabaseUrl, UnusableSetting> {
        let unusable = |problem| UnusableSetting::new("--database-url-file", problem);
        match (&self.database_url, &self.database_url_file) {
            (Some(url), _) => Ok(url.clone()),
            (None, Some(path)) => {
                let url = fs::read_to_string(path)
                    .map_err(|error| unusable(format!("names {}, which cannot be read: {error}", path.display())))?;
                match url.trim() {
                    "" => Err(unusable(format!("names {}, which is empty: expected a URL", path.display()))),
                    url => Ok(DatabaseUrl(url.to_owned())),
                }
            }
            (None, None) => Ok(DatabaseUrl("sqlite:entitlementd.db".to_owned())),
        }
    }

    /// The flag that the URL came from.
    pub fn setting(&self) -> &'static str {
        if self.database_url_file.is_some() { "--database-url-file" } else { "--database-url" }
    }
}

/// A database's URL. Prints without user, password and parameters, which may hold a password too.
#[derive(Clone, Eq, PartialEq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The whole URL. Not for eyes.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Is it SQLite's?
    pub fn is_sqlite(&self) -> bool {
        self.0.starts_with("sqlite:")
    }
}

impl FromStr for DatabaseUrl {
    type Err = std::convert::Infallible;

    /// Takes any text: clap would print one that it refuses, password and all. The store refuses it later.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let without_parameters = self.0.split(['?', '#']).next().unwrap_or_default();
        if self.is_sqlite() {
            return f.write_str(without_parameters);
        }
        match Url::parse(&self.0) {
            Ok(url) if matches!(url.scheme(), "postgres" | "postgresql") => {
                write!(f, "postgres://{}", url.host_str().unwrap_or_default())?;
                if let Some(port) = url.port() {
                    write!(f, ":{port}")?;
                }
                f.write_str(url.path())
            }
            _ => f.write_str("(not a database URL)"),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_url_prints_without_secrets() {
        for (url, printed) in [
            ("postgres://erp:s3cret@db.example:6432/erp?sslmode=require", "postgres://db.example:6432/erp"),
            ("postgresql://db/erp?user=erp&password=s3cret", "postgres://db/erp"),
            ("postgres://erp:s3c/ret@db/erp", "(not a database URL)"),
            ("erp:s3cret@db", "(not a database URL)"),
            ("sqlite:erp.db?mode=rwc&key=s3cret", "sqlite:erp.db"),
            ("s3cret", "(not a database URL)"),
        ] {
            let url: DatabaseUrl = url.parse().unwrap();
            assert!(!format!("{url} {url:?}").contains("s3c"), "{url}");
            assert_eq!(url.to_string(), printed);
        }
    }
}
