//! Writes the documents that are generated from the program, and the files that are deployed from
//! more than one folder: `cargo run --example generate_docs`.
//!
//! A test compares them with what would be written, so that none is out of date.

use std::{
    error::Error,
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
};

use clap::Parser;
use entitlementd::{
    clock::Clock,
    config::{Cli, Command},
    server,
};

#[path = "generate_docs/configuration.rs"]
mod configuration;
#[path = "generate_docs/deployed.rs"]
mod deployed;
#[path = "generate_docs/metrics.rs"]
mod metrics;

fn main() -> Result<(), Box<dyn Error>> {
    let documents = [
        (configuration::PATH, configuration::render()),
        (metrics::PATH, metrics::render(&metrics_of_a_server()?)),
    ];
    for (path, text) in documents.into_iter().chain(deployed::render()?) {
        fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(path), text)?;
        println!("{path}");
    }
    Ok(())
}

/// What a server shows that has just started.
fn metrics_of_a_server() -> Result<String, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let database = format!("sqlite:{}", folder.path().join("metrics.db").display());
    let any = "127.0.0.1:0";
    let cli = [
        "entitlementd",
        "serve",
        "--listen",
        any,
        "--metrics-listen",
        any,
        "--database-url",
        &database,
    ];
    let Command::Serve(args) = Cli::try_parse_from(cli)?.command else {
        return Err("it serves".into());
    };
    let runtime = tokio::runtime::Runtime::new()?;
    let running = runtime.block_on(server::start(*args, Clock::System))?;
    let page = get(running.metrics_address.ok_or("it shows metrics")?);
    runtime.block_on(running.stop())?;
    Ok(page?)
}

fn get(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET /metrics HTTP/1.1\r\nhost: {address}\r\n\r\n")?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    Ok(response.split_once("\r\n\r\n").map(|(_, page)| page.to_owned()).unwrap_or_default())
}
