//! ListTenantIds.

use chrono::DateTime;
use entitlementd::proto::v1::{ListTenantIdsRequest, ListTenantIdsResponse};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::harness::{Database, NOW, Row, Server, id, pooler::Pooler, postgres};

async fn page(
    server: &mut Server,
    module: &str,
    page_size: i32,
    page_token: &str,
) -> Result<ListTenantIdsResponse, Status> {
    let (module_code, page_token) = (module.to_owned(), page_token.to_owned());
    let request = ListTenantIdsRequest { module_code, page_size, page_token };
    Ok(server.client.list_tenant_ids(request).await?.into_inner())
}

/// All pages of this size.
async fn all(server: &mut Server, module: &str, page_size: i32) -> Vec<String> {
    let (mut listed, mut token) = (Vec::new(), String::new());
    loop {
        let answer = page(server, module, page_size, &token).await.unwrap();
        assert!(page_size == 0 || answer.tenant_ids.len() <= page_size as usize);
        let as_of = answer.as_of.unwrap();
        assert_eq!(DateTime::from_timestamp(as_of.seconds, 0).unwrap(), NOW);
        listed.extend(answer.tenant_ids);
        token = answer.next_page_token;
        if token.is_empty() {
            return listed;
        }
    }
}

fn ids(numbers: &[u32]) -> Vec<String> {
    numbers.iter().map(|number| id(*number)).collect()
}

/// Tenants of every kind. Of those that are served, 1, 4, 6 and 10 may use finance now.
async fn many(database: &Database) {
    for (number, status, rows) in [
        (1, "active", vec![Row::default()]),
        (2, "active", vec![Row { expires: Some(0), ..Row::default() }]),
        (3, "active", vec![Row { starts: 1, ..Row::default() }]),
        (4, " Pending ", vec![Row::default()]),
        (5, "suspended", vec![Row::default()]),
        (6, "active", vec![Row { is_trial: true, trial_ends: Some(1), ..Row::default() }]),
        (7, "active", vec![Row { status: "cancelled", ..Row::default() }]),
        (8, "pending_setup", vec![Row::default()]),
        (9, "active", vec![]),
        (10, "active", vec![Row { expires: Some(1), ..Row::default() }]),
    ] {
        database.mk_tenant(number, &format!("tenant-{number}"), status).await;
        for row in rows {
            database.mk_subscription(number, "finance", row).await;
        }
        database
            .mk_subscription(number, "hrms", Row { status: "suspended", ..Row::default() })
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_hold_each_tenant_that_is_served_once_and_in_order() {
    for database in [Database::sqlite().await, Database::postgres().await] {
        many(&database).await;
        let mut server = Server::start_with(database, &[]).await;
        for size in [0, 1, 2, 3, 10, 11, i32::MAX] {
            assert_eq!(all(&mut server, "", size).await, ids(&[1, 2, 3, 4, 6, 7, 9, 10]), "{size}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_module_they_are_exactly_those_that_a_check_allows() {
    for database in [Database::sqlite().await, Database::postgres().await] {
        many(&database).await;
        let mut server = Server::start_with(database, &[]).await;
        let mut allowed = Vec::new();
        for number in 1..=10 {
            if server.check(number, "finance").await.allowed {
                allowed.push(id(number));
            }
        }
        assert_eq!(allowed, ids(&[1, 4, 6, 10]));
        for size in [0, 1, 2, 3, 10] {
            assert_eq!(all(&mut server, "finance", size).await, allowed, "{size}");
        }
        for module in ["hrms", "marketing", "no such module"] {
            assert!(all(&mut server, module, 2).await.is_empty(), "{module}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_with_several_rows_for_a_module_is_one() {
    let database = Database::postgres().await;
    many(&database).await;
    for number in [1, 2, 6] {
        database
            .mk_subscription(number, "finance", Row { expires: Some(-5), ..Row::default() })
            .await;
        database
            .mk_subscription(number, "finance", Row { status: "cancelled", ..Row::default() })
            .await;
    }
    let mut server = Server::start_with(database, &[]).await;
    for size in [1, 2, 3] {
        assert_eq!(all(&mut server, "finance", size).await, ids(&[1, 4, 6, 10]), "{size}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_a_pooler_the_same_is_listed() {
    let database = Database::postgres().await;
    many(&database).await;
    let pooler = Pooler::to(postgres::shared().port(), &[]);
    let url = pooler.url(&database.name);
    let flags = ["--database-pooler", "transaction"];
    let mut server = Server::start_with(database.by_way_of(url).await, &flags).await;
    assert_eq!(all(&mut server, "", 3).await, ids(&[1, 2, 3, 4, 6, 7, 9, 10]));
    assert_eq!(all(&mut server, "finance", 3).await, ids(&[1, 4, 6, 10]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_named_all_at_once() {
    let mut server = Server::start(Database::sqlite().await).await;
    let status = page(&mut server, "a\nb", -1, "somewhere").await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let violations = status.get_details_bad_request().unwrap().field_violations;
    let fields: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, ["module_code", "page_size", "page_token"]);
}
