//! A real Prometheus, which scrapes servers and evaluates the rules that are shipped.

use std::{collections::BTreeMap, fs, net::SocketAddr, path::Path};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::{
    http::{self, Reply},
    keeper::{Keeper, new_folder, until_so},
    postgres::free_port,
};

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/prometheus");

/// A Prometheus with the configuration that is shipped, but for what it scrapes and how often.
pub struct Prometheus {
    address: SocketAddr,
    _keeper: Keeper,
}

/// A sample of an answer.
#[derive(Debug)]
pub struct Sample {
    #[expect(dead_code, reason = "it is shown where a test fails")]
    labels: BTreeMap<String, String>,
    pub value: f64,
}

impl Prometheus {
    /// Starts one, which looks four times a second.
    pub async fn start(targets: &[SocketAddr]) -> Self {
        let folder = new_folder();
        let targets: Vec<String> = targets.iter().map(SocketAddr::to_string).collect();
        let replaced = [
            ("scrape_interval: 15s", "scrape_interval: 250ms".to_owned()),
            ("evaluation_interval: 15s", "evaluation_interval: 250ms".to_owned()),
            ("targets: [127.0.0.1:9464]", format!("targets: [{}]", targets.join(", "))),
        ];
        let shipped = |name: &str| fs::read_to_string(Path::new(SHIPPED).join(name)).unwrap();
        let configuration = replaced.iter().fold(shipped("prometheus.yml"), |text, (from, to)| {
            assert!(text.contains(from), "{from}");
            text.replace(from, to)
        });
        fs::write(folder.join("prometheus.yml"), configuration).unwrap();
        for rules in ["recording.yml", "alerts.yml"] {
            fs::write(folder.join(rules), shipped(rules)).unwrap();
        }
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let flags = [
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=data",
            "--log.level=warn",
            &format!("--web.listen-address={address}"),
        ];
        let keeper = Keeper::start(folder, "KILL", "prometheus", flags);
        let prometheus = Self { address, _keeper: keeper };
        until_so("Prometheus is ready", async || {
            tokio::net::TcpStream::connect(address).await.is_ok()
                && prometheus.get("/-/ready").await.status == 200
        })
        .await;
        prometheus
    }

    /// In HTTP/1.0, whose answers come in one piece.
    async fn get(&self, path: &str) -> Reply {
        http::send(self.address, &format!("GET {path} HTTP/1.0\r\nHost: prometheus\r\n\r\n")).await
    }

    async fn data(&self, path: &str) -> Value {
        let reply = self.get(path).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.body);
        let answer: Value = serde_json::from_str(&reply.body).unwrap();
        assert_eq!(answer["status"], "success", "{path}: {answer}");
        answer["data"].clone()
    }

    /// What an expression says now: it must be one that can be evaluated, and give a vector.
    pub async fn query(&self, expression: &str) -> Vec<Sample> {
        let encoded = utf8_percent_encode(expression, NON_ALPHANUMERIC);
        let data = self.data(&format!("/api/v1/query?query={encoded}")).await;
        assert_eq!(data["resultType"], "vector", "{expression}");
        let sample = |sample: &Value| Sample {
            labels: serde_json::from_value(sample["metric"].clone()).unwrap(),
            value: sample["value"][1].as_str().unwrap().parse().unwrap(),
        };
        data["result"].as_array().unwrap().iter().map(sample).collect()
    }

    /// Does an expression give anything now?
    pub async fn finds(&self, expression: &str) -> bool {
        !self.query(expression).await.is_empty()
    }

    /// The rules as it has read them: `recording` or `alerting`.
    pub async fn rules(&self, kind: &str) -> Vec<Value> {
        let data = self.data("/api/v1/rules").await;
        let groups = data["groups"].as_array().unwrap();
        let rules = groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone());
        rules.filter(|rule| rule["type"] == kind).collect()
    }
}
