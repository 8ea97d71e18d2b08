//! One table of requests, `tests/fixtures/proxy-requests.toml`, through every proxy that there is a
//! shipped file for.

mod callers;
mod calls;
mod expected;
mod reuse;
mod run;
mod table;

use crate::harness::mesh::Kind;

/// Writes a test for each proxy.
macro_rules! through_every_proxy {
    ($(async fn $name:ident($kind:ident: Kind) $body:block)*) => {$(
        mod $name {
            use super::*;

            through_every_proxy! { @tests
                envoy: Envoy,
                nginx: Nginx,
                traefik: Traefik,
                caddy: Caddy,
                haproxy: Haproxy,
                istio_grpc: IstioGrpc,
                istio_http: IstioHttp,
                ingress_nginx: IngressNginx,
            }

            async fn holds($kind: Kind) $body
        }
    )*};
    (@tests $($test:ident: $kind:ident,)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            holds(Kind::$kind).await;
        }
    )*};
}

through_every_proxy! {
    async fn each_request_of_the_table_gets_the_answer_that_is_written_there(kind: Kind) {
        run::through(kind).await;
    }

    async fn each_call_of_grpc_ends_with_the_status_that_is_written_there(kind: Kind) {
        calls::through(kind).await;
    }

    async fn a_refusal_leaves_the_connection_to_the_next_request(kind: Kind) {
        reuse::through(kind).await;
    }

    async fn a_client_does_not_pass_for_the_proxy(kind: Kind) {
        callers::through(kind).await;
    }
}

#[test]
fn what_ingress_nginx_makes_of_the_shipped_ingress_has_all_that_the_ingress_says() {
    let read = |file: &str| {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        std::fs::read_to_string(path).unwrap()
    };
    let ingress = read("deploy/ingress-nginx/ingress.yaml");
    let made = read("tests/fixtures/ingress-nginx.conf");
    let annotations = |name: &str| {
        let start = format!("    nginx.ingress.kubernetes.io/{name}: ");
        let lines = ingress.lines().filter_map(move |line| line.strip_prefix(&start));
        lines.map(|value| value.trim_matches('"').to_owned()).collect::<Vec<_>>()
    };
    let count = |line: &str| made.lines().filter(|other| other.trim() == line).count();
    for url in annotations("auth-url") {
        assert_eq!(count(&format!("set $target \"{url}\";")), 2);
    }
    let headers = annotations("auth-response-headers");
    assert_eq!(headers.len(), 2);
    for (number, header) in headers[0].split(',').enumerate() {
        assert!(headers[1].contains(header));
        let variable = header.to_lowercase().replace('-', "_");
        let set = format!("auth_request_set $authHeader{number} $upstream_http_{variable};");
        assert_eq!(count(&set), 2, "{set}");
        for kind in ["proxy", "grpc"] {
            assert_eq!(count(&format!("{kind}_set_header '{header}' $authHeader{number};")), 1);
        }
    }
    for (annotation, header) in [
        ("cors-allow-methods", "Methods"),
        ("cors-allow-headers", "Headers"),
        ("cors-max-age", "Max-Age"),
    ] {
        let [value] = &annotations(annotation)[..] else { panic!("not one {annotation}") };
        let header =
            if header == "Max-Age" { header.to_owned() } else { format!("Allow-{header}") };
        assert_eq!(count(&format!("more_set_headers 'Access-Control-{header}: {value}';")), 2);
    }
    let (_, snippet) = ingress.split_once("  http-snippet: |\n").unwrap();
    for line in snippet.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        assert_eq!(count(line), 1, "{line}");
    }
    assert_eq!(count("proxy_set_header \"X-Entitlement-Caller\" \"\";"), 2);
    assert!(ingress.contains("\n  X-Entitlement-Caller: \"\"\n"), "{ingress}");
}
