//! `usage reconcile`.

use std::error::Error;

use crate::{
    cli::{
        DENIED, GOOD,
        output::{CommandResult, print},
        tenant::key,
    },
    clock::Clock,
    config::UsageReconcileArgs,
    domain::LimitKind,
    escape::escape_control,
    server::database,
    store::{PageOfTenants, Store, TenantKey, usage::ByQuery},
};

/// Tenants that are read at a time.
const PAGE: u32 = 500;

/// What was done so far.
#[derive(Default)]
struct Totals {
    tenants: u64,
    counted: i64,
    released: i64,
    failed: u64,
}

pub(super) async fn run(args: UsageReconcileArgs) -> CommandResult {
    let tenants = args.tenant.iter().map(|text| key(text)).collect::<Result<Vec<_>, _>>()?;
    let store = database::open_to_read(&args.database).await?;
    let done = all(&store, &args, tenants).await;
    store.close().await;
    let Totals { tenants, counted, released, failed } = done?;
    let sums = if args.preview {
        format!("{tenants} tenants, {failed} of them failed; nothing was changed")
    } else {
        format!(
            "{tenants} tenants, {failed} of them failed: {counted} counted, {released} released"
        )
    };
    print(&sums)?;
    Ok(if failed == 0 { GOOD } else { DENIED })
}

async fn all(
    store: &Store,
    args: &UsageReconcileArgs,
    only: Vec<TenantKey>,
) -> Result<Totals, Box<dyn Error>> {
    is_a_level(store, &args.meter).await?;
    let mut totals = Totals::default();
    if !only.is_empty() {
        for tenant in only {
            one(store, args, &tenant, &mut totals).await?;
        }
        return Ok(totals);
    }
    let mut after = None;
    loop {
        let page = store.tenants(PageOfTenants { after, size: PAGE }).await?;
        let Some((last, _)) = page.last() else { return Ok(totals) };
        after = Some(last.uuid());
        for (tenant, _) in page {
            one(store, args, &TenantKey::Id(tenant), &mut totals).await?;
        }
    }
}

async fn is_a_level(store: &Store, meter: &str) -> Result<(), Box<dyn Error>> {
    let entries = store.limit_entries(Clock::System.now()).await?;
    match entries.iter().find(|entry| *entry.defined.key == *meter) {
        None => Err(format!("there is no limit {meter:?}").into()),
        Some(entry) if entry.defined.kind != LimitKind::Level => {
            Err(format!("{meter:?} is monthly: only a level can be reconciled").into())
        }
        Some(_) => Ok(()),
    }
}

/// Puts one tenant right, and says so where there was something to put right. What fails for one
/// keeps none of the others.
async fn one(
    store: &Store,
    args: &UsageReconcileArgs,
    tenant: &TenantKey,
    totals: &mut Totals,
) -> Result<(), Box<dyn Error>> {
    totals.tenants += 1;
    let name = match tenant {
        TenantKey::Id(id) => id.to_string(),
        TenantKey::Subdomain(label) => label.as_str().to_owned(),
    };
    let (now, is_preview) = (Clock::System.now(), args.preview);
    let done = store.reconcile_by_query(tenant, &args.meter, &args.sql, is_preview, now).await;
    let line = match done {
        Ok(None) => {
            totals.failed += 1;
            format!("{name}: failed: there is no such tenant")
        }
        Ok(Some(ByQuery { things, counted: 0, released: 0 })) if !args.preview => {
            tracing::debug!(tenant = name, things, "right already");
            return Ok(());
        }
        Ok(Some(ByQuery { things, counted, released })) => {
            totals.counted += counted;
            totals.released += released;
            if args.preview {
                format!("{name}: {things} there")
            } else {
                format!("{name}: {things} there, {counted} counted, {released} released")
            }
        }
        Err(error) => {
            totals.failed += 1;
            format!("{name}: failed: {error}")
        }
    };
    print(&escape_control(&line)).map(drop)
}
