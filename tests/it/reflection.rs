//! Reflection: each question is answered, whatever came before it.

use futures_util::stream;
use prost::Message;
use prost_types::FileDescriptorProto;
use tonic::Code;
use tonic_reflection::pb::{v1, v1alpha};
use v1::{
    ExtensionRequest, ServerReflectionRequest, ServerReflectionResponse,
    server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest as Asked,
    server_reflection_response::MessageResponse as Told,
};

use crate::{
    admin::{self, Admin},
    harness::{Database, server::connect},
};

fn question(asked: Option<Asked>) -> ServerReflectionRequest {
    ServerReflectionRequest { host: "here".to_owned(), message_request: asked }
}

fn extension(containing_type: &str, extension_number: i32) -> Asked {
    let containing_type = containing_type.to_owned();
    Asked::FileContainingExtension(ExtensionRequest { containing_type, extension_number })
}

/// The code of an error, and the files or names that are told in place of one.
fn outcome(answer: &ServerReflectionResponse) -> Outcome {
    match answer.message_response.as_ref().unwrap() {
        Told::ErrorResponse(error) => {
            assert!(!error.error_message.is_empty());
            Err(Code::from_i32(error.error_code))
        }
        Told::FileDescriptorResponse(files) => {
            let files = files.file_descriptor_proto.iter();
            Ok(files
                .map(|file| FileDescriptorProto::decode(&file[..]).unwrap().name.unwrap())
                .collect())
        }
        Told::AllExtensionNumbersResponse(numbers) => Ok(vec![numbers.base_type_name.clone()]),
        Told::ListServicesResponse(list) => {
            Ok(list.service.iter().map(|service| service.name.clone()).collect())
        }
    }
}

/// The files or names of an answer, or its code.
type Outcome = Result<Vec<String>, Code>;

/// What is asked, in this order, and what comes of it.
fn questions() -> Vec<(Option<Asked>, Outcome)> {
    let symbol = |name: &str| Some(Asked::FileContainingSymbol(name.to_owned()));
    let file = |name: &str| Some(Asked::FileByFilename(name.to_owned()));
    let numbers = |name: &str| Some(Asked::AllExtensionNumbersOfType(name.to_owned()));
    let service = || Ok(vec!["entitlement/v1/entitlement_service.proto".to_owned()]);
    let not_found = || Err(Code::NotFound);
    vec![
        (symbol("entitlement.v1.NoSuchService"), not_found()),
        (symbol("entitlement.v1.EntitlementService"), service()),
        (symbol("entitlement.v1.EntitlementService.NoSuchMethod"), not_found()),
        (symbol("entitlement.v1.EntitlementService.CheckModule"), service()),
        (symbol("entitlement.v1.CheckModuleRequest.tenant_id"), service()),
        (symbol("entitlement.v1.WatchChangesResponse.event"), service()),
        (symbol("entitlement.v1.WatchChangesResponse.Opened"), service()),
        (symbol("google.rpc.ErrorInfo"), Ok(vec!["error_details.proto".to_owned()])),
        (file("no/such.proto"), not_found()),
        (file("entitlement/v1/entitlement_service.proto"), service()),
        (Some(extension("entitlement.v1.CheckModuleRequest", 1000)), not_found()),
        (Some(extension("entitlement.v1.NoSuchMessage", -1)), not_found()),
        (numbers("entitlement.v1.NoSuchMessage"), not_found()),
        (numbers("google.protobuf.Duration"), Ok(vec!["google.protobuf.Duration".to_owned()])),
        (symbol(""), not_found()),
        (symbol(".entitlement.v1.EntitlementService"), not_found()),
        (symbol("a\u{0}b\n\u{1b}[31m"), not_found()),
        (symbol(&"x.".repeat(20_000)), not_found()),
        (file("../../etc/passwd"), not_found()),
        (None, Err(Code::InvalidArgument)),
        (symbol("grpc.health.v1.Health"), Ok(vec!["health.proto".to_owned()])),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_unknown_or_malformed_is_told_so_and_the_stream_goes_on() {
    let admin = Admin::of(Database::sqlite().await, &[]).await;
    for listener in [admin.server.running.address.clone(), admin::address(&admin.server)] {
        let channel = connect(&listener).await;
        let asked: Vec<_> = questions().into_iter().map(|(asked, _)| question(asked)).collect();
        let mut v1 = ServerReflectionClient::new(channel.clone());
        let answers = v1.server_reflection_info(stream::iter(asked.clone())).await.unwrap();
        let mut answers = answers.into_inner();
        for (asked, (_, expected)) in asked.iter().zip(questions()) {
            let answer = answers.message().await.unwrap().expect("an answer to each");
            assert_eq!(answer.original_request.as_ref(), Some(asked));
            assert_eq!(answer.valid_host, "here");
            assert_eq!(outcome(&answer), expected, "{asked:?}");
        }
        assert!(answers.message().await.unwrap().is_none(), "it ends when nothing more is asked");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_older_version_is_answered_alike() {
    let admin = Admin::of(Database::sqlite().await, &[]).await;
    let channel = connect(&admin.server.running.address).await;
    let asked: Vec<_> = questions()
        .into_iter()
        .map(|(asked, _)| {
            let encoded = question(asked).encode_to_vec();
            v1alpha::ServerReflectionRequest::decode(&encoded[..]).unwrap()
        })
        .collect();
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(channel);
    let answers = client.server_reflection_info(stream::iter(asked)).await.unwrap();
    let mut answers = answers.into_inner();
    let mut count = 0;
    while let Some(answer) = answers.message().await.unwrap() {
        let answer = ServerReflectionResponse::decode(&answer.encode_to_vec()[..]).unwrap();
        let expected = &questions()[count].1;
        assert_eq!(&outcome(&answer), expected);
        count += 1;
    }
    assert_eq!(count, questions().len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_listener_lists_what_it_answers() {
    let admin = Admin::of(Database::sqlite().await, &[]).await;
    let data = [
        "entitlement.v1.EntitlementService",
        "entitlement.v1.LeaseService",
        "entitlement.replication.v1.ReplicationService",
        "entitlement.v1.UsageService",
    ];
    let administration =
        ["entitlement.v1.TenantAdminService", "entitlement.v1.FeatureAdminService"];
    for (listener, listed) in [
        (admin.server.running.address.clone(), &data[..]),
        (admin::address(&admin.server), &administration),
    ] {
        let mut client = ServerReflectionClient::new(connect(&listener).await);
        let asked = question(Some(Asked::ListServices(String::new())));
        let answers = client.server_reflection_info(stream::iter([asked])).await.unwrap();
        let answer = answers.into_inner().message().await.unwrap().unwrap();
        let expected = [&["grpc.health.v1.Health"], listed].concat();
        assert_eq!(outcome(&answer).unwrap(), expected);
    }
}
