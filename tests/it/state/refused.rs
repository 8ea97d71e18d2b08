//! Files and directories that are not used.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use aws_lc_rs::digest::{SHA256, digest};
use chrono::TimeDelta;
use entitlementd::{clock::Clock, server};
use tonic_health::pb::health_check_response::ServingStatus;

use super::{DIGEST, World, tenants_in};
use crate::harness::{Database, NOW, server::serve_args, until_so};

const FED: &[&str] = &["--poll-interval", "20ms"];

/// Nothing is restored from this file, which stays until there is something to write.
async fn is_refused(world: &World, content: &[u8]) {
    world.network.black_hole();
    fs::write(world.file(), content).unwrap();
    let server = world.start_at(NOW).await;
    let metrics = server.metrics().await;
    assert_eq!(metrics.of("state_file_failures_total"), 1.0);
    assert_eq!((metrics.of("cache_entries"), metrics.of("state_file_bytes")), (0.0, 0.0));
    assert_eq!(server.health("").await, ServingStatus::NotServing);
    assert_eq!(fs::read(world.file()).unwrap(), content);
    world.network.let_through();
    server.wait_until_ready().await;
    until_so("it is written anew", async || fs::read(world.file()).unwrap() != content).await;
    assert!(tenants_in(&world.file()).is_some());
    server.running.stop().await.unwrap();
}

/// The same bytes with a checksum that is right.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.len() - DIGEST);
    let digest = digest(&SHA256, &bytes);
    bytes.extend(digest.as_ref());
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_torn_a_longer_and_a_foreign_file_are_refused_and_then_written_anew() {
    let world = World::new(FED).await;
    world.ran_at(NOW).await;
    let whole = fs::read(world.file()).unwrap();
    is_refused(&world, &whole[..whole.len() - 1]).await;
    is_refused(&world, &[&whole[..], b"\0"].concat()).await;
    is_refused(&world, b"# This is the file of somebody else, who will not miss it").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_a_newer_version_is_left_alone_until_somebody_deletes_it() {
    let world = World::new(FED).await;
    world.ran_at(NOW).await;
    let mut newer = fs::read(world.file()).unwrap();
    newer[16] = 2;
    let newer = sealed(newer);
    fs::write(world.file(), &newer).unwrap();
    let mut server = world.start_at(NOW).await;
    server.wait_until_ready().await;
    server.until_held(1, "finance").await;
    server.until_metrics(|metrics| metrics.of("state_file_failures_total") >= 2.0).await;
    assert_eq!(fs::read(world.file()).unwrap(), newer);
    fs::remove_file(world.file()).unwrap();
    until_so("a file is written", async || tenants_in(&world.file()).is_some()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_from_a_time_that_is_yet_to_come_is_refused() {
    let world = World::new(FED).await;
    world.ran_at(NOW + TimeDelta::seconds(3)).await;
    let content = fs::read(world.file()).unwrap();
    is_refused(&world, &content).await;
}

/// Why a server does not start that is to keep its state in this directory.
async fn does_not_start(database: &Database, directory: &Path) -> String {
    let flags = ["--state-dir", directory.to_str().unwrap()];
    server::start(serve_args(&database.url, &flags), Clock::System).await.unwrap_err().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_of_another_database_is_told_at_the_start_and_its_file_stays() {
    let world = World::new(FED).await;
    world.ran_at(NOW).await;
    let before = fs::read(world.file()).unwrap();
    let other = Database::sqlite().await;
    let error = does_not_start(&other, &world.directory()).await;
    for words in ["--state-dir", "held.state", &world.database.name, "sqlite:"] {
        assert!(error.contains(words), "{error}");
    }
    assert_eq!(fs::read(world.file()).unwrap(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_others_may_write_to_is_told_at_the_start() {
    let database = Database::sqlite().await;
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let error = does_not_start(&database, folder.path()).await;
    assert!(error.contains("--state-dir") && error.contains("others may write to"), "{error}");
    let error = does_not_start(&database, &folder.path().join("missing/state")).await;
    assert!(error.contains("cannot be created"), "{error}");
}
