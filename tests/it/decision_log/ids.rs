//! The ids by which a decision is found again.

use entitlementd::proto::v1::{AuthorizeRequest, BatchCheckModulesRequest};
use tonic::{Request, Response};

use super::{Database, Row, Server, check_request, id, lines};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

fn with<T>(message: T, headers: &[(&'static str, &str)]) -> Request<T> {
    let mut request = Request::new(message);
    for (name, value) in headers {
        request.metadata_mut().insert(*name, value.parse().unwrap());
    }
    request
}

fn answered<T>(response: &Response<T>) -> String {
    response.metadata().get("x-request-id").unwrap().to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_line_has_the_id_that_the_answer_has_and_the_callers_trace() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("decisions.jsonl");
    let database = Database::sqlite().await;
    database.mk_subscribed(1, "finance", Row::default()).await;
    let mut server =
        Server::start_with(database, &["--decision-log", path.to_str().unwrap()]).await;
    let traceparent = format!("00-{TRACE}-b7ad6b7169203331-00");
    let given = [("x-request-id", "erp-7"), ("traceparent", traceparent.as_str())];
    let check = with(check_request(1, "hrms"), &given);
    let mut ids = vec![answered(&server.client.check_module(check).await.unwrap())];
    let check = with(check_request(1, "hrms"), &[("x-request-id", "is no id")]);
    ids.push(answered(&server.client.check_module(check).await.unwrap()));
    let batch = BatchCheckModulesRequest {
        tenant_id: id(1),
        module_codes: vec!["hrms".to_owned()],
        ..Default::default()
    };
    ids.push(answered(&server.client.batch_check_modules(batch).await.unwrap()));
    let authorize = AuthorizeRequest {
        tenant_id: id(1),
        any_of_module_codes: vec!["hrms".to_owned()],
        ..Default::default()
    };
    ids.push(answered(&server.client.authorize(authorize).await.unwrap()));
    server.running.stop().await.unwrap();

    let logged: Vec<_> = lines(&path).iter().map(|line| line["request_id"].clone()).collect();
    assert_eq!(logged, ids);
    assert_eq!(ids[0], "erp-7");
    assert!(ids[1..].iter().all(|id| id.len() == 16), "{ids:?}");
    let traces: Vec<_> = lines(&path).iter().map(|line| line["trace_id"].clone()).collect();
    assert_eq!(traces[0], TRACE);
    assert!(traces[1..].iter().all(serde_json::Value::is_null), "{traces:?}");
}
