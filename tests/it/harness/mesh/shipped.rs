//! Proxies that run with the files that are shipped, but for their ports.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::Command,
};

use super::{
    super::{
        http::Reply,
        keeper::{self, Keeper, new_folder},
        postgres::free_port,
    },
    send_to,
};

/// A proxy, and where it is one of several ways to set it up, which.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Envoy,
    /// That of Kubernetes, which asks over TLS.
    Sidecar,
    /// The one that asks an edge over a Unix socket, and no port.
    BesideEdge,
    Nginx,
    Traefik,
    Caddy,
    Haproxy,
    /// Plain Envoy, with the filter that Istio makes of its `envoyExtAuthzGrpc`.
    IstioGrpc,
    /// The same of its `envoyExtAuthzHttp`.
    IstioHttp,
    /// Plain nginx, with what the controller of ingress-nginx makes of an Ingress.
    IngressNginx,
}

/// A file of a proxy, and its words that are replaced.
type Changed = (&'static str, Vec<(String, String)>);

/// Where a proxy that is started takes part.
struct Ports {
    own: u16,
    /// HTTP/2 without TLS, where that has a port of its own.
    own_http2: u16,
    /// The proxy's own way to the server, where it has one.
    questions: u16,
    upstream: u16,
    authorizer: u16,
}

/// A proxy between clients and a service.
pub struct Shipped {
    pub address: SocketAddr,
    /// Where it takes HTTP/2 without TLS.
    pub http2_address: SocketAddr,
    keeper: Keeper,
}

impl Kind {
    pub const ALL: [Self; 8] = [
        Self::Envoy,
        Self::Nginx,
        Self::Traefik,
        Self::Caddy,
        Self::Haproxy,
        Self::IstioGrpc,
        Self::IstioHttp,
        Self::IngressNginx,
    ];

    /// It asks over HTTP, and not over gRPC.
    pub fn asks_over_http(self) -> bool {
        !matches!(self, Self::Envoy | Self::Sidecar | Self::BesideEdge | Self::IstioGrpc)
    }

    /// The program, and what it is started with. Whether whoever runs the tests may run it: what is
    /// in this folder another user may not reach.
    fn program(self) -> (&'static str, &'static [&'static str], bool) {
        match self {
            Self::Envoy | Self::Sidecar | Self::BesideEdge | Self::IstioGrpc | Self::IstioHttp => {
                ("envoy", &ENVOY_FLAGS, true)
            }
            Self::Nginx | Self::IngressNginx => {
                ("nginx", &["-p", "./", "-e", "stderr", "-c", "nginx.conf"], false)
            }
            Self::Traefik => ("traefik", &["--configFile=traefik.yaml"], true),
            Self::Caddy => {
                ("caddy", &["run", "--config", "Caddyfile", "--adapter", "caddyfile"], true)
            }
            Self::Haproxy => ("haproxy", &["-f", "haproxy.cfg"], false),
        }
    }

    /// Which of the mesh's extension providers asks.
    fn istio_provider(self) -> Option<&'static str> {
        match self {
            Self::IstioGrpc => Some("entitlementd"),
            Self::IstioHttp => Some("entitlementd-http"),
            _ => None,
        }
    }

    /// What is shipped as it is. Istio makes a configuration of what is.
    fn files(self, ports: &Ports) -> Vec<Changed> {
        let Ports { own, own_http2, questions, upstream, authorizer } = *ports;
        let local = |port: u16| format!("127.0.0.1:{port}");
        let service = ("127.0.0.1:8000".to_owned(), local(upstream));
        let grpc_service = ("127.0.0.1:8001".to_owned(), local(upstream));
        let entitlementd = ("127.0.0.1:9191".to_owned(), local(authorizer));
        let questions = ("127.0.0.1:9190".to_owned(), local(questions));
        let envoy =
            |from: u16, to: u16| (format!("port_value: {from} "), format!("port_value: {to} "));
        match self {
            Self::Envoy | Self::Sidecar | Self::BesideEdge => {
                let ports = [(10000, own), (8000, upstream), (8001, upstream), (50051, authorizer)];
                let (file, ports) = match self {
                    Self::Sidecar => ("deploy/kubernetes/sidecar/envoy.yaml", &ports[..]),
                    Self::BesideEdge => ("deploy/kubernetes/edge/envoy/envoy.yaml", &ports[..3]),
                    _ => ("deploy/envoy/envoy.yaml", &ports[..]),
                };
                vec![(file, ports.iter().map(|(from, to)| envoy(*from, *to)).collect())]
            }
            Self::IstioGrpc | Self::IstioHttp => Vec::new(),
            Self::Nginx => {
                let listens = ("listen 10080;".to_owned(), format!("listen 127.0.0.1:{own};"));
                let http2 = ("listen 10090 ".to_owned(), format!("listen 127.0.0.1:{own_http2} "));
                let changes = vec![listens, http2, service, grpc_service, entitlementd];
                vec![("deploy/nginx/nginx.conf", changes)]
            }
            Self::IngressNginx => {
                let listens = ("listen 10480;".to_owned(), format!("listen 127.0.0.1:{own};"));
                let http2 = ("listen 10481 ".to_owned(), format!("listen 127.0.0.1:{own_http2} "));
                let entitlementd =
                    ("entitlementd.erp.svc.cluster.local:9191".to_owned(), local(authorizer));
                let changes = vec![listens, http2, service, grpc_service, entitlementd];
                vec![("tests/fixtures/ingress-nginx.conf", changes)]
            }
            Self::Traefik => {
                let listens = ("\":10100\"".to_owned(), format!("\"{}\"", local(own)));
                let changes = vec![questions.clone(), service, grpc_service, entitlementd];
                vec![
                    ("deploy/traefik/dynamic.yaml", changes),
                    ("deploy/traefik/traefik.yaml", vec![listens, questions]),
                ]
            }
            Self::Caddy => {
                let listens = (":10200 {".to_owned(), format!("http://:{own} {{"));
                vec![("deploy/caddy/Caddyfile", vec![listens, service, grpc_service, entitlementd])]
            }
            Self::Haproxy => {
                let listens = ("bind :10300".to_owned(), format!("bind {}", local(own)));
                let changes = vec![listens, questions.clone(), service, grpc_service, entitlementd];
                vec![
                    ("deploy/haproxy/haproxy.cfg", changes),
                    ("deploy/haproxy/entitlement.lua", vec![questions]),
                ]
            }
        }
    }
}

const ENVOY_FLAGS: [&str; 7] =
    ["-c", "envoy.yaml", "--use-dynamic-base-id", "--concurrency", "1", "--log-level", "warning"];

impl Shipped {
    /// Starts one between clients and a service, which asks whatever listens on `authorizer`.
    pub fn start(kind: Kind, upstream: u16, authorizer: u16) -> Self {
        Self::start_changed(kind, upstream, authorizer, &[])
    }

    /// The same with some words of its first file replaced.
    pub fn start_changed(
        kind: Kind,
        upstream: u16,
        authorizer: u16,
        changes: &[(&str, &str)],
    ) -> Self {
        let (own, questions) = (free_port(), free_port());
        let has_two = matches!(kind, Kind::Nginx | Kind::IngressNginx);
        let own_http2 = if has_two { free_port() } else { own };
        let ports = Ports { own, own_http2, questions, upstream, authorizer };
        let mut files = kind.files(&ports);
        let changes = changes.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned()));
        // First, since they are words of what is shipped.
        if let Some((_, own)) = files.first_mut() {
            own.splice(0..0, changes);
        }
        let folder = new_folder();
        if let Some(provider) = kind.istio_provider() {
            fs::write(folder.join("envoy.yaml"), istio(provider, &ports)).unwrap();
        }
        for (file, changes) in files {
            let name = file.rsplit('/').next().unwrap().replace("ingress-", "");
            fs::write(folder.join(name), changed(file, changes)).unwrap();
        }
        let keeper = run(kind, folder);
        let address = SocketAddr::from(([127, 0, 0, 1], own));
        keeper::until(&format!("{kind:?} listens"), || is_ready(kind, address));
        Self { address, http2_address: SocketAddr::from(([127, 0, 0, 1], own_http2)), keeper }
    }

    /// What it logged, its access log among it.
    pub fn log(&self) -> String {
        self.keeper.log()
    }

    /// Sends a request with these headers, and reads the answer.
    pub async fn send(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Reply {
        send_to(self.address, method, target, headers).await
    }
}

