//! The log: what others write in it, and how often.

use std::time::{Duration, Instant};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use entitlementd::proto::v1::ResolveTenantRequest;

use crate::harness::{
    process::{Process, connect},
    reason_of,
};

/// A line break and a line, a sequence that clears the screen, one of a single character, and
/// letters turned around.
const FORGED: &str = "x\n2026-01-01T00:00:00Z ERROR forged\r\u{1b}[2J\u{9b}2J\u{2028}\u{202e}";

fn acts(letter: char) -> bool {
    letter.is_control() || ['\u{2028}', '\u{202e}'].contains(&letter)
}

fn with_token(token: &str) -> ResolveTenantRequest {
    ResolveTenantRequest { bearer_token: token.to_owned(), ..Default::default() }
}

/// A token whose header names an algorithm of its own.
fn forged_token() -> String {
    let header = serde_json::json!({ "alg": FORGED, "typ": "JWT" }).to_string();
    format!("{}.e30.", URL_SAFE_NO_PAD.encode(header))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_a_caller_sends_adds_a_line_or_acts_on_a_terminal() {
    for format in ["pretty", "json"] {
        let secret = crate::harness::token::secret_file();
        let secret = secret.path().to_str().unwrap();
        let flags = [
            "--demo",
            "--listen",
            "127.0.0.1:0",
            "--jwt-secret-file",
            secret,
            "--log-level",
            "debug",
        ];
        let mut server = Process::serve_in(format, &flags);
        let line = server.wait_for("listening on ");
        let (_, rest) = line.split_once("listening on ").unwrap();
        let address = rest.split([' ', '"']).next().unwrap();
        server.wait_for("ready");
        let mut client = connect(address).await;
        let error = client.resolve_tenant(with_token(&forged_token())).await.unwrap_err();
        assert_eq!(reason_of(&error), "TOKEN_INVALID");
        drop(client);
        server.signal("TERM");
        assert_eq!(server.wait(Duration::from_secs(30)), 0);
        let lines: Vec<&str> = server.logged.lines().collect();
        assert!(
            lines.iter().any(|line| line.contains("ERROR forged")),
            "{format}: the text is there"
        );
        assert!(!lines.iter().any(|line| line.contains(acts)), "{format}: {lines:?}");
        assert!(
            !lines.iter().any(|line| line.starts_with("2026-01-01T00:00:00Z")),
            "{format}: {lines:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_refusals_is_a_line_a_second() {
    let secret = crate::harness::token::secret_file();
    let flags =
        ["--demo", "--listen", "127.0.0.1:0", "--jwt-secret-file", secret.path().to_str().unwrap()];
    let mut server = Process::serve(&flags);
    let mut client = connect(&server.address()).await;
    server.wait_for("\"ready\"");
    let begin = Instant::now();
    for _ in 0..300 {
        client.resolve_tenant(with_token("nonsense")).await.unwrap_err();
    }
    let seconds = begin.elapsed().as_secs() as usize;
    drop(client);
    server.signal("TERM");
    assert_eq!(server.wait(Duration::from_secs(30)), 0);
    for words in ["a bearer token was refused", "ResolveTenant refused"] {
        let lines = server.logged.lines().filter_map(|line| serde_json::from_str(line).ok());
        let lines: Vec<serde_json::Value> = lines
            .filter(|line: &serde_json::Value| line["message"].as_str().unwrap().contains(words))
            .collect();
        assert!((1..=seconds + 1).contains(&lines.len()), "{words}: {lines:?} in {seconds} s");
        let others: u64 = lines.iter().map(|line| line["others"].as_u64().unwrap()).sum();
        assert!(others < 300, "{words}: {lines:?}");
    }
}
