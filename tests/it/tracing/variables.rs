//! OpenTelemetry's own variables, in the environment of the program.

use std::time::Duration;

use super::*;

/// A traced request, one that its caller does not trace, and one that has no trace; then the end of
/// the server. Gives what it has logged.
async fn three_checks(variables: &[(&str, &str)], flags: &[&str]) -> String {
    let mut server = demo(variables, flags);
    let address = server.address();
    server.wait_for("\"ready\"");
    let mut client = EntitlementServiceClient::new(connect(&address.parse().unwrap()).await);
    client.check_module(traced(check("finance"), "01")).await.unwrap();
    client.check_module(traced(check("finance"), "00")).await.unwrap();
    client.check_module(check("finance")).await.unwrap();
    drop(client);
    server.signal("TERM");
    assert_eq!(server.wait(Duration::from_secs(30)), 0, "{}", server.logged);
    std::mem::take(&mut server.logged)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_usual_variables_suffice() {
    let collector = Collector::default();
    let url = collector.start().await;
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &url),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20of-the-collector"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_SERVICE_NAME", "gatekeeper"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=other,deployment.environment.name=staging"),
        ("OTEL_TRACES_SAMPLER", "parentbased_always_on"),
        ("OTEL_METRICS_EXPORTER", "none"),
    ];
    let logged = three_checks(&variables, &[]).await;
    assert_eq!(collector.named(CHECK).len(), 2, "all but the one whose caller does not trace it");
    assert_eq!(collector.resource("service.name").as_deref(), Some("gatekeeper"));
    assert_eq!(collector.resource("deployment.environment.name").as_deref(), Some("staging"));
    assert_eq!(collector.resource("service.version").as_deref(), Some(env!("CARGO_PKG_VERSION")));
    assert_eq!(collector.authorization().as_deref(), Some("Bearer of-the-collector"));
    assert!(logged.contains("OTEL_EXPORTER_OTLP_PROTOCOL is \\\"http/protobuf\\\""), "{logged}");
    assert!(logged.contains("have no effect here: OTEL_METRICS_EXPORTER\""), "{logged}");
    assert!(!logged.contains("of-the-collector"), "{logged}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_sampler_traces_what_it_says() {
    for (sampler, share, flags, wanted) in [
        ("always_on", "", &[][..], 3),
        ("always_off", "", &[], 0),
        ("traceidratio", "0", &[], 0),
        // Not given: all of them. And what no SDK samples a second time.
        ("traceidratio", "", &[], 3),
        ("parentbased_always_off", "", &[], 1),
        ("parentbased_traceidratio", "1", &[], 2),
        ("no_sampler", "", &[], 1),
        ("always_off", "", &["--trace-one-in", "1"], 2),
    ] {
        let collector = Collector::default();
        let url = collector.start().await;
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()),
            ("OTEL_TRACES_SAMPLER", sampler),
            ("OTEL_TRACES_SAMPLER_ARG", share),
        ];
        let logged = three_checks(&variables, flags).await;
        assert_eq!(collector.named(CHECK).len(), wanted, "{sampler} {share} {flags:?}");
        assert_eq!(logged.contains("OTEL_TRACES_SAMPLER is"), sampler == "no_sampler", "{logged}");
        // The caller's trace goes on in each span that it has part of.
        let of_caller = |span: &&opentelemetry_proto::tonic::trace::v1::Span| {
            hex(&span.trace_id) == TRACE && hex(&span.parent_span_id) == PARENT
        };
        let of_callers = collector.named(CHECK).iter().filter(of_caller).count();
        assert_eq!(of_callers, if wanted == 3 { 2 } else { wanted.min(1) }, "{sampler}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_variable_turns_traces_off_and_the_settings_say_so() {
    let collector = Collector::default();
    let url = collector.start().await;
    let flags = ["--otlp-endpoint", &url, "--trace-one-in", "1"];
    let logged = three_checks(&[("OTEL_SDK_DISABLED", "true")], &flags).await;
    assert_eq!(collector.messages(), 0);
    assert!(logged.contains("not traced: OTEL_SDK_DISABLED"), "{logged}");

    let mut shown = program();
    shown.args(["serve", "--demo", "--print-config"]).env("OTEL_EXPORTER_OTLP_ENDPOINT", &url);
    shown.env("OTEL_TRACES_SAMPLER", "traceidratio").env("OTEL_TRACES_SAMPLER_ARG", "0.5");
    let shown = String::from_utf8(shown.output().unwrap().stdout).unwrap();
    let line = |flag: &str| {
        let line = shown.lines().find(|line| line.contains(flag)).unwrap();
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let url = format!("{url}/");
    assert_eq!(line("--otlp-endpoint"), ["--otlp-endpoint", &url, "OTEL_EXPORTER_OTLP_ENDPOINT"]);
    assert_eq!(
        line("--trace-one-in"),
        ["--trace-one-in", "traceidratio", "0.5", "OTEL_TRACES_SAMPLER"]
    );
}