fn run(kind: Kind, folder: PathBuf) -> Keeper {
    let (name, flags, as_us) = kind.program();
    let start = if as_us { Keeper::start_as_us } else { Keeper::start };
    start(folder, if as_us { "KILL" } else { "TERM" }, name, flags)
}

/// What Istio makes of the files in `deploy/istio`, by our own program in `tests/istio`.
fn istio(provider: &str, ports: &Ports) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/istio");
    let ports = [ports.own, ports.upstream, ports.authorizer].map(|port| port.to_string());
    let made = Command::new(keeper::program("istio-envoy"))
        .args([folder, provider])
        .args(ports)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    made.stdout
}

/// It listens, and knows where requests go: until then Traefik answers 404 to what it answers itself
/// later on, a browser's preflight.
fn is_ready(kind: Kind, address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else { return false };
    if kind != Kind::Traefik {
        return true;
    }
    let asked = "OPTIONS / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
        Origin: https://erp.example\r\nAccess-Control-Request-Method: GET\r\n\r\n";
    let mut answer = String::new();
    let asked = stream.write_all(asked.as_bytes());
    asked.and_then(|()| stream.read_to_string(&mut answer)).is_ok() && answer.contains(" 200 ")
}

/// A shipped file, with words of it replaced.
pub fn changed(file: &str, changes: Vec<(String, String)>) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = fs::read_to_string(path).unwrap();
    changes.into_iter().fold(text, |text, (from, to)| {
        assert!(text.contains(&from), "{file} has no {from:?}");
        text.replace(&from, &to)
    })
}
