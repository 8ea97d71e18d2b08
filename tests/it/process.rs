//! The program itself: its exit codes, its signals, its logs, and what it prints.

use std::{
    io::{BufRead, BufReader},
    time::Duration,
};

use serde_json::Value;
use tonic::{Code, transport::Channel};

use crate::harness::{
    Database, Row,
    database::{lock_tenants, wait_until_blocked},
    id,
    process::{Process, connect, program, run},
    server::check_request,
};

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_stops_with_code_0_on_either_signal() {
    for signal in ["TERM", "INT"] {
        let mut server = Process::serve(&["--demo", "--listen", "127.0.0.1:0"]);
        let mut client = connect(&server.address()).await;
        client.check_module(check_request(1, "finance")).await.unwrap();
        server.signal(signal);
        assert_eq!(server.wait(Duration::from_secs(5)), 0, "{}", server.logged);
        assert!(server.logged.contains("\"stopped\""), "{}", server.logged);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_in_flight_finish_and_those_that_watch_health_do_not_hold_it() {
    let database = Database::postgres().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    let mut server = Process::serve(&["--listen", "127.0.0.1:0", "--database-url", &database.url]);
    let address = server.address();
    server.wait_for("\"ready\"");
    let mut client = connect(&address).await;
    let channel =
        Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel);
    let request = tonic_health::pb::HealthCheckRequest::default();
    let mut watch = health.watch(request).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status, 1, "SERVING");

    let lock = lock_tenants(&database).await;
    let in_flight =
        tokio::spawn(async move { client.check_module(check_request(1, "finance")).await });
    wait_until_blocked(&lock).await;
    server.signal("TERM");
    assert_eq!(watch.message().await.unwrap().unwrap().status, 2, "NOT_SERVING");
    lock.commit().await.unwrap();
    assert!(in_flight.await.unwrap().unwrap().into_inner().allowed);
    assert_eq!(server.wait(Duration::from_secs(5)), 0, "{}", server.logged);
}

