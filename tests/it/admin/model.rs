//! Operations at random, against the service and against a model that is simple enough to be
//! believed.

use std::collections::{BTreeMap, BTreeSet};

use entitlementd::{
    domain::Role,
    proto::v1::{
        ChangePlanRequest, DeleteTenantRequest, DisableModulesRequest, EnableModulesRequest,
        GetTenantRequest, ListTenantsRequest, OnboardTenantRequest, SetTenantStatusRequest,
        TenantChange, TenantStatus,
    },
};
use fastrand::Rng;
use tonic::{Code, Status};

use super::Admin;
use crate::harness::Database;

type Codes = BTreeSet<&'static str>;

/// The modules that are sold, what each depends on, and what it costs for a month.
const MODULES: [(&str, Option<&str>, u32); 6] = [
    ("system_admin", None, 2999),
    ("oms_fulfillment", None, 12_999),
    ("d2c_storefront", Some("oms_fulfillment"), 3999),
    ("sales_distribution", Some("oms_fulfillment"), 7999),
    ("finance", None, 9999),
    ("hrms", None, 4999),
];
const BASE: &str = "system_admin";
const PLANS: [(&str, &[&str]); 2] = [
    ("starter", &["system_admin", "oms_fulfillment", "d2c_storefront"]),
    ("people", &["system_admin", "hrms"]),
];
const SUBDOMAINS: [&str; 3] = ["acme", "bolt", "crow"];

#[derive(Clone, Debug, Default, PartialEq)]
struct Tenant {
    status: &'static str,
    plan: &'static str,
    modules: Codes,
}

