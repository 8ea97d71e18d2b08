//! Proxies as they are shipped, asking or not.

use std::{env, fs, path::Path, process::Command};

use super::mesh::{Kind, Shipped};

const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy");

/// A proxy, and what of its configuration asks.
pub struct Proxy {
    pub name: &'static str,
    pub kind: Kind,
    /// Asks for its version.
    version: &'static str,
    file: &'static str,
    /// The text that asks, up to another, and what is in its place where nobody is asked.
    asks: [&'static str; 3],
}

pub const PROXIES: [Proxy; 5] = [
    Proxy {
        name: "envoy",
        kind: Kind::Envoy,
        version: "--version",
        file: "envoy/envoy.yaml",
        asks: [
            "          - name: envoy.filters.http.ext_authz",
            "          - name: envoy.filters.http.router",
            "",
        ],
    },
    Proxy {
        name: "nginx",
        kind: Kind::Nginx,
        version: "-v",
        file: "nginx/nginx.conf",
        asks: ["auth_request /_entitlement;", "\n", ""],
    },
    Proxy {
        name: "haproxy",
        kind: Kind::Haproxy,
        version: "-v",
        file: "haproxy/haproxy.cfg",
        asks: [
            "http-request lua.entitlement",
            "\n",
            "http-request set-var(txn.entitlement) str(granted)",
        ],
    },
    Proxy {
        name: "caddy",
        kind: Kind::Caddy,
        version: "version",
        file: "caddy/Caddyfile",
        asks: ["forward_auth 127.0.0.1", "\t\tvars judged yes", ""],
    },
    Proxy {
        name: "traefik",
        kind: Kind::Traefik,
        version: "version",
        file: "traefik/dynamic.yaml",
        asks: ["[vary, caller, entitlement]", "\n", "[vary, caller]"],
    },
];

impl Proxy {
    /// Is its program on the PATH?
    pub fn is_here(&self) -> bool {
        let path = env::var_os("PATH").unwrap_or_default();
        env::split_paths(&path).any(|folder| folder.join(self.name).exists())
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
    pub fn start(&self, upstream: u16, authorizer: u16, asks: bool) -> Shipped {
        if asks {
            return Shipped::start(self.kind, upstream, authorizer);
        }
        let text = fs::read_to_string(Path::new(DEPLOY).join(self.file)).unwrap();
        let [from, to, instead] = self.asks;
        let at = text.find(from).unwrap();
        let asking = &text[at..at + text[at..].find(to).unwrap()];
        Shipped::start_changed(self.kind, upstream, authorizer, &[(asking, instead)])
    }
}
