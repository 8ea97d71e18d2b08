//! Unix sockets, and who may open them.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
};

use entitlementd::proto::v1::entitlement_service_client::EntitlementServiceClient;
use entitlementd::{clock::Clock, config::ListenAddress, server};

use crate::{
    callers::callers,
    harness::{
        Database, process,
        server::{check_request, connect, serve_args},
    },
};

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

fn socket(folder: &tempfile::TempDir, name: &str) -> PathBuf {
    folder.path().join(name)
}

fn at(path: &Path, query: &str) -> ListenAddress {
    format!("unix:{}{query}", path.display()).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_listener_gives_its_socket_the_mode_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let [data, proxies, admins] = ["data", "proxies", "admins"].map(|name| socket(&folder, name));
    let tokens = socket(&folder, "tokens");
    let hash = "0".repeat(64);
    fs::write(&tokens, format!("somebody viewer {hash}\n")).unwrap();
    let database = Database::sqlite().await;
    // What was left behind has another mode, and nobody listens there.
    for path in [&data, &proxies, &admins] {
        drop(std::os::unix::net::UnixListener::bind(path).unwrap());
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    }
    for (query, expected) in [("?mode=0660", 0o660), ("?mode=0600", 0o600), ("?mode=775", 0o775)] {
        let mut args =
            serve_args(&database.url, &["--admin-tokens-file", tokens.to_str().unwrap()]);
        args.instance.listen = at(&data, query);
        args.instance.gateway.forward_auth_listen = Some(at(&proxies, query));
        args.admin.admin_listen = Some(at(&admins, query));
        let running = server::start(args, Clock::System).await.unwrap();
        for path in [&data, &proxies, &admins] {
            assert_eq!(mode(path), expected, "{}", path.display());
        }
        assert_eq!(running.address, at(&data, query), "it says so");
        let mut client = EntitlementServiceClient::new(connect(&running.address).await);
        client.check_module(check_request(1, "finance")).await.unwrap();
        drop(client);
        running.stop().await.unwrap();
        assert!(!data.exists() && !proxies.exists() && !admins.exists(), "they are removed");
    }
}

/// Connects as another user, as root only can become one.
fn can_connect(path: &Path, user: u32, group: u32) -> bool {
    let program = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])";
    let mut command = Command::new("python3");
    command.args(["-c", program]).arg(path).uid(user).gid(group);
    let output = command.output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() || complaint.contains("PermissionError"), "{complaint}");
    output.status.success()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_connect_is_what_the_mode_says() {
    const STRANGER: u32 = 65_432;
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let ours = fs::metadata(folder.path()).unwrap();
    if ours.uid() != 0 {
        println!(
            "only root can try it as somebody else: the modes themselves are compared elsewhere"
        );
        return;
    }
    let database = Database::sqlite().await;
    for (query, by_group, by_others) in [
        ("?mode=0600", false, false),
        ("?mode=0660", true, false),
        ("?mode=0640", false, false),
        ("?mode=0666", true, true),
    ] {
        let path = socket(&folder, "entitlementd.sock");
        let mut args = serve_args(&database.url, &["--insecure=callers"]);
        args.instance.listen = at(&path, query);
        let running = server::start(args, Clock::System).await.unwrap();
        let member = can_connect(&path, STRANGER, ours.gid());
        let stranger = can_connect(&path, STRANGER, STRANGER);
        assert_eq!((member, stranger), (by_group, by_others), "{query}");
        running.stop().await.unwrap();
    }
}

#[test]
fn a_socket_for_everybody_needs_callers_to_be_known() {
    let folder = tempfile::tempdir().unwrap();
    let address = at(&socket(&folder, "data"), "?mode=0666").to_string();
    for flag in ["--listen", "--forward-auth-listen"] {
        let output = process::run(&["serve", "--demo", flag, &address]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        let expected = format!("{flag} is {address}, where anybody may ask who reaches it: give");
        assert!(!output.status.success() && told.contains(&expected), "{told}");
    }
    let known = callers(&[("orders", "services = [\"entitlement\"]")]);
    let file = known.path().to_str().unwrap();
    for accepted in [&["--callers-file", file][..], &["--insecure=callers"]] {
        let flags = [&["--demo", "--listen", &*address], accepted].concat();
        let mut server = process::Process::serve(&flags);
        server.wait_for("\"ready\"");
    }
}

#[test]
fn a_socket_that_cannot_be_read_is_refused_with_what_was_expected() {
    for (address, words) in [
        ("unix:/run/e.sock?mode=0888", "an octal mode from 0 to 0777"),
        ("unix:/run/e.sock?owner=me", "nothing but ?mode=0660"),
    ] {
        for flag in ["--listen", "--forward-auth-listen", "--admin-listen"] {
            let output = process::run(&["serve", "--demo", flag, address]);
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{told}");
            assert!(told.contains(flag) && told.contains(words), "{told}");
        }
    }
}
