//! Where the server is, when the code does not say.

use std::{ffi::OsString, fs, io::ErrorKind, path::Path};

use crate::config::ConfigError;

/// What names the endpoints.
pub(crate) const VARIABLE: &str = "ENTITLEMENTD_ENDPOINT";
/// Where an instance on the same machine listens, or in the same pod.
pub(crate) const SOCKET: &str = "/run/entitlementd/edge.sock";

/// What was found.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Found {
    /// What the variable says.
    InVariable(Vec<String>),
    /// The socket.
    Socket(String),
}

/// The endpoints of the variable; or else the socket, if it is there.
pub(crate) fn find(variable: Option<OsString>, socket: &Path) -> Result<Found, ConfigError> {
    let variable = variable.unwrap_or_default().into_string();
    let text = variable.map_err(|_| unusable("it is not UTF-8".to_owned()))?;
    if !text.trim().is_empty() {
        let named = text.split(',').map(str::trim).filter(|endpoint| !endpoint.is_empty());
        let named: Vec<_> = named.map(str::to_owned).collect();
        if named.is_empty() {
            return Err(unusable(format!("{text:?} names no endpoint")));
        }
        return Ok(Found::InVariable(named));
    }
    let is_missing = |why: String| Err(ConfigError::NoEndpoint(why));
    let path = socket.display();
    match fs::metadata(socket) {
        Ok(found) if is_socket(&found) => Ok(Found::Socket(format!("unix:{path}"))),
        Ok(_) => is_missing(format!("{path} is not a socket")),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            is_missing(format!("there is no socket {path}"))
        }
        Err(error) => is_missing(format!("{path} cannot be looked at: {error}")),
    }
}

#[cfg(unix)]
fn is_socket(found: &fs::Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_socket(&found.file_type())
}

#[cfg(not(unix))]
fn is_socket(_: &fs::Metadata) -> bool {
    false
}

fn unusable(cause: String) -> ConfigError {
    ConfigError::Variable { variable: VARIABLE, cause }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::{ffi::OsStringExt, net::UnixListener};

    use tokio::net::UnixListener as AsyncUnixListener;
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

    use super::*;
    use crate::{Config, OnOutage, endpoints::Endpoints};

    /// A folder of its own, removed at the end.
    struct Folder(std::path::PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("entitlement-client-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn file(&self) -> std::path::PathBuf {
            self.0.join("edge.sock")
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            _ = fs::remove_dir_all(&self.0);
        }
    }

    fn said(variable: &str, socket: &Path) -> Result<Found, String> {
        find(Some(variable.into()), socket).map_err(|error| error.to_string())
    }

    #[test]
    fn the_variable_goes_before_the_socket() {
        let folder = Folder::new("variable");
        let _listens = UnixListener::bind(folder.file()).unwrap();
        for (text, endpoints) in [
            ("127.0.0.1:1", vec!["127.0.0.1:1"]),
            (" https://core:1 , unix:/e.sock,", vec!["https://core:1", "unix:/e.sock"]),
        ] {
            let endpoints = endpoints.into_iter().map(str::to_owned).collect();
            assert_eq!(said(text, &folder.file()).unwrap(), Found::InVariable(endpoints));
        }
    }

    #[test]
    fn an_empty_variable_counts_as_none() {
        let folder = Folder::new("empty");
        let _listens = UnixListener::bind(folder.file()).unwrap();
        let socket = Found::Socket(format!("unix:{}", folder.file().display()));
        for variable in [None, Some(""), Some("  ")] {
            assert_eq!(find(variable.map(Into::into), &folder.file()).unwrap(), socket);
        }
    }

    #[test]
    fn a_variable_that_names_nothing_is_an_error_that_names_it() {
        let socket = Path::new("/nowhere/edge.sock");
        let not_utf8 = find(Some(OsString::from_vec(vec![0xff])), socket).unwrap_err();
        for complaint in [said(",", socket).unwrap_err(), not_utf8.to_string()] {
            assert!(complaint.starts_with("ENTITLEMENTD_ENDPOINT cannot be used: "), "{complaint}");
        }
    }

    #[test]
    fn without_either_the_error_names_both() {
        let folder = Folder::new("neither");
        let missing = said("", &folder.file()).unwrap_err();
        let path = folder.file().display().to_string();
        fs::write(folder.file(), "").unwrap();
        let other = said("", &folder.file()).unwrap_err();
        let behind = said("", &folder.file().join("edge.sock")).unwrap_err();
        for complaint in [missing, other, behind] {
            assert!(complaint.contains("ENTITLEMENTD_ENDPOINT is not set"), "{complaint}");
            assert!(complaint.contains(&path), "{complaint}");
        }
    }

    #[tokio::test]
    async fn who_listens_on_the_socket_is_asked() {
        let folder = Folder::new("asked");
        let listener = AsyncUnixListener::bind(folder.file()).unwrap();
        let (_, service) = tonic_health::server::health_reporter();
        let incoming = futures_util::stream::unfold(listener, async |listener| {
            Some((listener.accept().await.map(|(stream, _)| stream), listener))
        });
        let server = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(incoming));
        let config = Config::found(find(None, &folder.file()).unwrap(), OnOutage::Deny);
        let (_, channel) = Endpoints::new(&config).unwrap().current();
        HealthClient::new(channel).check(HealthCheckRequest::default()).await.unwrap();
    }
}
