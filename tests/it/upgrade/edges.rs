//! Edges of this version, and cores of the version before, which has no edges. Once it has, its edges are
//! to be tried at cores of this one too.

use std::net::SocketAddr;

use super::{flags, fleet::Fleet, migrate_beside, old_database, previous};
use crate::harness::{
    Row, http,
    process::{self, Process},
    proxy::Proxy,
    server::check_request,
    until_so,
};

/// An edge that asks what is behind these.
fn edge(upstreams: &[&Proxy]) -> Process {
    let urls = upstreams.iter().map(|way| format!("--upstream=http://127.0.0.1:{}", way.port()));
    let urls: Vec<String> = urls.collect();
    let fixed = ["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"];
    let flags: Vec<&str> = fixed.into_iter().chain(urls.iter().map(String::as_str)).collect();
    Process::edge(&flags)
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
    let database = old_database().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    let mut old = previous::serve(&flags(&database));
    let way = way_to(&mut old).await;
    let mut edge = edge(&[&way]);
    let (address, probes) = (edge.address(), edge.address_of("metrics and probes"));
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
    process::until_serving(&address).await;
    let mut client = process::connect(&address).await;
    until_so("it is granted", async || {
        let answer = client.check_module(check_request(1, "finance")).await.unwrap().into_inner();
        answer.allowed && !answer.freshness.unwrap().stale
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_cores_are_upgraded_one_by_one_an_edge_follows_one_that_is_new() {
    let mut fleet = Fleet::new(old_database().await).await;
    let database = fleet.database.again().await;
    let mut old = [(); 2].map(|()| previous::serve(&flags(&database)));
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
