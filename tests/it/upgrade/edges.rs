//! Edges and cores of this version and of those before: one has no edges yet, the other has.

use std::{net::SocketAddr, path::Path, time::Duration};

use entitlementd::proto::v1::entitlement_service_client::EntitlementServiceClient;
use tonic::transport::Channel;

use super::{
    flags,
    fleet::Fleet,
    migrate_beside, old_database,
    previous::{WITH_EDGES, WITHOUT_EDGES},
};
use crate::harness::{
    Row, http,
    process::{self, Process},
    proxy::Proxy,
    server::check_request,
    until_so,
};

/// An edge that asks what is behind these.
fn edge(upstreams: &[&Proxy]) -> Process {
    edge_of(Process::edge, upstreams, &[])
}

/// The same, started by a version, with more flags.
fn edge_of(start: impl Fn(&[&str]) -> Process, upstreams: &[&Proxy], more: &[&str]) -> Process {
    let urls = upstreams.iter().map(|way| format!("--upstream=http://127.0.0.1:{}", way.port()));
    let urls: Vec<String> = urls.collect();
    let fixed = ["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"];
    let fixed = fixed.into_iter().chain(more.iter().copied());
    let flags: Vec<&str> = fixed.chain(urls.iter().map(String::as_str)).collect();
    start(&flags)
}

/// Until it is, unmarked.
async fn until_granted(client: &mut EntitlementServiceClient<Channel>) {
    until_so("it is granted", async || {
        let answer = client.check_module(check_request(1, "finance")).await.unwrap().into_inner();
        answer.allowed && !answer.freshness.unwrap().stale
    })
    .await;
}

async fn way_to(server: &mut Process) -> Proxy {
    Proxy::to(port_of(server)).await
}

