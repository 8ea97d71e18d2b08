//! Several servers in processes of their own, and an Envoy that asks them.

use std::net::SocketAddr;

use crate::harness::{
    http::Metrics,
    id,
    mesh::{Kind, Shipped, send_to},
    postgres::free_port,
    process::{Process, until_serving},
    until_so,
};

/// A server in a process of its own, which comes back under the same address.
pub(super) struct Instance {
    pub(super) process: Process,
    address: String,
    metrics: SocketAddr,
    url: String,
}

impl Instance {
    /// So many of the database at this address.
    pub(super) async fn start_all<const COUNT: usize>(url: &str) -> [Self; COUNT] {
        let mut instances = Vec::new();
        for _ in 0..COUNT {
            instances.push(Self::start(url, format!("127.0.0.1:{}", free_port())).await);
        }
        instances.try_into().unwrap_or_else(|_| unreachable!())
    }

    async fn start(url: &str, address: String) -> Self {
        let flags = [
            "--database-url",
            url,
            "--listen",
            &address,
            "--metrics-listen",
            "127.0.0.1:0",
            "--tenant-header",
            "x-claimed-tenant-id",
            "--unmatched",
            "tenant",
            // What is held is not read again: what is read is what was asked about.
            "--revalidate-max-rate",
            "0",
        ];
        let mut process = Process::serve(&flags);
        let metrics = process.address_of("metrics").parse().unwrap();
        until_serving(&address).await;
        Self { process, address, metrics, url: url.to_owned() }
    }

    pub(super) async fn start_again(&mut self) {
        *self = Self::start(&self.url, self.address.clone()).await;
    }

    fn port(&self) -> u16 {
        self.address.rsplit_once(':').unwrap().1.parse().unwrap()
    }

    pub(super) async fn metrics(&self) -> Metrics {
        Metrics::read(self.metrics).await
    }

    /// How many questions it has answered.
    pub(super) async fn answered(&self) -> f64 {
        let of_envoy = |(series, value): (&String, &f64)| {
            series.starts_with("entitlementd_gateway_requests_total{").then_some(*value)
        };
        self.metrics().await.samples.iter().filter_map(of_envoy).sum()
    }
}

/// The shipped configuration with several addresses in the place of one. It has found every instance,
/// by asking about the first tenant.
pub(super) async fn envoy_before(instances: &[Instance], upstream: u16) -> Shipped {
    let endpoint = |port: u16| {
        format!(
            "- endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }} }}"
        )
    };
    // The first stays as it is shipped, and is given its port with the others.
    let shipped = endpoint(50051);
    let others = instances[1..].iter().map(|instance| endpoint(instance.port()));
    let all: Vec<_> = [shipped.clone()].into_iter().chain(others).collect();
    let all = all.join("\n        ");
    let envoy =
        Shipped::start_changed(Kind::Envoy, upstream, instances[0].port(), &[(&shipped, &all)]);
    for instance in instances {
        until_so("Envoy has found an instance", async || {
            send_to(envoy.address, "GET", "/any", &[("x-tenant-id", &id(1))]).await;
            instance.answered().await > 0.
        })
        .await;
    }
    envoy
}
