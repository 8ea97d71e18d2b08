//! Reading the URLs of PostgreSQL databases.

use std::str::FromStr;

use sqlx::{ConnectOptions as _, postgres::PgConnectOptions, sqlite::SqliteConnectOptions};
use url::Url;

use super::ConnectError;

/// The parameters that sqlx knows.
const KNOWN: [&str; 18] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
];

/// Reads a URL.
pub(super) fn parse(url: &str) -> Result<PgConnectOptions, ConnectError> {
    if !is_postgres(url) {
        return Err(ConnectError::PostgresUrl);
    }
    if is_cut_by_its_password(url) {
        return Err(ConnectError::NotEncoded);
    }
    let url = Url::parse(url).map_err(|_| ConnectError::PostgresUrl)?;
    let url = without_unknown_parameters(url);
    let connect = PgConnectOptions::from_url(&url).map_err(|_| ConnectError::PostgresUrl)?;
    // sqlx leaves an IPv6 address in its brackets, and then looks it up as a name.
    let host = connect.get_host();
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).map(str::to_owned);
    Ok(match address {
        Some(address) => connect.host(&address),
        None => connect,
    })
}

/// Where that is, without user and password.
pub(in crate::store) fn location(connect: &PgConnectOptions) -> String {
    // As the server takes it: the database of a user that names none is named as the user is.
    let database = connect.get_database().unwrap_or_else(|| connect.get_username());
    let (host, port) = (connect.get_host(), connect.get_port());
    match connect.get_socket() {
        Some(folder) => format!("postgres:{}:{port}/{database}", folder.display()),
        None => format!("postgres://{host}:{port}/{database}"),
    }
}

/// The same of a SQLite file, which exists.
pub(in crate::store) fn location_of_file(url: &str) -> String {
    if url.contains(":memory:") || url.contains("mode=memory") {
        return "sqlite::memory:".to_owned();
    }
    let file = SqliteConnectOptions::from_str(url).map(|connect| connect.get_filename().to_owned());
    let file = file.unwrap_or_default();
    let path = file.canonicalize().or_else(|_| std::path::absolute(&file)).unwrap_or(file);
    format!("sqlite:{}", path.display())
}

pub(super) fn is_postgres(url: &str) -> bool {
    url.split_once(':').is_some_and(|(scheme, _)| ["postgres", "postgresql"].contains(&scheme))
}

/// Does `@` come after what ends the address? Then that end is a character of the user or of the
/// password. In the value of a parameter `@` means itself, unless nothing else could be meant.
fn is_cut_by_its_password(url: &str) -> bool {
    let Some((_, after_scheme)) = url.split_once("://") else { return false };
    let end = after_scheme.find(['/', '?', '#']).unwrap_or(after_scheme.len());
    let rest = &after_scheme[end..];
    let (path, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let in_name =
        |parameter: &str| parameter.split('=').next().is_some_and(|name| name.contains('@'));
    path.contains('@')
        || parameters.split_once('#').is_some_and(|(_, fragment)| fragment.contains('@'))
        || parameters.split('&').any(in_name)
        || parameters.contains('@') && Url::parse(url).is_err()
}

/// sqlx prints the values of parameters that it does not know, which may be passwords.
fn without_unknown_parameters(mut url: Url) -> Url {
    let is_known = |name: &str| KNOWN.contains(&name) || name.starts_with("options[");
    if url.query_pairs().all(|(name, _)| is_known(&name)) {
        return url;
    }
    tracing::warn!("the database's URL has a parameter that is not known, which is ignored");
    let pairs = url.query_pairs().into_owned();
    let known: Vec<_> = pairs.filter(|(name, _)| is_known(name)).collect();
    url.query_pairs_mut().clear().extend_pairs(known);
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_its_password_cuts_is_refused_with_what_to_write() {
        for password in
            ["/x", "12/x", "/x/y", "12?x", "a?b", "a#b", "a/b", "a?b=c", "a@b/c", "?x#y"]
        {
            let error = parse(&format!("postgres://erp:{password}@db/erp")).unwrap_err();
            assert!(error.to_string().contains("must be percent-encoded"), "{password}: {error}");
        }
    }

    #[test]
    fn a_location_tells_databases_apart_and_has_no_user_and_no_password() {
        for (url, at) in [
            ("postgres://erp:s3cret@db/erp?sslmode=require", "postgres://db:5432/erp"),
            ("postgresql://other@db:6432/erp", "postgres://db:6432/erp"),
            ("postgres://erp@db", "postgres://db:5432/erp"),
            ("postgres://erp@[::1]/erp", "postgres://::1:5432/erp"),
            ("postgres:///erp?host=/run/pg&port=5433", "postgres:/run/pg:5433/erp"),
        ] {
            assert_eq!(location(&parse(url).unwrap()), at, "{url}");
        }
        let absolute = std::path::absolute("erp.db").unwrap();
        let expected = format!("sqlite:{}", absolute.display());
        assert_eq!(location_of_file("sqlite:erp.db?mode=rwc"), expected);
        assert_eq!(location_of_file("sqlite::memory:"), "sqlite::memory:");
    }

    #[test]
    fn what_is_encoded_and_what_needs_not_be_is_read() {
        for url in [
            "postgres://erp:12%2Fx%3F%23%40@db:5432/erp",
            "postgres://erp:a@b@db:5432/erp",
            "postgresql://db:5432/erp?user=erp@cloud&password=a@b",
            "postgres://db:5432/erp?sslpassword=x&connect_timeout=3",
        ] {
            let connect = parse(url).unwrap();
            assert_eq!((connect.get_host(), connect.get_port()), ("db", 5432), "{url}");
            assert_eq!(connect.get_database(), Some("erp"), "{url}");
        }
    }

    #[test]
    fn the_parameters_that_are_known_are_kept_and_no_other() {
        let url = "postgres://db/erp?user=a%26b&passwd=s3cret&sslmode=require&options[x]=y";
        let left = without_unknown_parameters(Url::parse(url).unwrap());
        let left: Vec<_> = left.query_pairs().into_owned().collect();
        let expected = [("user", "a&b"), ("sslmode", "require"), ("options[x]", "y")];
        assert_eq!(left, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}
