//! What the system says of the process.

use super::{SHOWN, start};
use crate::harness::{Database, Server, http::Metrics, process::Process};

fn of(metrics: &Metrics, name: &str) -> f64 {
    let shown = metrics.samples.get(&format!("process_{name}"));
    *shown.unwrap_or_else(|| panic!("no process_{name} in {}", metrics.page))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_process_is_shown_by_the_names_that_every_client_has() {
    let server = start(Database::sqlite().await).await;
    let metrics = server.metrics().await;
    let help = "# HELP process_cpu_seconds_total User and system CPU time that the process has spent\n\
                # TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total ";
    assert!(metrics.page.contains(help), "{}", metrics.page);
    let [resident, reserved] = ["resident_memory_bytes", "virtual_memory_bytes"];
    let megabyte = 1_048_576.0;
    assert!(of(&metrics, resident) > megabyte);
    assert!(of(&metrics, resident) < of(&metrics, reserved));
    let limit = of(&metrics, "max_fds");
    assert!((3.0..=limit).contains(&of(&metrics, "open_fds")), "of {limit}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_process_spends_and_holds_is_counted() {
    let server = Server::start_with(Database::sqlite().await, &SHOWN).await;
    let spent = of(&server.metrics().await, "cpu_seconds_total");
    // The kernel counts in hundredths of a second; to ask takes some.
    server.until_metrics(|metrics| of(metrics, "cpu_seconds_total") > spent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_start_is_that_of_the_process_and_not_of_the_machine() {
    let flags = ["--demo", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"];
    let mut server = Process::serve(&flags);
    let line = server.wait_for("metrics and probes are at http://");
    let address = line.split("http://").nth(1).unwrap();
    let digits = |letter: char| letter.is_ascii_digit() || ['.', ':'].contains(&letter);
    let address: String = address.chars().take_while(|letter| digits(*letter)).collect();
    let metrics = Metrics::read(address.parse().unwrap()).await;
    // The server's own start is some milliseconds later. The boot that the system counts from is to
    // the second.
    let later = metrics.of("start_time_seconds") - of(&metrics, "start_time_seconds");
    assert!((-2.0..60.0).contains(&later), "{later}");
    server.signal("TERM");
}