#[test]
fn a_peer_that_never_says_anything_does_not_hold_up_the_end() {
    let mut server = Process::serve(&["--demo", "--listen", "127.0.0.1:0"]);
    let address = server.address();
    server.wait_for("\"ready\"");
    let _silent = std::net::TcpStream::connect(address).unwrap();
    server.signal("TERM");
    assert_eq!(server.wait(Duration::from_secs(5)), 0);
    assert!(!server.logged.contains("cut off"), "{}", server.logged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_listeners_close_it_goes_on_answering_for_the_pre_drain() {
    let mut server = Process::serve(&["--demo", "--listen", "127.0.0.1:0", "--pre-drain", "1h"]);
    let address = server.address();
    server.wait_for("\"ready\"");
    server.signal("TERM");
    server.wait_for("stopping");
    let mut client = connect(&address).await;
    client.check_module(check_request(1, "finance")).await.unwrap();
}

#[test]
fn the_demo_prints_three_commands_to_paste_and_removes_its_database() {
    let mut server = Process::serve(&["--demo", "--listen", "127.0.0.1:0"]);
    let line = server.wait_for("listening on");
    let database =
        serde_json::from_str::<Value>(&line).unwrap()["database"].as_str().unwrap().to_owned();
    let path = database.strip_prefix("sqlite:").unwrap().to_owned();
    assert!(std::path::Path::new(&path).exists());
    let printed = BufReader::new(server.child.stdout.take().unwrap()).lines();
    let commands: Vec<String> = printed
        .map(Result::unwrap)
        .take(7)
        .filter(|line| line.starts_with("grpcurl -plaintext"))
        .collect();
    assert_eq!(commands.len(), 3);
    server.signal("TERM");
    assert_eq!(server.wait(Duration::from_secs(5)), 0);
    assert!(!std::path::Path::new(&path).exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenants_name_writes_nothing_else_on_an_operators_terminal() {
    let database = Database::sqlite().await;
    database.mk_tenant(1, "acme", "active").await;
    database
        .execute("UPDATE tenants SET name = 'Acme' || char(27) || '[2J' || char(10) || 'decision     ALLOWED'")
        .await;
    let output =
        run(&["check", "--database-url", &database.url, "--tenant", "acme", "--module", "finance"]);
    let printed = text(&output.stdout);
    assert!(printed.contains(r"Acme\u{1b}[2J\ndecision     ALLOWED"), "{printed}");
    assert_eq!(printed.lines().filter(|line| line.starts_with("decision")).count(), 1, "{printed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_answers_with_its_exit_code_and_every_fact() {
    for database in [Database::sqlite().await, Database::postgres().await] {
        database.mk_tenant(1, "acme", " Active").await;
        database.mk_subscription(1, "finance", Row::default()).await;
        database.mk_subscription(1, "hrms", Row { status: "Trial", ..Row::default() }).await;
        let check = |tenant: &str, module: &str, more: &[&str]| {
            let mut arguments = vec![
                "check",
                "--database-url",
                &database.url,
                "--tenant",
                tenant,
                "--module",
                module,
            ];
            arguments.extend_from_slice(more);
            run(&arguments)
        };

        let allowed = check(&id(1), "finance", &[]);
        assert_eq!(allowed.status.code(), Some(0), "{}", text(&allowed.stderr));
        assert!(
            text(&allowed.stdout).starts_with("decision     ALLOWED  ENABLED\n"),
            "{}",
            text(&allowed.stdout)
        );
        assert!(text(&allowed.stdout).contains("status \" Active\""), "{}", text(&allowed.stdout));

        let denied = check("acme", "hrms", &["--json"]);
        assert_eq!(denied.status.code(), Some(1));
        let json: Value = serde_json::from_slice(&denied.stdout).unwrap();
        assert_eq!(json["allowed"], false);
        assert_eq!(json["reason"], "SUBSCRIPTION_INACTIVE");
        assert_eq!(json["subscriptions"][0]["status"], "Trial");
        assert_eq!(json["rules"][4]["outcome"], "DECIDES");

        let then = check("acme", "finance", &["--at", "2020-01-01"]);
        assert_eq!(then.status.code(), Some(1), "it had not started");
        assert!(text(&then.stdout).contains("SUBSCRIPTION_NOT_STARTED"));

        for (tenant, module) in [("nobody", "finance"), ("acme", "nothing")] {
            assert_eq!(check(tenant, module, &[]).status.code(), Some(1));
        }
        for (tenant, module, more) in [
            ("a b", "finance", vec![]),
            ("acme", "", vec![]),
            ("acme", "finance", vec!["--at", "soon"]),
        ] {
            let trouble = check(tenant, module, &more);
            assert_eq!(trouble.status.code(), Some(2), "{tenant:?} {module:?}");
            assert!(text(&trouble.stderr).contains("error"), "{}", text(&trouble.stderr));
        }
    }
    let nowhere = run(&[
        "check",
        "--tenant",
        "acme",
        "--module",
        "finance",
        "--database-url",
        "postgres://u:s3cret@127.0.0.1:1/x",
    ]);
    assert_eq!(nowhere.status.code(), Some(2));
    assert!(!text(&nowhere.stderr).contains("s3cret"));
}

#[test]
fn an_unusable_setting_is_named_with_what_was_found_and_expected_before_it_listens() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let empty = file("empty", "\n");
    let not_json = file("not_json", "x");
    let symmetric = file("symmetric", r#"{"keys": [{"kty": "oct", "kid": "k", "k": "c2VjcmV0"}]}"#);
    let no_keys = file("no_keys", r#"{"keys": []}"#);
    let stranger = format!("other={}", id(1));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (flags, words) in [
        (vec!["--listen", "localhost"], vec!["--listen", "localhost", "127.0.0.1:50051"]),
        (vec!["--listen", &taken], vec!["--listen", &taken]),
        (vec!["--metrics-listen", "9464"], vec!["--metrics-listen", "9464", "127.0.0.1:9464"]),
        (
            vec!["--metrics-listen", &taken, "--listen", "127.0.0.1:0"],
            vec!["--metrics-listen", &taken],
        ),
        (vec!["--listen", "unix:"], vec!["--listen", "path"]),
        (vec!["--cache-ttl", "0s"], vec!["--cache-ttl", "above zero"]),
        (vec!["--cache-ttl", "300"], vec!["--cache-ttl", "300", "30s"]),
        (vec!["--workers", "0"], vec!["--workers", "1"]),
        (
            vec!["--base-domain", "https://ilms.ai"],
            vec!["--base-domain", "https://ilms.ai", "ilms.ai"],
        ),
        (vec!["--jwt-secret-file", "/no/such/file"], vec!["--jwt-secret-file", "/no/such/file"]),
        (vec!["--jwt-secret-file", &empty], vec!["--jwt-secret-file", "empty", "shared secret"]),
        (vec!["--jwks-file", &not_json], vec!["--jwks-file", "JWK set"]),
        (vec!["--jwks-file", &symmetric], vec!["--jwks-file", "no key for RS256"]),
        (vec!["--jwks-file", &no_keys], vec!["--jwks-file", "no key"]),
        (vec!["--jwt-issuer-tenant", "erp=x"], vec!["--jwt-issuer-tenant", "erp=x", "UUID"]),
        (
            vec!["--jwt-issuer", "erp", "--jwt-issuer-tenant", &stranger],
            vec!["--jwt-issuer-tenant", "other"],
        ),
        (vec!["--log-level", "loud=very"], vec!["--log-level", "loud"]),
        (
            vec!["--database-url", "mysql://u:s3cret@h/d"],
            vec!["--database-url", "postgres://", "sqlite:"],
        ),
        (
            vec!["--database-url", "sqlite:/no/such/folder/x.db"],
            vec!["--database-url", "/no/such/folder"],
        ),
        (vec!["--database-url-file", &empty], vec!["--database-url-file", "empty"]),
        (
            vec!["--database-ca-file", "/no/such/ca", "--database-url", "postgres://h/d"],
            vec!["--database-ca-file", "/no/such/ca"],
        ),
        (vec!["--demo", "--database-url", "sqlite:x.db"], vec!["--demo", "--database-url"]),
        (
            vec!["--database-url-file", "postgres://u:s3cret@h/d"],
            vec!["--database-url-file", "***@h/d"],
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let output =
            program().current_dir(folder.path()).arg("serve").args(&flags).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
        let error = text(&output.stderr);
        for word in words {
            assert!(error.contains(word), "{flags:?}: {word:?} is missing in: {error}");
        }
        assert!(!error.contains("s3cret"), "{error}");
        assert!(!error.contains("listening"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_shows_nowhere_even_at_trace() {
    let database = Database::postgres().await;
    let url = database.url.replace("postgres@", "postgres:s3cret@") + "?passwd=s3cret";
    let mut server = Process::serve(&[
        "--listen",
        "127.0.0.1:0",
        "--log-level",
        "trace",
        "--database-url",
        &url,
    ]);
    let address = server.address();
    server.wait_for("\"ready\"");
    connect(&address).await.check_module(check_request(1, "finance")).await.unwrap();
    server.signal("TERM");
    server.wait(Duration::from_secs(10));
    assert!(server.logged.contains("TRACE"));
    assert!(!server.logged.contains("s3cret"));

    let help = program()
        .args(["serve", "--help"])
        .env("ENTITLEMENTD_DATABASE_URL", &url)
        .output()
        .unwrap();
    assert!(!text(&help.stdout).contains("s3cret"));
    let misplaced = run(&["serve", &url]);
    assert_eq!(misplaced.status.code(), Some(2));
    assert!(!text(&misplaced.stderr).contains("s3cret"), "{}", text(&misplaced.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_come_from_the_environment_too() {
    let database = Database::sqlite().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{}\n", database.url)).unwrap();
    let output = program()
        .args(["check", "--module", "finance", "--tenant", &id(1)])
        .env("ENTITLEMENTD_DATABASE_URL_FILE", file.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
}

#[test]
fn a_database_that_is_not_there_is_said_to_be_missing_and_where() {
    let folder = tempfile::tempdir().unwrap();
    for (named, is_in) in
        [("", ""), ("sqlite:erp.db", ""), ("sqlite://data/erp.db?mode=rw", "data")]
    {
        let arguments = ["check", "--tenant", &id(1), "--module", "finance"];
        let mut command = program();
        command.args(arguments).current_dir(folder.path());
        if !named.is_empty() {
            command.args(["--database-url", named]);
        }
        let output = command.output().unwrap();
        let said = text(&output.stderr);
        let place = format!("does not exist in {}", folder.path().join(is_in).display());
        let place = place.trim_end_matches('/');
        assert!(said.contains(place) && said.contains("entitlementd migrate"), "{said}");
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is made");
    }
}

#[test]
fn help_and_version_are_plain_where_nobody_sees_colours() {
    for arguments in
        [&["--help"][..], &["--version"], &["serve", "--help"], &["tenant", "delete", "-h"]]
    {
        let output = run(arguments);
        assert!(output.status.success() && !output.stdout.is_empty());
        assert!(!output.stdout.contains(&0x1b), "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_variable_that_was_left_over_changes_nothing_of_what_a_call_does() {
    let database = Database::sqlite().await;
    database.mk_tenant(1, "acme", "active").await;
    let run = |arguments: &[&str], left_over: &[(&str, &str)]| {
        let mut command = program();
        command
            .args(arguments)
            .args(["--database-url", &database.url])
            .envs(left_over.iter().copied());
        command.output().unwrap()
    };
    let suspend = ["tenant", "set-status", "acme", "suspended", "--reason", "unpaid"];
    let output = run(&suspend, &[("ENTITLEMENTD_PREVIEW", "true")]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let shown = run(&["tenant", "show", "acme", "--json"], &[]);
    assert!(text(&shown.stdout).to_lowercase().contains("suspended"), "{}", text(&shown.stdout));
    let answers = [
        ("ENTITLEMENTD_NAME", "acme"),
        ("ENTITLEMENTD_FORCE", "true"),
        ("ENTITLEMENTD_REASON", "it goes"),
    ];
    let output = run(&["tenant", "delete", "acme"], &answers);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_failed_request_is_one_line_with_its_id() {
    let mut server = Process::serve(&["--demo", "--listen", "127.0.0.1:0"]);
    let mut client = connect(&server.address()).await;
    let mut request = tonic::Request::new(check_request(1, ""));
    request.metadata_mut().insert("x-request-id", "find-me".parse().unwrap());
    assert_eq!(client.check_module(request).await.unwrap_err().code(), Code::InvalidArgument);
    client.check_module(check_request(1, "finance")).await.unwrap();
    server.signal("TERM");
    server.wait(Duration::from_secs(5));
    let lines: Vec<&str> =
        server.logged.lines().filter(|line| line.contains("CheckModule")).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let line: Value = serde_json::from_str(lines[0]).unwrap();
    assert_eq!(
        (&line["request_id"], &line["code"]),
        (&"find-me".into(), &"InvalidArgument".into())
    );
}

#[test]
fn settings_are_printed_with_who_has_set_them_and_without_passwords() {
    let output = program()
        .args([
            "serve",
            "--print-config",
            "--cache-ttl",
            "1d",
            "--replica-database-url",
            "postgres://u:s3cret@b/x",
        ])
        .env("ENTITLEMENTD_DATABASE_URL", "postgres://u:s3cret@a/x?password=s3cret")
        .output()
        .unwrap();
    let printed = text(&output.stdout);
    let row = |flag: &str| {
        let row =
            printed.lines().find(|line| line.split_whitespace().next() == Some(flag)).unwrap();
        row.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(row("--cache-ttl"), "1d command line");
    assert_eq!(row("--database-url"), "postgres://***@a/x?*** ENTITLEMENTD_DATABASE_URL");
    assert_eq!(row("--max-stale"), "1h default");
    assert_eq!(row("--tls-cert"), "default");
    assert!(!printed.contains("s3cret"), "{printed}");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn the_first_line_says_what_has_started_and_what_is_not_as_usual() {
    let mut server =
        Process::serve_in("pretty", &["--demo", "--listen", "127.0.0.1:0", "--cache-ttl", "1d"]);
    let line = server.wait_for("is listening on ");
    assert!(line.len() < 500, "{line}");
    assert!(
        line.contains(concat!(
            "entitlementd ",
            env!("CARGO_PKG_VERSION"),
            " is listening on 127.0.0.1:"
        )),
        "{line}"
    );
    assert!(
        line.contains("database=sqlite:") && line.contains("off=TLS, callers, metrics"),
        "{line}"
    );
    assert!(line.contains("settings=--demo --listen=127.0.0.1:0 --cache-ttl=1d"), "{line}");
    assert!(!line.contains("address="), "the message has said it: {line}");
}

#[test]
fn short_help_is_a_page_and_long_help_has_every_setting() {
    for (command, first) in [("serve", "--database-url-file"), ("edge", "--upstream")] {
        let help = |flag| text(&run(&[command, flag]).stdout).to_owned();
        let [short, long] = ["-h", "--help"].map(help);
        assert!(short.lines().count() <= 60, "{short}");
        for needed in [first, "--listen", "--tls-cert", "--routes", "--log-level"] {
            assert!(short.contains(needed), "{command}: {needed}");
        }
        assert!(long.contains("--denial-max-age") && !short.contains("--denial-max-age"));
    }
}

#[test]
fn a_package_gets_completions_and_manual_pages() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell]);
        assert!(text(&script.stdout).contains("set-status") && script.status.success(), "{shell}");
    }
    let folder = tempfile::tempdir().unwrap();
    assert!(run(&["man", folder.path().to_str().unwrap()]).status.success());
    for page in ["entitlementd.1", "entitlementd-serve.1", "entitlementd-tenant-onboard.1"] {
        assert!(
            std::fs::read_to_string(folder.path().join(page)).unwrap().contains(".TH"),
            "{page}"
        );
    }
    let nowhere = run(&["man", "/nowhere/at/all"]);
    assert!(text(&nowhere.stderr).contains("/nowhere/at/all"), "{}", text(&nowhere.stderr));
    assert_eq!(nowhere.status.code(), Some(2));
}
