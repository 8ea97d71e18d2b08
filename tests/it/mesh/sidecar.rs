//! The sidecar of Kubernetes asks over mutual TLS, and is known by its certificate.

use entitlementd::{clock::Clock, server, server::Running};
use rcgen::ExtendedKeyUsagePurpose;

use crate::harness::{
    Database, Row, id,
    mesh::{Kind, Shipped, Upstream, port_of, send_to, shipped::changed},
    pki::{ALWAYS, Authority, Files},
    server::serve_args,
    until_so,
};

/// What the manifests call the server.
const SERVER: &str = "entitlementd.erp.svc";
/// What the certificate of a service says of it.
const ORDERS: &str = "spiffe://erp/ns/erp/sa/orders";

struct World {
    running: Running,
    upstream: Upstream,
    authority: Authority,
    files: Files,
    _database: Database,
}

impl World {
    /// A server with this name in its certificate, which answers proxies of [`ORDERS`] alone.
    async fn start(name: &str) -> Self {
        let database = Database::sqlite().await;
        database.mk_subscribed(1, "finance", Row::default()).await;
        let authority = Authority::new("the cluster's");
        let certificate = authority.issue(&[name], 1, ALWAYS, ExtendedKeyUsagePurpose::ServerAuth);
        let files = Files::new(&certificate);
        let orders = format!(
            "[[caller]]\nname = 'orders'\ncertificates = ['{ORDERS}']\nservices = ['ext-authz']\n"
        );
        let callers = files.put("callers.toml", &orders);
        let ca = files.put("ca.crt", &authority.pem);
        let mut flags = files.flags();
        let more = ["--client-ca", &ca, "--callers-file", &callers, "--changes", "off"];
        let as_deployed = ["--tenant-header", "x-claimed-tenant-id", "--unmatched", "tenant"];
        flags.extend(more.into_iter().chain(as_deployed).map(str::to_owned));
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let args = serve_args(&database.url, &flags);
        let running = server::start(args, Clock::System).await.unwrap();
        Self { running, upstream: Upstream::start().await, authority, files, _database: database }
    }

    /// Gives the sidecar a certificate with this name.
    fn issue(&self, authority: &Authority, name: &str) {
        let issued = authority.client(name, 2, ALWAYS);
        self.files.put("tls.crt", &issued.certificate);
        self.files.put("tls.key", &issued.key);
    }

    /// The sidecar as it is shipped, but for addresses and folders.
    fn sidecar(&self) -> Shipped {
        self.sidecar_that_believes(SERVER)
    }

    /// The same for a server with this name.
    fn sidecar_that_believes(&self, server: &str) -> Shipped {
        let name = format!("exact: {server}");
        let folder = self.files.path("").to_str().unwrap().trim_end_matches('/').to_owned();
        let secret = |name: &str| {
            let there = vec![("/etc/entitlementd-client".to_owned(), folder.clone())];
            self.files.put(name, &changed(&format!("deploy/kubernetes/sidecar/{name}"), there))
        };
        let (client, authorities) = (secret("client.yaml"), secret("authorities.yaml"));
        let changes = [
            ("/etc/envoy/client.yaml", client.as_str()),
            ("/etc/envoy/authorities.yaml", authorities.as_str()),
            ("entitlementd.erp.svc.cluster.local", "127.0.0.1"),
            ("exact: entitlementd.erp.svc", name.as_str()),
        ];
        let port = port_of(&self.running.address);
        Shipped::start_changed(Kind::Sidecar, self.upstream.port, port, &changes)
    }
}

async fn status(envoy: &Shipped) -> u16 {
    send_to(envoy.address, "GET", "/any", &[("x-tenant-id", &id(1))]).await.status
}

/// Asks more often than a sidecar needs to find the server.
async fn is_never_answered(envoy: &Shipped) {
    for _ in 0..20 {
        assert_eq!(status(envoy).await, 503, "{}", envoy.log());
    }
}

async fn is_answered(envoy: &Shipped) {
    until_so("the sidecar is answered", async || status(envoy).await == 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sidecar_shows_its_certificate_and_a_renewed_one_without_a_restart() {
    let world = World::start(SERVER).await;
    world.issue(&Authority::new("one that nobody knows"), ORDERS);
    let envoy = world.sidecar();
    is_never_answered(&envoy).await;
    world.issue(&world.authority, ORDERS);
    is_answered(&envoy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_that_is_no_caller_is_not_answered() {
    let world = World::start(SERVER).await;
    world.issue(&world.authority, "spiffe://erp/ns/erp/sa/nobody");
    is_never_answered(&world.sidecar()).await;
    world.issue(&world.authority, ORDERS);
    is_answered(&world.sidecar()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_another_name_in_its_certificate_is_not_believed() {
    const OTHER: &str = "somebody-else.erp.svc";
    let world = World::start(OTHER).await;
    world.issue(&world.authority, ORDERS);
    is_never_answered(&world.sidecar()).await;
    is_answered(&world.sidecar_that_believes(OTHER)).await;
}
