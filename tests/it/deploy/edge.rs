//! An instance and its edges with the flags of the manifests, and the callers that their README shows.

use std::{fs, net::SocketAddr, process::Command};

use entitlementd::{
    clock::Clock,
    proto::v1::{
        CheckModuleResponse, DecisionReason, entitlement_service_client::EntitlementServiceClient,
    },
    server::{self, Running},
};
use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
use tempfile::TempDir;

use super::{EDGES, arguments, edge, serve, text};
use crate::{
    harness::{
        Database, Row,
        pki::{ALWAYS, Authority, Issued},
        server::{check_request, connect},
        until_so,
    },
    readme::blocks,
};

/// Who the edges are, as the README says.
const EDGE: &str = "spiffe://erp/ns/erp/sa/entitlementd-edge";

/// The machines of a cluster: their folders, and who issues their certificates.
struct Cluster {
    folder: TempDir,
    authority: Authority,
    core: Running,
    _database: Database,
}

impl Cluster {
    async fn start() -> Self {
        let database = Database::sqlite().await;
        database.mk_subscribed(1, "finance", Row::default()).await;
        let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new("the cluster's"));
        let names = ["entitlementd.erp.svc", "localhost"];
        put_tls(&folder, "core", &authority, &authority.issue(&names, 1, ALWAYS, ServerAuth));
        let path = |name: &str| folder.path().join(name).display().to_string();
        fs::write(path("url"), &database.url).unwrap();
        fs::write(path("callers.toml"), &blocks(&text("kubernetes/README.md"), "toml")[0]).unwrap();
        let changes = [
            ("0.0.0.0:50051", "127.0.0.1:0".to_owned()),
            ("/etc/entitlementd/database", path("")),
            ("/etc/entitlementd/callers", path("")),
            ("/etc/entitlementd/tls", path("core")),
        ];
        let args = serve(&flags("kubernetes/base/deployment.yaml", &changes));
        let core = server::start(args, Clock::System).await.unwrap();
        Self { folder, authority, core, _database: database }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// An edge of this manifest, which goes by this name.
    async fn edge(&self, manifest: &str, name: &str) -> Running {
        let names = [name, "entitlementd-edge.erp.svc"];
        let issued = self.authority.issue_for(&names, 2, ALWAYS, &[ClientAuth, ServerAuth]);
        put_tls(&self.folder, "edge", &self.authority, &issued);
        for folder in ["run", "state"] {
            _ = fs::remove_dir_all(self.path(folder));
            fs::create_dir(self.path(folder)).unwrap();
        }
        let port = self.core.address.to_string().rsplit(':').next().unwrap().to_owned();
        let changes = [
            ("entitlementd.erp.svc:50051", format!("localhost:{port}")),
            ("/run/entitlementd", self.path("run")),
            ("/var/lib/entitlementd", self.path("state")),
            ("/etc/entitlementd/tls", self.path("edge")),
        ];
        server::start_edge(edge(&flags(manifest, &changes)), Clock::System).await.unwrap()
    }

    /// The status of a page, as Kubernetes asks for it, or Prometheus.
    fn status(&self, address: SocketAddr, page: &str, shows: bool) -> String {
        let name = "entitlementd-edge.erp.svc";
        let port = address.port();
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--output", "/dev/null", "--write-out", "%{http_code}"]);
        curl.args(["--max-time", "20", "--resolve", &format!("{name}:{port}:127.0.0.1")]);
        curl.args(["--cacert", &self.path("edge/ca.crt")]);
        if shows {
            // Prometheus has one of its own: any that the authority has issued will do.
            let (certificate, key) = (self.path("edge/tls.crt"), self.path("edge/tls.key"));
            curl.args(["--cert", &certificate, "--key", &key]);
        }
        let said = curl.arg(format!("https://{name}:{port}{page}")).output().unwrap();
        String::from_utf8(said.stdout).unwrap()
    }
}

fn put_tls(folder: &TempDir, name: &str, authority: &Authority, issued: &Issued) {
    let folder = folder.path().join(name);
    fs::create_dir_all(&folder).unwrap();
    let files =
        [("tls.crt", &issued.certificate), ("tls.key", &issued.key), ("ca.crt", &authority.pem)];
    for (file, pem) in files {
        fs::write(folder.join(file), pem).unwrap();
    }
}

/// The flags of a manifest, with addresses and folders of this machine.
fn flags(manifest: &str, changes: &[(&str, String)]) -> Vec<String> {
    let routes = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/kubernetes/base").to_owned();
    let anywhere = [
        ("0.0.0.0:9464", "127.0.0.1:0".to_owned()),
        ("/etc/entitlementd/routes", routes),
        ("--pre-drain=5s", "--pre-drain=0s".to_owned()),
    ];
    let changed = |flag: &str| {
        let all = changes.iter().chain(&anywhere);
        all.fold(flag.to_owned(), |flag, (from, to)| flag.replace(from, to))
    };
    arguments(&text(manifest)).into_iter().map(changed).collect()
}

/// What a service is answered that asks over the socket.
async fn check(edge: &Running) -> Option<CheckModuleResponse> {
    let mut client = EntitlementServiceClient::new(connect(&edge.address).await);
    let answer = client.check_module(check_request(1, "finance")).await;
    answer.ok().map(tonic::Response::into_inner)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_as_deployed_follows_an_instance_as_deployed_and_answers_on_its_socket() {
    let cluster = Cluster::start().await;
    for manifest in EDGES {
        let edge = cluster.edge(manifest, EDGE).await;
        let probes = edge.metrics_address.unwrap();
        until_so("it is ready", async || cluster.status(probes, "/readyz", false) == "200").await;
        until_so("it answers unmarked", async || {
            let answer = check(&edge).await.unwrap();
            assert_eq!(answer.reason(), DecisionReason::Enabled);
            !answer.freshness.unwrap().stale
        })
        .await;
        assert_eq!(cluster.status(probes, "/livez", false), "200");
        assert_eq!(cluster.status(probes, "/metrics", false), "403");
        assert_eq!(cluster.status(probes, "/metrics", true), "200");
        edge.stop().await.unwrap();
    }
    cluster.core.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_not_named_as_an_edge_is_sent_nothing() {
    let cluster = Cluster::start().await;
    // A service, which may ask and not follow.
    let edge = cluster.edge(EDGES[0], "spiffe://erp/ns/erp/sa/orders").await;
    let probes = edge.metrics_address.unwrap();
    until_so("it lives", async || cluster.status(probes, "/livez", false) == "200").await;
    for _ in 0..20 {
        assert_eq!(cluster.status(probes, "/readyz", false), "503");
        assert!(check(&edge).await.is_none());
    }
    edge.stop().await.unwrap();
    cluster.core.stop().await.unwrap();
}
