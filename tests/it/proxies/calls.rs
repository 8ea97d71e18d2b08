//! The calls of gRPC of the table, by a real client to a real service.

use tonic::{
    Code, Request, Status,
    metadata::{MetadataKey, MetadataMap},
    transport::Endpoint,
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::{
    run::{World, filled},
    table::{Call, When, table},
};
use crate::harness::mesh::{Kind, Shipped};

pub(super) async fn through(kind: Kind) {
    let world = World::start(kind).await;
    let mut wrong = Vec::new();
    for when in [When::Served, When::Gone] {
        let proxy = world.proxy(kind, when);
        for call in table().calls.iter().filter(|call| call.when == when) {
            let status = send(&proxy, call).await.err().unwrap_or_else(|| Status::ok(""));
            if format!("{:?}", status.code()) != pascal(call.code(kind)) {
                wrong.push(format!("{}: {status:?}", call.claim));
                wrong.push(proxy.log());
            }
            let called_with = world.upstream.called_with();
            for (name, value) in &call.sees {
                assert_eq!(called_with[name], filled(value), "{}: {name}", call.claim);
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Calls once for one answer, and once for a stream of them, of which the first is taken: both end
/// alike.
async fn send(proxy: &Shipped, call: &Call) -> Result<(), Status> {
    let endpoint = Endpoint::try_from(format!("http://{}", proxy.http2_address)).unwrap();
    let mut health = HealthClient::new(endpoint.connect().await.unwrap());
    let mut request = Request::new(HealthCheckRequest::default());
    *request.metadata_mut() = metadata(call);
    let answer = health.check(request).await;
    let mut request = Request::new(HealthCheckRequest::default());
    *request.metadata_mut() = metadata(call);
    let first = async {
        let mut stream = health.watch(request).await?.into_inner();
        Ok::<_, Status>(stream.message().await?.unwrap())
    };
    let first = first.await;
    let code = |result: Option<&Status>| result.map_or(Code::Ok, Status::code);
    assert_eq!(code(answer.as_ref().err()), code(first.as_ref().err()), "{}", call.claim);
    assert_eq!(answer?.into_inner().status(), ServingStatus::Serving);
    assert_eq!(first?.status(), ServingStatus::Serving);
    Ok(())
}

fn metadata(call: &Call) -> MetadataMap {
    let mut metadata = MetadataMap::new();
    for line in &call.headers {
        let (name, value) = line.split_once(": ").unwrap();
        let name = MetadataKey::from_bytes(name.as_bytes()).unwrap();
        metadata.insert(name, filled(value).parse().unwrap());
    }
    metadata
}

/// A status as Rust spells it.
fn pascal(name: &str) -> String {
    let words = name.split('_').map(|word| word[..1].to_owned() + &word[1..].to_lowercase());
    words.collect()
}
