//! Those who push: floods, bombs, and peers that say nothing and read nothing. Everybody else goes
//! on being answered.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use entitlementd::{
    config::ListenAddress,
    domain::Role,
    proto::v1::{
        ListModulesRequest, entitlement_service_client::EntitlementServiceClient,
        tenant_admin_service_client::TenantAdminServiceClient,
    },
};
use futures_util::{FutureExt, future::join_all};
use prost::Message;
use tonic::Code;
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest,
};

use crate::{
    admin::{self, Admin},
    harness::{
        Database, Row, Server,
        database::{lock_tenants, wait_until_blocked},
        process::Process,
        server::{check_request, connect},
        wire::{
            CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, RST_STREAM,
            SETTINGS, WINDOW_UPDATE, Wire, call, frame,
        },
    },
};

const CHECK: &str = "/entitlement.v1.EntitlementService/CheckModule";
const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
/// RFC 9113, section 7.
const ENHANCE_YOUR_CALM: u32 = 0xb;

async fn start(flags: &[&str]) -> Server {
    let database = Database::sqlite().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    Server::start_with(database, &[&["--changes", "off"], flags].concat()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_are_reset_as_soon_as_they_are_opened_end_their_connection() {
    let mut server = start(&["--workers", "1"]).await;
    let wire = Wire::connect(&server.running.address, &[]).await;
    let opened_and_reset = |number: u32| {
        let stream = number * 2 + 1;
        let opened = frame(HEADERS, END_HEADERS, stream, &call(CHECK));
        [opened, frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
    };
    assert_eq!(wire.flood(20_000, opened_and_reset).await, Some(ENHANCE_YOUR_CALM));
    assert!(server.check(1, "finance").await.allowed);
}

/// A message as gRPC sends it.
fn content(message: &impl Message) -> Vec<u8> {
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0][..], &length, &message].concat()
}

/// A request that is answered, with its stream's number.
fn asked(stream: u32) -> Vec<u8> {
    let content = content(&check_request(1, "finance"));
    [frame(HEADERS, END_HEADERS, stream, &call(CHECK)), frame(DATA, END_STREAM, stream, &content)]
        .concat()
}

fn cancelled(stream: u32) -> Vec<u8> {
    [asked(stream), frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
}

/// Sends requests that are cancelled at once and others behind them, and waits until the others are
/// answered.
async fn round(
    wire: &mut Wire,
    streams: &mut impl Iterator<Item = u32>,
    cancellations: usize,
    requests: usize,
) {
    let mut bytes: Vec<_> = streams.by_ref().take(cancellations).flat_map(cancelled).collect();
    let mut open: BTreeSet<_> = streams.by_ref().take(requests).collect();
    bytes.extend(open.iter().copied().flat_map(asked));
    assert!(wire.send(&bytes).await);
    while !open.is_empty() {
        let frame = wire.next().await.expect("the connection goes on");
        assert_ne!(frame.kind, GOAWAY, "{:?}", frame.payload);
        if frame.flags & END_STREAM != 0 && matches!(frame.kind, HEADERS | DATA) {
            open.remove(&frame.stream);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_lives_on_of_whose_100_000_requests_1_000_are_cancelled() {
    let server = start(&["--workers", "1"]).await;
    let mut wire = Wire::connect(&server.running.address, &[]).await;
    assert!(wire.send(&frame(WINDOW_UPDATE, 0, 0, &0x7000_0000_u32.to_be_bytes())).await);
    let mut streams = (0..).map(|number| number * 2 + 1);
    for number in 0..400 {
        // Half of them a hundred at a time, and the others one by one or two.
        let cancellations = if number % 80 == 0 { 100 } else { 1 + usize::from(number % 4 == 0) };
        round(&mut wire, &mut streams, cancellations, 250).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_requests_that_are_cancelled_at_the_same_time_harm_no_other() {
    let server = start(&["--workers", "1"]).await;
    let mut wire = Wire::connect(&server.running.address, &[]).await;
    let mut streams = (0..).map(|number| number * 2 + 1);
    round(&mut wire, &mut streams, 1_000, 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_of_a_shared_connection_who_hang_up_fail_nobody_elses_requests() {
    let server = start(&["--workers", "1"]).await;
    for _ in 0..10 {
        let calls = (0..1_000).map(|number| {
            let mut client = server.client.clone();
            async move {
                let call = client.check_module(check_request(1, "finance"));
                if number % 10 > 0 {
                    return Some(call.await.unwrap().into_inner().allowed);
                }
                // Sent, and not waited for.
                _ = Box::pin(call).now_or_never();
                None
            }
        });
        let answers = join_all(calls).await;
        assert_eq!(answers.iter().filter(|allowed| **allowed == Some(true)).count(), 900);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_its_answers_is_gone_soon_after_its_connection_is_to_end() {
    let flags = [
        "--workers",
        "1",
        "--max-connection-age",
        "1s",
        "--request-timeout",
        "1s",
        "--drain-timeout",
        "1s",
    ];
    let server = start(&flags).await;
    // An initial window of nothing: no answer can be sent.
    let mut wire = Wire::connect(&server.running.address, &[(4, 0)]).await;
    let headers = frame(HEADERS, END_HEADERS, 1, &call(CHECK));
    assert!(wire.send(&[headers, frame(DATA, END_STREAM, 1, &[0; 5])].concat()).await);
    assert!(wire.next_of(GOAWAY).await.is_some());
    let gone = async { while wire.next().await.is_some() {} };
    tokio::time::timeout(Duration::from_secs(10), gone).await.expect("it is closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_under_way_when_its_connection_has_reached_its_age_is_answered() {
    let database = Database::postgres().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    let flags = ["--changes", "off", "--max-connection-age", "300ms", "--drain-timeout", "0s"];
    let server = Server::start_with(database, &flags).await;
    let lock = lock_tenants(&server.database).await;
    let mut client = EntitlementServiceClient::new(connect(&server.running.address).await);
    let call = tokio::spawn(async move { client.check_module(check_request(1, "finance")).await });
    wait_until_blocked(&lock).await;
    // Two ages, one after the other, are more than one, whatever the jitter.
    for _ in 0..2 {
        let mut wire = Wire::connect(&server.running.address, &[]).await;
        assert!(wire.next_of(GOAWAY).await.is_some());
    }
    lock.rollback().await.unwrap();
    assert!(call.await.unwrap().unwrap().into_inner().allowed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_say_nothing_keep_no_administrator_out() {
    let mut admin = Admin::of(Database::sqlite().await, &[]).await;
    let address = admin::address(&admin.server);
    let ask = async |admin: &mut Admin| {
        let request = admin.by(Role::Viewer, ListModulesRequest::default());
        admin.client.list_modules(request).await.unwrap().into_inner().modules.len()
    };
    assert_eq!(ask(&mut admin).await, 10);
    let (mut silent, mut mute) = (Vec::new(), Vec::new());
    for number in 0..200 {
        // Some do not even greet.
        silent.push(Wire::connect(&address, &[]).await);
        if number % 2 == 0 {
            let ListenAddress::Tcp(address) = &address else { panic!("it listens on TCP") };
            mute.push(std::net::TcpStream::connect(address).unwrap());
        }
    }
    assert_eq!(ask(&mut admin).await, 10, "whoever was known stays");
    admin.client = TenantAdminServiceClient::new(connect(&address).await);
    assert_eq!(ask(&mut admin).await, 10, "and comes in");

    // And requests that never end, of whose kind some may take minutes, are no better without a
    // token.
    for number in 0..200 {
        let mut wire = Wire::connect(&address, &[]).await;
        let method = ["ListPlans", "OnboardTenant"][number % 2];
        let headers = call(&format!("/entitlement.v1.TenantAdminService/{method}"));
        // It may have had to leave already.
        wire.send(&frame(HEADERS, END_HEADERS, 1, &headers)).await;
        silent.push(wire);
    }
    assert_eq!(ask(&mut admin).await, 10, "whoever was known stays");
    admin.client = TenantAdminServiceClient::new(connect(&address).await);
    assert_eq!(ask(&mut admin).await, 10, "and comes in");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_without_an_end_are_not_gathered() {
    let mut server = start(&["--workers", "1"]).await;
    let mut wire = Wire::connect(&server.running.address, &[]).await;
    assert!(wire.send(&frame(HEADERS, 0, 1, &call(CHECK))).await);
    // 256 MiB of them: a literal of 16 000 bytes each, which is remembered by nobody.
    let more = |_| {
        let mut block = vec![0x00, 0x01, b'x', 0x7f, 0x81, 0x7c];
        block.extend(vec![b'y'; 16_000]);
        frame(CONTINUATION, 0, 1, &block)
    };
    assert!(wire.flood(16_000, more).await.is_some_and(|error| error != 0));
    assert!(server.check(1, "finance").await.allowed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_that_is_named_a_thousand_times_is_not_unpacked() {
    let mut server = start(&["--workers", "1"]).await;
    let mut wire = Wire::connect(&server.running.address, &[]).await;
    // A header of 3 900 bytes that is to be remembered (entry 62), and then a thousand times the
    // same in a byte each.
    let mut block = call(CHECK);
    block.extend([0x40, 0x01, b'x', 0x7f, 0xbd, 0x1d]);
    block.extend(vec![b'y'; 3_900]);
    block.extend(vec![0xbe; 1_000]);
    assert!(wire.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block)).await);
    // It would be 4 MB: not even an answer is owed to that.
    let goaway = wire.next_of(GOAWAY).await.expect("the connection is ended");
    assert_eq!(goaway.payload[4..8], ENHANCE_YOUR_CALM.to_be_bytes());
    assert!(server.check(1, "finance").await.allowed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pings_and_settings_whose_answers_nobody_reads_pile_up_with_their_sender() {
    let mut server = start(&["--workers", "1"]).await;
    for bytes in [frame(PING, 0, 0, &[7; 8]), frame(SETTINGS, 0, 0, &[])] {
        let mut wire = Wire::connect(&server.running.address, &[]).await;
        let many = bytes.repeat(1_000);
        // Nobody reads: at some point the server does not either, or has had enough.
        for _ in 0..2_000 {
            if !matches!(
                tokio::time::timeout(Duration::from_millis(200), wire.send(&many)).await,
                Ok(true)
            ) {
                break;
            }
        }
        assert!(server.check(1, "finance").await.allowed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_nothing_holds_up_neither_others_nor_the_end() {
    let mut server = start(&["--workers", "1", "--drain-timeout", "1s"]).await;
    // An initial window of nothing (setting 4): no answer can be sent.
    let mut wire = Wire::connect(&server.running.address, &[(4, 0)]).await;
    for stream in (0..256).map(|number| number * 2 + 1) {
        let message = [&[0, 0, 0, 0, 0][..]].concat();
        let headers = frame(HEADERS, END_HEADERS, stream, &call(CHECK));
        assert!(wire.send(&[headers, frame(DATA, END_STREAM, stream, &message)].concat()).await);
    }
    assert!(server.check(1, "finance").await.allowed);
    let started = Instant::now();
    server.running.stop().await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_takes_no_more_connections_than_it_may() {
    let database = Database::sqlite().await;
    let server = Server::start_unready(database, &["--max-connections-per-address", "3"]).await;
    let ListenAddress::Tcp(address) = server.running.address else { panic!("no address") };
    // The server's own client has one.
    let mut held = vec![Wire::connect_to(address, &[]).await, Wire::connect_to(address, &[]).await];
    for wire in &mut held {
        assert!(wire.next_of(SETTINGS).await.is_some());
    }
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let mut byte = [0];
    let read = tokio::io::AsyncReadExt::read(&mut stream, &mut byte).await;
    assert!(matches!(read, Ok(0) | Err(_)), "it was closed");
    held.pop();
    crate::harness::until_so("there is a place again", async || {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        // Whoever is let in is not closed at once.
        let mut byte = [0];
        let read = tokio::io::AsyncReadExt::read(&mut stream, &mut byte);
        tokio::time::timeout(Duration::from_millis(50), read).await.is_err()
    })
    .await;
}

/// What h2spec finds, and why it is no fault.
const KNOWN: [(&str, &str); 5] = [
    // An answer of headers alone, as gRPC sends them where it fails, is not what it waits for.
    ("Sends a WINDOW_UPDATE frame on half-closed (remote) stream", "Actual: HEADERS Frame"),
    ("Sends a PRIORITY frame on half-closed (remote) stream", "Actual: HEADERS Frame"),
    // The answer to the stream was on its way before it was reset.
    ("after sending RST_STREAM frame", "Actual: HEADERS Frame"),
    // A reset ends a connection too.
    ("Sends invalid connection preface", "connection reset by peer"),
    // Its streams are answered, and so gone, before there are too many.
    (
        "Sends HEADERS frames that causes their advertised concurrent stream limit to be exceeded",
        "Actual: HEADERS Frame",
    ),
];

#[test]
fn the_listener_speaks_http_2_as_h2spec_wants_it() {
    let mut server = Process::serve(&["--demo", "--listen", "127.0.0.1:0"]);
    let address = server.address();
    server.wait_for("\"ready\"");
    let port = address.rsplit(':').next().unwrap();
    let output = std::process::Command::new(crate::harness::program("h2spec"))
        .args(["-h", "127.0.0.1", "-p", port, "-o", "5"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let (tests, failures) = text.split_once("Failures:").unwrap_or((&text, ""));
    assert!(tests.contains("HPACK"), "{text}");
    for failure in failures.split('\u{d7}').skip(1) {
        let is_known =
            KNOWN.iter().any(|(test, why)| failure.contains(test) && failure.contains(why));
        assert!(is_known, "{failure}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_for_an_unknown_method_is_heard_out_and_what_is_wrong_with_its_end_is_told() {
    let admin = Admin::of(Database::sqlite().await, &["--workers", "1"]).await;
    for address in [admin::address(&admin.server), admin.server.running.address.clone()] {
        let mut wire = Wire::connect(&address, &[]).await;
        assert!(wire.send(&frame(HEADERS, END_HEADERS, 1, &call("/nowhere/Nothing"))).await);
        // An answer that did not wait would have come by the second of these.
        for _ in 0..2 {
            assert!(wire.send(&frame(PING, 0, 0, &[7; 8])).await);
            while let Some(frame) = wire.next().await {
                assert_ne!(frame.kind, HEADERS, "it is answered before its end");
                if frame.kind == PING {
                    break;
                }
            }
        }
        // Trailers with a pseudo-header after a field (RFC 9113, section 8.3).
        let trailers = [0x00, 0x01, b'x', 0x01, b'y', 0x83];
        assert!(wire.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &trailers)).await);
        let told = loop {
            let frame = wire.next().await.expect("the connection goes on");
            if matches!(frame.kind, HEADERS | RST_STREAM) {
                break frame.kind;
            }
        };
        assert_eq!(told, RST_STREAM);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_for_an_unknown_method_that_never_ends_is_refused() {
    let admin = Admin::of(Database::sqlite().await, &["--request-timeout", "100ms"]).await;
    for address in [admin::address(&admin.server), admin.server.running.address.clone()] {
        let mut wire = Wire::connect(&address, &[]).await;
        assert!(wire.send(&frame(HEADERS, END_HEADERS, 1, &call("/nowhere/Nothing"))).await);
        assert!(wire.next_of(HEADERS).await.is_some());
    }
}

/// What an idle connection may take, in bytes: 6.1 GiB for 100 000.
const IDLE: u64 = 64 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn descriptions_that_nobody_reads_take_little_memory_and_are_there_again_for_others() {
    const CONNECTIONS: usize = 20;
    let mut server = Process::serve(&["--demo", "--listen", "127.0.0.1:0"]);
    let address: std::net::SocketAddr = server.address().parse().unwrap();
    server.wait_for("\"ready\"");
    let before = server.resident();
    let wanted =
        MessageRequest::FileContainingSymbol("entitlement.v1.EntitlementService".to_owned());
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(wanted) };
    let mut wires = Vec::new();
    for _ in 0..CONNECTIONS {
        // An initial window of nothing: no answer can be sent.
        let mut wire = Wire::connect_to(address, &[(4, 0)]).await;
        let opened = (0..256).flat_map(|number| {
            let headers = frame(HEADERS, END_HEADERS, number * 2 + 1, &call(REFLECTION));
            [headers, frame(DATA, 0, number * 2 + 1, &content(&request).repeat(4))].concat()
        });
        assert!(wire.send(&opened.collect::<Vec<_>>()).await);
        for _ in 0..256 {
            assert!(wire.next_of(HEADERS).await.is_some(), "each is answered, or refused");
        }
        wires.push(wire);
    }
    let held = server.resident() - before;
    assert!(held < 50 << 20, "{held} bytes");
    let mut client = ServerReflectionClient::new(connect(&ListenAddress::Tcp(address)).await);
    let ask = async |client: &mut ServerReflectionClient<_>| {
        client.server_reflection_info(futures_util::stream::iter([request.clone()])).await
    };
    assert_eq!(ask(&mut client).await.unwrap_err().code(), Code::ResourceExhausted);
    drop(wires);
    while let Err(refused) = ask(&mut client).await {
        assert_eq!(refused.code(), Code::ResourceExhausted);
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_idle_take_little_memory() {
    let mut server =
        Process::serve(&["--demo", "--listen", "127.0.0.1:0", "--max-connections", "100000"]);
    let address: std::net::SocketAddr = server.address().parse().unwrap();
    server.wait_for("\"ready\"");
    let connect = async |count: usize| {
        let mut wires = Vec::with_capacity(count);
        for _ in 0..count {
            let mut wire = Wire::connect_to(address, &[]).await;
            assert!(wire.next_of(SETTINGS).await.is_some());
            wires.push(wire);
        }
        wires
    };
    let _first = connect(50).await;
    let before = server.resident();
    let more = connect(400).await;
    let each = (server.resident() - before) / more.len() as u64;
    println!("an idle connection takes {each} bytes");
    assert!(each < IDLE, "{each} bytes each");
}
