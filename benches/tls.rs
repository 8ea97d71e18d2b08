//! What TLS costs at steady state: CheckModule over it against the same in the clear, side by side
//! in one run.
//!
//! Each server has core 0 while it is asked, and the load has the other one. Connections are made
//! before a round is counted in full: a round has ten handshakes. BENCH_ROUNDS and BENCH_MILLIS (of
//! a round) change what is run.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::pedantic,
    reason = "a benchmark that fails ends"
)]

#[expect(dead_code, reason = "this benchmark needs a part")]
mod common;
#[expect(dead_code, reason = "this benchmark needs a part")]
#[path = "common/load.rs"]
mod load;

use std::{env, path::Path, sync::Arc, time::Duration};

use common::{Process, program_on_core, quartiles};
use entitlementd::proto::v1::CheckModuleRequest;
use load::{body, drive_over};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs},
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CHECK_MODULE: &str = "/entitlement.v1.EntitlementService/CheckModule";
/// `allowed: true`, the first field of the answer.
const ALLOWED: [u8; 2] = [0x08, 0x01];
const TENANTS: u32 = 1_000;
/// Connections, and streams on each.
const LOAD: [usize; 2] = [10, 20];

fn main() {
    if env::var("BENCH_ROLE").as_deref() == Ok("load") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(measure());
    }
    common::run_as("load", "1");
}

fn question(tenant: u32) -> Vec<u8> {
    let module_code = common::MODULES[tenant as usize % common::MODULES.len()].to_owned();
    body(&CheckModuleRequest { tenant_id: common::id(tenant), module_code, ..Default::default() })
}

fn start(url: &str, flags: &[&str]) -> (Process, u16) {
    let mut command = program_on_core("0");
    command.args(["serve", "--listen", "127.0.0.1:0", "--database-url", url]).args(flags);
    let mut process = Process::start(command);
    let port = process.port();
    process.wait_for(": ready");
    (process, port)
}

/// Writes a certificate and its key, and says how to believe it.
fn certify(folder: &Path) -> TlsConnector {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join("cert.pem"), cert.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), signing_key.serialize_pem()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder =
        builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsConnector::from(Arc::new(config))
}

async fn measure() {
    let setting = |name: &str, default: u64| {
        env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (rounds, millis) = (setting("BENCH_ROUNDS", 15), setting("BENCH_MILLIS", 1000));
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("bench.db").display());
    common::process::migrate(&url);
    common::fill(&url, TENANTS).await;
    let connector = certify(folder.path());
    let [cert, key] =
        ["cert.pem", "key.pem"].map(|name| folder.path().join(name).to_str().unwrap().to_owned());
    let (_clear, clear) = start(&url, &[]);
    let (_secured, secured) = start(&url, &["--tls-cert", &cert, "--tls-key", &key]);

    let bodies: Vec<Vec<u8>> = (0..TENANTS).map(question).collect();
    println!("machine: {}", common::machine());
    println!("{rounds} rounds of {millis} ms each");
    let duration = Duration::from_millis(millis);
    let ask = async |tls: bool| {
        let (connector, port) = if tls { (Some(&connector), secured) } else { (None, clear) };
        drive_over(connector, port, CHECK_MODULE, &bodies, &ALLOWED, LOAD, duration)
            .await
            .per_second()
    };
    _ = (ask(false).await, ask(true).await);
    let (mut plain, mut tls, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..rounds {
        let first = number % 2 == 0;
        let one = ask(first).await;
        let other = ask(!first).await;
        let (secured, clear) = if first { (one, other) } else { (other, one) };
        plain.push(clear);
        tls.push(secured);
        ratios.push(secured / clear);
    }
    let [low, median, high] = quartiles(&ratios);
    println!("in the clear {:.0}/s, over TLS {:.0}/s", quartiles(&plain)[1], quartiles(&tls)[1]);
    println!("ratio {median:.3} ({low:.3} to {high:.3})");
}