#[derive(Clone, Debug)]
enum Operation {
    Onboard { plan: Option<&'static str>, modules: Codes },
    Enable { modules: Codes, along: bool },
    Disable { modules: Codes, along: bool },
    ChangePlan { plan: &'static str, along: bool },
    SetStatus(TenantStatus),
    Delete,
}

fn some_modules(dice: &mut Rng) -> Codes {
    (0..=dice.usize(0..2)).map(|_| dice.choice(MODULES).unwrap().0).collect()
}

fn operation(dice: &mut Rng) -> Operation {
    let (plan, along) = (dice.choice(PLANS).unwrap().0, dice.bool());
    match dice.u32(0..12) {
        0 => Operation::Onboard { plan: Some(plan), modules: Codes::new() },
        1 => Operation::Onboard { plan: None, modules: some_modules(dice) },
        2..=5 => Operation::Enable { modules: some_modules(dice), along },
        6..=7 => Operation::Disable { modules: some_modules(dice), along },
        8 => Operation::ChangePlan { plan, along },
        9..=10 => {
            let [active, suspended, cancelled] =
                [TenantStatus::Active, TenantStatus::Suspended, TenantStatus::Cancelled];
            Operation::SetStatus(
                dice.choice([active, active, active, suspended, cancelled]).unwrap(),
            )
        }
        _ => Operation::Delete,
    }
}

fn needs(module: &str) -> Option<&'static str> {
    MODULES.iter().find(|(code, ..)| *code == module).unwrap().1
}

fn modules_of(plan: &str) -> Codes {
    PLANS
        .iter()
        .find(|(slug, _)| *slug == plan)
        .map(|(_, modules)| modules.iter().copied().collect())
        .unwrap_or_default()
}

/// Every module has what it depends on.
fn is_whole(modules: &Codes) -> bool {
    modules.iter().all(|module| needs(module).is_none_or(|needed| modules.contains(needed)))
}

/// What becomes of a tenant; `None`: it is refused.
fn judge(before: Option<&Tenant>, operation: &Operation) -> Option<Option<Tenant>> {
    if let Operation::Onboard { plan, modules } = operation {
        let mut modules = modules | &modules_of(plan.unwrap_or_default());
        modules.insert(BASE);
        let tenant = Tenant { status: "active", plan: plan.unwrap_or_default(), modules };
        return (before.is_none() && is_whole(&tenant.modules)).then_some(Some(tenant));
    }
    let mut tenant = before?.clone();
    let old = tenant.modules.clone();
    match operation {
        Operation::Onboard { .. } => unreachable!(),
        Operation::Enable { modules, along } => {
            if tenant.status != "active" {
                return None;
            }
            tenant.modules.extend(modules);
            if *along {
                tenant.modules.extend(modules.iter().filter_map(|module| needs(module)));
            }
        }
        Operation::Disable { modules, along } => {
            if modules.contains(BASE) {
                return None;
            }
            tenant.modules = without(&old, modules, *along);
        }
        Operation::ChangePlan { plan, along } => {
            if tenant.status != "active" {
                return None;
            }
            let (new, mut gone) = (modules_of(plan), modules_of(tenant.plan));
            gone.retain(|module| !new.contains(module) && *module != BASE);
            tenant.plan = plan;
            tenant.modules = without(&(&old | &new), &gone, *along);
        }
        Operation::SetStatus(status) => {
            let word = match status {
                TenantStatus::Active => "active",
                TenantStatus::Suspended => "suspended",
                _ => "cancelled",
            };
            if (tenant.status, word) == ("cancelled", "suspended") {
                return None;
            }
            tenant.status = word;
        }
        Operation::Delete => return (tenant.status == "cancelled").then_some(None),
    }
    is_whole(&tenant.modules).then_some(Some(tenant))
}

fn without(modules: &Codes, gone: &Codes, along: bool) -> Codes {
    let goes = |module: &str| {
        gone.contains(module) || along && needs(module).is_some_and(|needed| gone.contains(needed))
    };
    modules.iter().copied().filter(|module| !goes(module)).collect()
}

async fn perform(
    admin: &mut Admin,
    subdomain: &str,
    operation: &Operation,
) -> Result<TenantChange, Status> {
    let tenant = subdomain.to_owned();
    let codes = |codes: &Codes| codes.iter().map(ToString::to_string).collect::<Vec<_>>();
    match operation.clone() {
        Operation::Onboard { plan, modules } => {
            let request = OnboardTenantRequest {
                name: subdomain.to_uppercase(),
                subdomain: tenant,
                plan_slug: plan.unwrap_or_default().into(),
                module_codes: codes(&modules),
                ..Default::default()
            };
            let request = admin.by(Role::Operator, request);
            Ok(admin.client.onboard_tenant(request).await?.into_inner().change.unwrap())
        }
        Operation::Enable { modules, along } => {
            let module_codes = codes(&modules);
            let include_dependencies = along;
            admin
                .enable(EnableModulesRequest {
                    tenant,
                    module_codes,
                    include_dependencies,
                    ..Default::default()
                })
                .await
        }
        Operation::Disable { modules, along } => {
            let module_codes = codes(&modules);
            let include_dependents = along;
            admin
                .disable(DisableModulesRequest {
                    tenant,
                    module_codes,
                    include_dependents,
                    ..Default::default()
                })
                .await
        }
        Operation::ChangePlan { plan, along } => {
            let (plan_slug, include_dependents) = (plan.to_owned(), along);
            admin
                .change_plan(ChangePlanRequest {
                    tenant,
                    plan_slug,
                    include_dependents,
                    ..Default::default()
                })
                .await
        }
        Operation::SetStatus(status) => {
            let (status, reason) = (status.into(), "why not".to_owned());
            admin
                .set_status(SetTenantStatusRequest { tenant, status, reason, ..Default::default() })
                .await
        }
        Operation::Delete => {
            let name = subdomain.to_uppercase();
            let request =
                admin.by(Role::Owner, DeleteTenantRequest { tenant, name, ..Default::default() });
            Ok(admin.client.delete_tenant(request).await?.into_inner().change.unwrap())
        }
    }
}

/// Is the tenant, as everybody sees it, what the model says?
async fn is_as_modelled(admin: &mut Admin, subdomain: &str, wanted: Option<&Tenant>, told: &str) {
    let request = admin.by(Role::Viewer, GetTenantRequest { tenant: subdomain.into() });
    let found = admin.client.get_tenant(request).await;
    let Some(wanted) = wanted else {
        return assert_eq!(found.unwrap_err().code(), Code::NotFound, "{told}");
    };
    let found = found.unwrap().into_inner();
    let tenant = found.tenant.unwrap();
    assert_eq!(
        (tenant.status.as_deref(), tenant.plan_slug.as_str()),
        (Some(wanted.status), wanted.plan),
        "{told}"
    );
    let allowed: BTreeSet<&str> = found
        .modules
        .iter()
        .filter(|module| module.allowed)
        .map(|module| module.module_code.as_str())
        .collect();
    let may = if wanted.status == "active" { wanted.modules.clone() } else { Codes::new() };
    assert_eq!(allowed, may, "{told}");
}

async fn run(database: Database, seed: u64) {
    // `people` is ours, and the others are not sold here, so that the model need not know them.
    database
        .execute(
            "DELETE FROM plans WHERE slug NOT IN ('starter', 'growth');
             UPDATE plans SET slug = 'people', included_modules = '[\"system_admin\", \"hrms\"]' WHERE slug = 'growth'",
        )
        .await;
    let mut admin = Admin::of(database, &["--changes", "auto", "--poll-interval", "20ms"]).await;
    let mut dice = Rng::with_seed(seed);
    let mut model: BTreeMap<&str, Tenant> = BTreeMap::new();
    let mut revisions: BTreeMap<String, u64> = BTreeMap::new();
    let (mut done, mut refused) = (0, 0);
    for step in 0..300 {
        let (subdomain, operation) = (dice.choice(SUBDOMAINS).unwrap(), operation(&mut dice));
        let before = model.get(subdomain).cloned();
        let told = format!("seed {seed}, step {step}: {operation:?} to {subdomain}, {before:?}");
        let judged = judge(before.as_ref(), &operation);
        match (perform(&mut admin, subdomain, &operation).await, &judged) {
            (Ok(change), Some(after)) => {
                done += 1;
                let last = revisions.entry(change.tenant_id.clone()).or_default();
                let has_changed = before != *after;
                assert!(
                    change.revision > *last || (change.revision == *last && !has_changed),
                    "{told}"
                );
                *last = change.revision;
                let prices = after.iter().flat_map(|tenant| &tenant.modules);
                let price: u32 = prices
                    .map(|code| MODULES.iter().find(|(one, ..)| one == code).unwrap().2)
                    .sum();
                assert_eq!(change.after.unwrap().price_monthly, format!("{price}.00"), "{told}");
                match after {
                    Some(after) => drop(model.insert(subdomain, after.clone())),
                    None => drop(model.remove(subdomain)),
                }
            }
            (Err(status), None) => {
                refused += 1;
                let known = [Code::FailedPrecondition, Code::AlreadyExists, Code::NotFound];
                assert!(known.contains(&status.code()), "{told}: {status}");
            }
            (answer, _) => panic!("{told}: {answer:?}, and the model says {judged:?}"),
        }
        is_as_modelled(&mut admin, subdomain, model.get(subdomain), &told).await;
    }
    let request = admin.by(Role::Viewer, ListTenantsRequest::default());
    assert_eq!(
        admin.client.list_tenants(request).await.unwrap().into_inner().total,
        model.len() as u64
    );
    assert!(done > 50 && refused > 50, "{done} done, {refused} refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_done_comes_out_as_the_model_says_on_sqlite() {
    run(Database::sqlite().await, 1).await;
    run(Database::sqlite().await, fastrand::u64(..)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_done_comes_out_as_the_model_says_on_postgresql() {
    run(Database::postgres().await, 2).await;
    run(Database::postgres().await, fastrand::u64(..)).await;
}
