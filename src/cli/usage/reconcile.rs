//! `usage reconcile`.

use std::error::Error;

use chrono::TimeDelta;

use crate::{
    cli::{
        DENIED, GOOD,
        output::{CommandResult, print},
        tenant::key,
    },
    clock::Clock,
    config::UsageReconcileArgs,
    domain::{LimitKind, MeterId, UsageKey, limits::MAX_RECONCILED},
    escape::escape_control,
    server::database,
    store::{PageOfTenants, ReconcileRequest, Reconciled, Store, TenantKey},
};

/// Things of one tenant at most.
const MAX_THINGS: usize = 1_000_000;

/// Tenants that are read at a time.
const PAGE: u32 = 500;

/// What servers count while a tenant's table is read, and how far their clocks may be from ours: what
/// is younger is left as it is.
const YOUNG: TimeDelta = TimeDelta::seconds(30);

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
    let line = match of_tenant(store, args, tenant).await {
        Ok(Done { things, counted: 0, released: 0 }) if !args.preview => {
            tracing::debug!(tenant = name, things, "right already");
            return Ok(());
        }
        Ok(Done { things, counted, released }) => {
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

struct Done {
    things: usize,
    counted: i64,
    released: i64,
}

async fn of_tenant(
    store: &Store,
    args: &UsageReconcileArgs,
    tenant: &TenantKey,
) -> Result<Done, Box<dyn Error>> {
    let began = Clock::System.now();
    let found = store.things_of_tenant(tenant, &args.sql, MAX_THINGS, began).await?;
    let (id, mut things) = found.ok_or("there is no such tenant")?;
    things.sort_unstable();
    things.dedup();
    let mut done = Done { things: things.len(), counted: 0, released: 0 };
    if args.preview {
        return Ok(done);
    }
    let meter = MeterId { tenant: id, meter: args.meter.as_str().into() };
    for (after, up_to, keys) in ranges(&things) {
        let request =
            ReconcileRequest { meter: meter.clone(), keys, as_of: began - YOUNG, after, up_to };
        let reconciled = store.reconcile(&request, Clock::System.now()).await?;
        let Some(Reconciled { counted, released, .. }) = reconciled else { continue };
        done.counted += counted;
        done.released += released;
    }
    Ok(done)
}

/// The things in ranges that cover everything: each begins after the one before ends.
fn ranges(things: &[UsageKey]) -> Vec<(String, String, Vec<UsageKey>)> {
    let mut chunks: Vec<&[UsageKey]> = things.chunks(MAX_RECONCILED).collect();
    if chunks.is_empty() {
        chunks.push(&[]);
    }
    let count = chunks.len();
    let mut after = String::new();
    let range = |(place, keys): (usize, &[UsageKey])| {
        let last = keys.last().filter(|_| place + 1 < count);
        let up_to = last.map(|key| key.as_str().to_owned()).unwrap_or_default();
        (std::mem::replace(&mut after, up_to.clone()), up_to, keys.to_vec())
    };
    chunks.into_iter().enumerate().map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_everything_and_touch() {
        let keys = |count: usize| -> Vec<UsageKey> {
            (0..count).map(|number| UsageKey::parse(&format!("{number:05}")).unwrap()).collect()
        };
        for count in [0, 1, MAX_RECONCILED, MAX_RECONCILED + 1, 3 * MAX_RECONCILED] {
            let ranges = ranges(&keys(count));
            assert_eq!(ranges.iter().map(|(.., keys)| keys.len()).sum::<usize>(), count);
            assert_eq!((ranges[0].0.as_str(), ranges.last().unwrap().1.as_str()), ("", ""));
            for pair in ranges.windows(2) {
                assert!(pair[0].1 == pair[1].0 && !pair[0].1.is_empty(), "{count}");
            }
            for (after, up_to, keys) in ranges {
                let is_in = |key: &UsageKey| {
                    key.as_str() > &*after && (up_to.is_empty() || key.as_str() <= &*up_to)
                };
                assert!(keys.iter().all(is_in));
            }
        }
    }
}
