//! `tenant list`.

use serde_json::{Value, json};

use crate::{
    cli::output::{CommandResult, print, print_json, table},
    clock::Clock,
    config::{ListTenantsArgs, UnusableSetting},
    domain::TenantId,
    escape::escape_control,
    server::database,
    store::{ListOfTenants, ListedTenant, TenantFilter},
};

pub(crate) async fn run(args: ListTenantsArgs) -> CommandResult {
    let ListTenantsArgs { text, status, plan, module, after, limit, database, json } = args;
    let after = after.as_deref().map(TenantId::parse).transpose();
    let after = after.map_err(|error| UnusableSetting::new("--after", error))?;
    let filter = TenantFilter { statuses: status, plan, module, text, after, size: limit };
    let store = database::open_to_read(&database).await?;
    let read = store.list_tenants(&filter, Clock::System.now()).await;
    store.close().await;
    let list = read?;
    if json { print_json(&as_json(&list)) } else { print(&as_text(&list)) }
}

fn as_text(list: &ListOfTenants) -> String {
    let mut table = table(&["SUBDOMAIN", "NAME", "STATUS", "PLAN", "ID"]);
    for ListedTenant { id, name, subdomain, status, plan_slug, .. } in &list.tenants {
        table.add_row([
            escape_control(subdomain).into_owned(),
            escape_control(name).into_owned(),
            escape_control(status).into_owned(),
            escape_control(plan_slug).into_owned(),
            id.to_string(),
        ]);
    }
    format!("{}\n{} of {}", table.trim_fmt(), list.tenants.len(), list.total)
}

/// JSON with the proto's names.
fn as_json(list: &ListOfTenants) -> Value {
    let tenants = list.tenants.iter().map(|tenant| {
        json!({
            "id": tenant.id.to_string(),
            "name": tenant.name,
            "subdomain": tenant.subdomain,
            "database_schema": tenant.database_schema,
            "status_word": tenant.status,
            "plan_slug": tenant.plan_slug,
        })
    });
    json!({ "tenants": tenants.collect::<Vec<_>>(), "total": list.total })
}
