//! Proxies with the configuration that is shipped, but for its ports.

use std::{
    env, fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
};

use super::common::{
    keeper::{Keeper, new_folder, until},
    postgres::free_port,
};

const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy");

/// How a proxy asks.
#[derive(Clone, Copy, Eq, PartialEq)]
pub enum Asked {
    /// By Envoy's ext_authz over gRPC.
    Grpc,
    /// Over HTTP, as nginx does.
    Nginx,
    /// Over HTTP, as others do.
    Forwarded,
}

/// A proxy, and how it is started.
pub struct Proxy {
    pub name: &'static str,
    pub asked: Asked,
    /// Its files in its folder of `deploy`.
    files: &'static [&'static str],
    /// Asks for its version.
    version: &'static str,
    arguments: &'static [&'static str],
    signal: &'static str,
    /// What stands in its files for its own ports, the service's and the authorizer's.
    ports: [&'static str; 3],
    /// The text that asks, up to another, and what is in its place where nobody is asked.
    asks: [&'static str; 3],
}

pub const PROXIES: [Proxy; 5] = [
    Proxy {
        name: "envoy",
        asked: Asked::Grpc,
        files: &["envoy.yaml"],
        version: "--version",
        arguments: &[
            "-c",
            "envoy.yaml",
            "--use-dynamic-base-id",
            "--concurrency",
            "1",
            "--log-level",
            "warning",
        ],
        signal: "KILL",
        ports: ["port_value: 10000 ", "port_value: 8000 ", "port_value: 50051 "],
        asks: [
            "          - name: envoy.filters.http.ext_authz",
            "          - name: envoy.filters.http.router",
            "",
        ],
    },
    Proxy {
        name: "nginx",
        asked: Asked::Nginx,
        files: &["nginx.conf"],
        version: "-v",
        arguments: &["-p", "./", "-e", "stderr", "-c", "nginx.conf"],
        signal: "TERM",
        ports: ["listen 10080;", "127.0.0.1:8000", "127.0.0.1:9191"],
        asks: ["auth_request /_entitlement;", "\n", ""],
    },
    Proxy {
        name: "haproxy",
        asked: Asked::Forwarded,
        files: &["haproxy.cfg", "entitlement.lua"],
        version: "-v",
        arguments: &["-f", "haproxy.cfg"],
        signal: "TERM",
        ports: ["bind :10300", "127.0.0.1:8000", "127.0.0.1:9191"],
        asks: [
            "http-request lua.entitlement",
            "\n",
            "http-request set-var(txn.entitlement) str(granted)",
        ],
    },
    Proxy {
        name: "caddy",
        asked: Asked::Forwarded,
        files: &["Caddyfile"],
        version: "version",
        arguments: &["run", "--config", "Caddyfile", "--adapter", "caddyfile"],
        signal: "TERM",
        ports: [":10200 {", "127.0.0.1:8000", "127.0.0.1:9191"],
        asks: ["forward_auth 127.0.0.1", "\t\tvars judged yes", ""],
    },
    Proxy {
        name: "traefik",
        asked: Asked::Forwarded,
        files: &["traefik.yaml", "dynamic.yaml"],
        version: "version",
        arguments: &["--configFile=traefik.yaml"],
        signal: "TERM",
        ports: [":10100", "127.0.0.1:8000", "127.0.0.1:9191"],
        asks: ["[vary, caller, entitlement]", "\n", "[vary, caller]"],
    },
];

/// A proxy that runs, and ends when this is dropped.
pub struct Proxied {
    pub port: u16,
    keeper: Keeper,
}

impl Proxied {
    pub fn log(&self) -> String {
        self.keeper.log()
    }
}

impl Proxy {
    /// What of it is not here.
    pub fn missing(&self) -> Option<String> {
        let folders =
            env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect::<Vec<_>>();
        if !folders.iter().any(|folder| folder.join(self.name).exists()) {
            return Some(format!("{} on the PATH", self.name));
        }
        let file = self.files.iter().map(|file| self.shipped(file)).find(|file| !file.exists())?;
        Some(file.display().to_string())
    }

    fn shipped(&self, file: &str) -> PathBuf {
        Path::new(DEPLOY).join(self.name).join(file)
    }

    /// The first line with a number of what it says of its version.
    pub fn version(&self) -> String {
        let output = Command::new(self.name).arg(self.version).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        let line = text.lines().find(|line| line.contains(|letter: char| letter.is_ascii_digit()));
        line.unwrap_or_default().trim().to_owned()
    }

    /// Starts one between clients and a service, which asks this authorizer, or nobody.
    pub fn start(&self, upstream: u16, authorizer: u16, asks: bool) -> Proxied {
        let (folder, port) = (new_folder(), free_port());
        let inner = format!("127.0.0.1:{}", free_port());
        let mut found = [false; 4];
        for file in self.files {
            let mut text = fs::read_to_string(self.shipped(file)).unwrap();
            for (number, from) in self.ports.iter().enumerate() {
                found[number] |= text.contains(from);
                text = text.replace(from, &at(from, [port, upstream, authorizer][number]));
            }
            if text.contains(self.asks[0]) {
                found[3] = true;
                text = if asks { text } else { self.without_asking(&text) };
            }
            fs::write(folder.join(file), text.replace("127.0.0.1:9190", &inner)).unwrap();
        }
        assert_eq!(found, [true; 4], "what the configuration of {} has", self.name);
        let arguments = self.arguments.iter();
        // nginx's workers are nobody's where root starts it.
        let start = if self.name == "nginx" { Keeper::start } else { Keeper::start_as_us };
        let keeper = start(folder, self.signal, self.name, arguments);
        until("a proxy listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Proxied { port, keeper }
    }

    fn without_asking(&self, text: &str) -> String {
        let [from, to, instead] = self.asks;
        let at = text.find(from).unwrap();
        let end = at + text[at..].find(to).unwrap();
        [&text[..at], instead, &text[end..]].concat()
    }
}

/// The same words with another port, on loopback.
fn at(words: &str, port: u16) -> String {
    let digits = words.trim_start_matches(|letter: char| !letter.is_ascii_digit());
    match words {
        "listen 10080;" => format!("listen 127.0.0.1:{port};"),
        _ if digits.starts_with("127.") => format!("127.0.0.1:{port}"),
        _ => {
            let before = &words[..words.len() - digits.len()];
            let after = digits.trim_start_matches(|letter: char| letter.is_ascii_digit());
            format!("{before}{port}{after}")
        }
    }
}
