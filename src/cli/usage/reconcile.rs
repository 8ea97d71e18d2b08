//! `usage reconcile`.

use std::{error::Error, pin::pin};

use futures_util::TryStreamExt;

use crate::{
    cli::{
        DENIED, GOOD,
        output::{CommandResult, print},
        tenant::{key, name_of},
    },
    clock::Clock,
    config::UsageReconcileArgs,
    domain::LimitKind,
    escape::escape_control,
    server::database,
    store::{Store, TenantKey, usage::ByQuery},
};

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
    let mut tenants = pin!(store.all_tenants());
    while let Some((tenant, _)) = tenants.try_next().await? {
        one(store, args, &TenantKey::Id(tenant), &mut totals).await?;
    }
    Ok(totals)
}

async fn is_a_level(store: &Store, meter: &str) -> Result<(), Box<dyn Error>> {
    match store.limit_kind(meter, Clock::System.now()).await? {
        None => Err(format!("there is no limit {meter:?}").into()),
        Some(LimitKind::Monthly) => {
            Err(format!("{meter:?} is monthly: only a level can be reconciled").into())
        }
        Some(LimitKind::Level) => Ok(()),
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
    let name = name_of(tenant);
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