fn port_of(server: &mut Process) -> u16 {
    server.address().parse::<SocketAddr>().unwrap().port()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_a_core_of_the_version_before_an_edge_says_what_is_missing_and_is_ready_once_that_is_new()
 {
    let database = old_database(WITHOUT_EDGES).await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    let mut old = WITHOUT_EDGES.serve(&flags(&database));
    let way = way_to(&mut old).await;
    let mut edge = edge(&[&way]);
    let probes = edge.address_of("metrics and probes");
    let line = edge.wait_for("no upstream can be followed");
    let url = format!("http://127.0.0.1:{}", way.port());
    assert!(line.contains(&url) && line.contains("there is no ReplicationService"), "{line}");
    let unready = http::get(probes.parse().unwrap(), "/readyz").await;
    assert_eq!(unready.status, 503);
    assert!(unready.body.starts_with("unready: the upstream has not answered yet"), "{unready:?}");

    process::migrate(&database.url);
    let mut new = Process::serve(&flags(&database));
    way.point_at(port_of(&mut new));
    // Nobody restarts it.
    until_granted(&mut edge.client().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_cores_are_upgraded_one_by_one_an_edge_follows_one_that_is_new() {
    let mut fleet = Fleet::new(old_database(WITHOUT_EDGES).await).await;
    let database = fleet.database.again().await;
    let mut old = [(); 2].map(|()| WITHOUT_EDGES.serve(&flags(&database)));
    let ways = [way_to(&mut old[0]).await, way_to(&mut old[1]).await];
    for (name, old) in ["old, 1", "old, 2"].into_iter().zip(old) {
        fleet.join(name, old).await;
    }
    let mut edge = edge(&[&ways[0], &ways[1]]);
    edge.wait_for("no upstream can be followed");
    migrate_beside(&mut fleet).await;
    fleet.flip_times(2).await;

    let replace = async |fleet: &mut Fleet, place: usize, old, new| {
        let mut process = Process::serve(&flags(&database));
        ways[place].point_at(port_of(&mut process));
        fleet.join(new, process).await;
        fleet.leave(old);
    };
    replace(&mut fleet, 0, "old, 1", "new, 1").await;
    let following = edge.wait_for("following the upstream");
    assert!(following.contains(&ways[0].port().to_string()), "{following}");
    fleet.join_edge("edge", edge).await;
    fleet.flip_times(4).await;
    replace(&mut fleet, 1, "old, 2", "new, 2").await;
    fleet.flip_times(2).await;
    // The one that it follows, as in the next upgrade.
    fleet.leave("new, 1");
    fleet.flip_times(4).await;
    fleet.leave("edge");
}

/// The old one ends, and whoever asked it finds the new one on the same way.
fn take_the_place_of(name: &'static str, way: &Proxy, new: &mut Process, fleet: &mut Fleet) {
    let port = port_of(new);
    fleet.leave(name);
    way.point_at(port);
}

/// Two cores, two edges at both of them, and one below each edge; all of the version before.
struct Chains {
    fleet: Fleet,
    /// To the cores, and to the edges at them.
    cores: [Proxy; 2],
    edges: [Proxy; 2],
}

const CORES: [&str; 2] = ["core, 1", "core, 2"];
const EDGES: [&str; 2] = ["edge, 1", "edge, 2"];
const BELOW: [&str; 2] = ["below, 1", "below, 2"];

impl Chains {
    async fn of_the_version_before() -> Self {
        let mut fleet = Fleet::new(old_database(WITH_EDGES).await).await;
        let database = fleet.database.again().await;
        let mut cores = [(); 2].map(|()| WITH_EDGES.serve(&flags(&database)));
        let to_cores = [way_to(&mut cores[0]).await, way_to(&mut cores[1]).await];
        for (name, core) in CORES.into_iter().zip(cores) {
            fleet.join(name, core).await;
        }
        let at_cores =
            || edge_of(|flags| WITH_EDGES.edge(flags), &[&to_cores[0], &to_cores[1]], &[]);
        let mut edges = [(); 2].map(|()| at_cores());
        let to_edges = [way_to(&mut edges[0]).await, way_to(&mut edges[1]).await];
        for (name, edge) in EDGES.into_iter().zip(edges) {
            fleet.join_edge(name, edge).await;
        }
        for (name, way) in BELOW.into_iter().zip(&to_edges) {
            let below = edge_of(|flags| WITH_EDGES.edge(flags), &[way], &["--hold", "all"]);
            fleet.join_edge(name, below).await;
        }
        fleet.flip_times(2).await;
        Self { fleet, cores: to_cores, edges: to_edges }
    }

    async fn upgrade_cores(&mut self) {
        let database = self.fleet.database.again().await;
        for (name, way) in CORES.into_iter().zip(&self.cores) {
            let mut new = Process::serve(&flags(&database));
            take_the_place_of(name, way, &mut new, &mut self.fleet);
            self.fleet.join(name, new).await;
            self.fleet.flip_times(4).await;
        }
    }

    async fn upgrade_edges(&mut self) {
        for (name, way) in EDGES.into_iter().zip(&self.edges) {
            let mut new = edge(&[&self.cores[0], &self.cores[1]]);
            take_the_place_of(name, way, &mut new, &mut self.fleet);
            self.fleet.join_edge(name, new).await;
            self.fleet.flip_times(4).await;
        }
    }

    async fn upgrade_those_below(&mut self) {
        for (name, way) in BELOW.into_iter().zip(&self.edges) {
            let new = edge_of(Process::edge, &[way], &["--hold", "all"]);
            self.fleet.leave(name);
            self.fleet.join_edge(name, new).await;
            self.fleet.flip_times(4).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chains_are_upgraded_from_the_cores_down_and_every_change_arrives_everywhere() {
    let mut chains = Chains::of_the_version_before().await;
    migrate_beside(&mut chains.fleet).await;
    chains.upgrade_cores().await;
    chains.upgrade_edges().await;
    chains.upgrade_those_below().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chains_are_upgraded_from_the_last_edges_up_and_every_change_arrives_everywhere() {
    let mut chains = Chains::of_the_version_before().await;
    chains.upgrade_those_below().await;
    chains.upgrade_edges().await;
    migrate_beside(&mut chains.fleet).await;
    chains.upgrade_cores().await;
}

/// What an edge held is served by an edge of the other version while nobody answers, marked.
async fn is_read_by(
    writes: impl Fn(&[&str]) -> Process,
    reads: impl Fn(&[&str]) -> Process,
    folder: &Path,
) {
    let database = old_database(WITH_EDGES).await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    process::migrate(&database.url);
    let mut core = Process::serve(&flags(&database));
    let way = way_to(&mut core).await;
    let state = ["--hold", "all", "--state-dir", folder.to_str().unwrap()];
    let mut first = edge_of(writes, &[&way], &state);
    until_granted(&mut first.client().await).await;
    first.signal("TERM");
    assert_eq!(first.wait(Duration::from_secs(60)), 0, "{}", first.logged);
    way.black_hole();

    let mut second = edge_of(reads, &[&way], &state);
    let mut client = second.client().await;
    let answer = client.check_module(check_request(1, "finance")).await.unwrap().into_inner();
    assert!(answer.allowed && answer.freshness.unwrap().stale, "{answer:?}: {}", second.logged);
    way.let_through();
    until_granted(&mut client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_files_of_either_version_are_read_by_the_other() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let old = |flags: &[&str]| WITH_EDGES.edge(flags);
    is_read_by(old, Process::edge, folders[0].path()).await;
    is_read_by(Process::edge, old, folders[1].path()).await;
}
