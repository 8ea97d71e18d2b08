//! Where to listen.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr};

/// What a mode may say: who may read, write and execute.
const MAX_MODE: u32 = 0o777;
/// Whoever may write to a socket may connect: here, others than its owner and its group.
const OTHERS_WRITE: u32 = 0o002;

/// An address to listen on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ListenAddress {
    /// An address and port; port 0 takes a free one.
    Tcp(SocketAddr),
    /// A socket in the file system.
    Unix(UnixAddress),
}

/// A socket in the file system, written like `/run/e.sock` or `/run/e.sock?mode=0660`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UnixAddress {
    /// Its path, in which there is no `?`.
    pub path: PathBuf,
    /// The permissions of its file; `None`: those that the process's umask leaves.
    pub mode: Option<u32>,
}

impl ListenAddress {
    /// Does whoever can reach it belong here? The permissions of a Unix socket and of its directory
    /// decide who may open it. A socket that is given to everybody is also given to those who have
    /// nothing but its directory in common with this machine, such as other containers.
    pub fn is_near(&self) -> bool {
        match self {
            Self::Tcp(socket) => socket.ip().is_loopback(),
            Self::Unix(socket) => socket.mode.is_none_or(|mode| mode & OTHERS_WRITE == 0),
        }
    }
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            Some(socket) => socket.parse().map(Self::Unix),
            None => text.parse().map(Self::Tcp).map_err(|_| {
                "expected ADDRESS:PORT such as 127.0.0.1:50051, or unix:/PATH".to_owned()
            }),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(socket) => write!(f, "unix:{socket}"),
        }
    }
}

impl FromStr for UnixAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (path, mode) = match text.split_once('?') {
            None => (text, None),
            Some((path, query)) => (path, Some(read_mode(query)?)),
        };
        if path.is_empty() {
            return Err("expected a path after unix:".to_owned());
        }
        Ok(Self { path: path.into(), mode })
    }
}

impl fmt::Display for UnixAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.display().fmt(f)?;
        self.mode.map_or(Ok(()), |mode| write!(f, "?mode={mode:04o}"))
    }
}

fn read_mode(query: &str) -> Result<u32, String> {
    let Some(digits) = query.strip_prefix("mode=") else {
        return Err(format!(
            "expected nothing but ?mode=0660 after the path, which cannot hold a `?`, and found ?{query}"
        ));
    };
    let is_octal = !digits.is_empty() && digits.bytes().all(|digit| matches!(digit, b'0'..=b'7'));
    is_octal
        .then(|| u32::from_str_radix(digits, 8).ok())
        .flatten()
        .filter(|mode| *mode <= MAX_MODE)
        .ok_or_else(|| format!("expected an octal mode from 0 to 0777, and found {digits:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<UnixAddress, String> {
        match text.parse()? {
            ListenAddress::Unix(socket) => Ok(socket),
            ListenAddress::Tcp(address) => Err(format!("{address}")),
        }
    }

    #[test]
    fn a_socket_has_the_mode_that_is_written_and_shows_it() {
        for (text, mode, shown) in [
            ("unix:/run/e.sock", None, "unix:/run/e.sock"),
            ("unix:/run/e.sock?mode=0660", Some(0o660), "unix:/run/e.sock?mode=0660"),
            ("unix:/run/e.sock?mode=660", Some(0o660), "unix:/run/e.sock?mode=0660"),
            ("unix:/run/e.sock?mode=0", Some(0), "unix:/run/e.sock?mode=0000"),
            ("unix:e.sock?mode=0777", Some(0o777), "unix:e.sock?mode=0777"),
        ] {
            let read: ListenAddress =
                text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert!(
                matches!(&read, ListenAddress::Unix(socket) if socket.mode == mode),
                "{read:?}"
            );
            assert_eq!(read.to_string(), shown);
            assert_eq!(shown.parse(), Ok(read));
        }
    }

    #[test]
    fn anything_else_is_refused_with_what_was_expected() {
        for (text, words) in [
            ("unix:", "a path"),
            ("unix:?mode=0660", "a path"),
            ("unix:/a?mode=", "an octal mode from 0 to 0777"),
            ("unix:/a?mode=1777", "an octal mode from 0 to 0777"),
            ("unix:/a?mode=0888", "an octal mode from 0 to 0777"),
            ("unix:/a?mode=0o660", "an octal mode from 0 to 0777"),
            ("unix:/a?mode=+660", "an octal mode from 0 to 0777"),
            ("unix:/a?mode=0660&mode=0666", "an octal mode from 0 to 0777"),
            ("unix:/a?mode=77777777777777777777", "an octal mode from 0 to 0777"),
            ("unix:/a?Mode=0660", "nothing but ?mode=0660"),
            ("unix:/a?owner=root", "nothing but ?mode=0660"),
            ("unix:/a?", "nothing but ?mode=0660"),
            ("unix:/a?b?mode=0660", "cannot hold a `?`"),
        ] {
            let refused = read(text).expect_err(text);
            assert!(refused.contains(words), "{text}: {refused}");
        }
    }

    #[test]
    fn a_socket_that_everybody_may_open_is_not_near() {
        for (text, is_near) in [
            ("127.0.0.1:1", true),
            ("0.0.0.0:1", false),
            ("unix:/a", true),
            ("unix:/a?mode=0660", true),
            ("unix:/a?mode=0775", true),
            ("unix:/a?mode=0666", false),
            ("unix:/a?mode=0002", false),
        ] {
            assert_eq!(
                text.parse().map(|address: ListenAddress| address.is_near()),
                Ok(is_near),
                "{text}"
            );
        }
    }
}
