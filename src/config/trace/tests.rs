//! Tests of the parent module.

use std::time::Duration;

use clap::Parser;

use super::*;
use crate::config::{Cli, Command};

/// The settings that these flags and variables come to, and what is told of them.
fn read(flags: &[&str], variables: &[(&str, &str)]) -> (TraceArgs, Vec<Given>) {
    let cli = Cli::parse_from(["entitlementd", "serve"].iter().chain(flags));
    let Command::Serve(args) = cli.command else { panic!() };
    let mut trace = args.instance.trace;
    let source = |flag: &&str| {
        if flags.contains(flag) { Source::Flag } else { Source::Default }
    };
    let given = ["--otlp-endpoint", "--trace-one-in"].iter();
    let mut given: Vec<_> = given
        .map(|flag| Given { flag: (*flag).to_owned(), value: String::new(), source: source(flag) })
        .collect();
    trace.read_otel(
        &mut given,
        variables.iter().map(|(name, value)| ((*name).into(), (*value).into())),
    );
    (trace, given)
}

const COLLECTOR: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317");

#[test]
fn the_collector_is_ours_or_that_of_traces_or_that_of_everything() {
    let traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://traces:4317");
    let insecure = ("OTEL_EXPORTER_OTLP_INSECURE", "TRUE");
    let bare = ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317");
    let ours = ["--otlp-endpoint", "http://ours:4317"];
    let cases = [
        (&[][..], &[][..], ""),
        (&[], &[COLLECTOR], "http://collector:4317/"),
        (&[], &[COLLECTOR, traces], "https://traces:4317/"),
        (&ours, &[COLLECTOR, traces], "http://ours:4317/"),
        (&[], &[COLLECTOR, (traces.0, "")], "http://collector:4317/"),
        (&[], &[bare], "https://collector:4317/"),
        (&[], &[bare, insecure], "http://collector:4317/"),
        (&[], &[COLLECTOR, ("OTEL_SDK_DISABLED", "True")], ""),
        (&ours, &[("OTEL_SDK_DISABLED", "true")], ""),
        (&[], &[COLLECTOR, ("OTEL_TRACES_EXPORTER", "none")], ""),
    ];
    for (flags, variables, wanted) in cases {
        let (trace, given) = read(flags, variables);
        let endpoint = trace.collector().map(|collector| collector.endpoint).unwrap_or_default();
        assert_eq!(endpoint, wanted, "{variables:?}");
        assert_eq!(trace.notes().problems, [""; 0], "{variables:?}");
        if flags.is_empty() && !wanted.is_empty() {
            assert_eq!(given[0].value, wanted, "told by --print-config");
            assert!(given[0].source.to_string().starts_with("OTEL_EXPORTER_OTLP_"));
        }
    }
    assert_eq!(
        read(&ours, &[("OTEL_SDK_DISABLED", "true")]).0.notes().turned_off_by,
        Some("OTEL_SDK_DISABLED")
    );
}

#[test]
fn the_sampler_is_ours_or_the_one_named() {
    let ratio =
        |callers_decide, ratio| TraceSampling { callers_decide, share: TraceShare::Ratio(ratio) };
    let one_in = |count| TraceSampling { callers_decide: true, share: TraceShare::OneIn(count) };
    let cases = [
        ("", "0.5", one_in(1000)),
        ("always_on", "", ratio(false, 1.0)),
        ("always_off", "", ratio(false, 0.0)),
        ("traceidratio", "0.25", ratio(false, 0.25)),
        ("traceidratio", "", ratio(false, 1.0)),
        ("parentbased_always_on", "0.5", ratio(true, 1.0)),
        ("parentbased_always_off", "", ratio(true, 0.0)),
        ("parentbased_traceidratio", "0.001", ratio(true, 0.001)),
    ];
    for (sampler, share, wanted) in cases {
        let variables =
            [COLLECTOR, ("OTEL_TRACES_SAMPLER", sampler), ("OTEL_TRACES_SAMPLER_ARG", share)];
        assert_eq!(read(&[], &variables).0.sampling(), wanted, "{sampler} {share}");
        let ours = read(&["--trace-one-in", "7"], &variables);
        assert_eq!(ours.0.sampling(), one_in(7), "{sampler} {share}");
        assert_eq!(ours.0.notes().problems, [""; 0]);
    }
    let without_collector = read(&[], &[("OTEL_TRACES_SAMPLER", "always_on")]);
    assert_eq!(without_collector.0.sampling(), one_in(0));
}

#[test]
fn what_cannot_be_used_is_named_and_counts_as_not_set() {
    let usual = read(&[], &[COLLECTOR]).0;
    let cases = [
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "unix:///run/otel"),
        ("OTEL_SDK_DISABLED", "yes"),
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "0"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "-1"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1000000"),
        ("OTEL_BSP_SCHEDULE_DELAY", "0"),
        ("OTEL_TRACES_SAMPLER", "xray"),
    ];
    for (name, value) in cases {
        let trace = read(&[], &[COLLECTOR, (name, value)]).0;
        let problems = &trace.notes().problems;
        assert!(
            problems.len() == 1 && problems[0].starts_with(&format!("{name} is {value:?}")),
            "{problems:?}"
        );
        assert_eq!(trace.sampling(), usual.sampling(), "{name}");
        let [collector, usual] = [&trace, &usual].map(|trace| trace.collector().unwrap());
        assert_eq!(
            (collector.endpoint, collector.limits),
            (usual.endpoint, usual.limits),
            "{name}"
        );
        assert_eq!(trace.notes().unused, [""; 0]);
    }
    for share in ["half", "1.5", "-1", "NaN"] {
        let variables = [
            COLLECTOR,
            ("OTEL_TRACES_SAMPLER", "traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", share),
        ];
        let trace = read(&[], &variables).0;
        assert_eq!(trace.sampling().share, TraceShare::Ratio(1.0), "{share}");
        assert!(trace.notes().problems[0].starts_with("OTEL_TRACES_SAMPLER_ARG is"), "{share}");
    }
    let secret = ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20x,hidden,a b=c");
    let problems = read(&[], &[COLLECTOR, secret]).0.otel.notes.problems;
    assert!(problems[0].contains("entry 2, 3") && !problems[0].contains("hidden"), "{problems:?}");
}

#[test]
fn limits_are_taken_and_what_has_no_effect_is_listed() {
    let variables = [
        COLLECTOR,
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
        ("OTEL_BSP_SCHEDULE_DELAY", "200"),
        ("OTEL_METRICS_EXPORTER", "none"),
        ("OTEL_SERVICE_NAME", "gate"),
        ("PATH", "/bin"),
    ];
    let trace = read(&[], &variables).0;
    let limits = ExportLimits {
        timeout: Duration::from_millis(2500),
        queue: 100,
        batch: 100,
        delay: Duration::from_millis(200),
    };
    assert_eq!(trace.collector().unwrap().limits, limits);
    assert_eq!(trace.notes().unused, ["OTEL_METRICS_EXPORTER"]);
}
