//! A decision log that others put aside, and SIGHUP.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use entitlementd::clock::Clock;

use super::{check, lines, until};
use crate::harness::process::Process;

/// The demo with a decision log, and its address.
fn serve(path: &Path, flags: &[&str]) -> (Process, String) {
    let own = ["--demo", "--listen", "127.0.0.1:0", "--decision-log", path.to_str().unwrap()];
    let mut server = Process::serve(&[&own, flags].concat());
    let address = server.address();
    server.wait_for("\"ready\"");
    (server, address)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hangup_opens_the_log_again_and_ends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let [path, callers] = ["decisions.jsonl", "callers.toml"].map(|name| folder.path().join(name));
    fs::write(&callers, "").unwrap();
    let (mut server, address) = serve(&path, &["--callers-file", callers.to_str().unwrap()]);
    let refused = check(&address, "finance").await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unauthenticated);
    fs::write(&callers, "no callers").unwrap();
    server.wait_for("--callers-file names");
    // What cannot be used is told once, and to everybody who asks.
    server.signal("HUP");
    server.wait_for("SIGHUP");
    server.wait_for("the decision log was opened again");
    if server.logged.matches("--callers-file names").count() < 2 {
        server.wait_for("--callers-file names");
    }
    check(&address, "finance").await.unwrap_err();
    server.signal("TERM");
    assert_eq!(server.wait(Duration::from_secs(30)), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_moved_log_is_there_again_within_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let [path, moved] = ["decisions.jsonl", "moved"].map(|name| folder.path().join(name));
    let (_server, address) = serve(&path, &[]);
    fs::rename(&path, &moved).unwrap();
    let moved_at = Instant::now();
    until(async || path.exists().then_some(())).await;
    // Twice what is promised: this machine is busy with other tests.
    assert!(moved_at.elapsed() < Duration::from_secs(2), "{:?}", moved_at.elapsed());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    check(&address, "no-such-module").await.unwrap();
    until(async || (lines(&path).len() == 1).then_some(())).await;
    assert!(lines(&moved).is_empty());
}

/// The file of `deploy` for another path. `reload`: what takes the place of `systemctl reload`.
fn configuration(folder: &Path, reload: &str) -> String {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/logrotate/entitlementd");
    let mut text = fs::read_to_string(shipped).unwrap();
    for (shipped, here) in [
        ("/var/lib/entitlementd/decisions.jsonl", folder.join("decisions.jsonl").to_str().unwrap()),
        ("systemctl reload entitlementd.service", reload),
    ] {
        assert!(text.contains(shipped), "{text}");
        text = text.replace(shipped, here);
    }
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logrotate_loses_no_line_with_or_without_a_signal() {
    for signals in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let [path, file, state] =
            ["decisions.jsonl", "logrotate.conf", "state"].map(|name| folder.path().join(name));
        let (mut server, address) = serve(&path, &[]);
        let reload =
            if signals { format!("kill -HUP {}", server.child.id()) } else { "true".to_owned() };
        fs::write(&file, configuration(folder.path(), &reload)).unwrap();
        // It refuses what others could write to.
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        for round in 0..3 {
            check(&address, "no-such-module").await.unwrap();
            until(async || (lines(&path).len() == 1).then_some(())).await;
            let mut logrotate = Command::new("logrotate");
            let path_of_root = format!("/usr/sbin:{}", std::env::var("PATH").unwrap());
            let output = logrotate
                .args(["--verbose", "--force", "--state"])
                .args([&state, &file])
                .env("PATH", path_of_root)
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "round {round}: {said}");
            until(async || path.exists().then_some(())).await;
            // The names of what is put aside have seconds in them.
            let second = || Clock::System.now().timestamp();
            let rotated_in = second();
            until(async || (second() > rotated_in).then_some(())).await;
        }
        let aside = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let aside: Vec<_> = aside
            .filter(|aside| *aside != path && aside.display().to_string().contains("jsonl"))
            .collect();
        assert_eq!(aside.len(), 3, "{aside:?}");
        let is_packed =
            |aside: &&std::path::PathBuf| aside.extension().is_some_and(|end| end == "gz");
        assert_eq!(aside.iter().filter(is_packed).count(), 2, "{aside:?}");
        let unpacked =
            aside.iter().filter(|aside| !is_packed(aside)).map(|aside| lines(aside).len());
        assert_eq!(unpacked.sum::<usize>(), 1);
        server.signal("TERM");
        assert_eq!(server.wait(Duration::from_secs(30)), 0);
    }
}
