//! `tenant provision` and `tenant verify`: the schemas of tenants and the template.

use std::{error::Error, future::Future};

use futures_util::{StreamExt, TryStreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::{key, mutate::author, name_of, onboard::NO_SCHEMA, open_for_many};
use crate::{
    cli::output::{CommandResult, print, print_json},
    cli::{DENIED, GOOD},
    clock::Clock,
    config::{ProvisionArgs, VerifyArgs},
    domain::{TenantStatus, template::Differences},
    escape::escape_control,
    server::{database, template},
    store::{MutationError, Provisioned, Store, TenantKey},
};

/// Connections beyond those of the tenants in progress: revisions are read when a tenant is done.
const SPARED: u32 = 2;

pub(crate) async fn run(args: ProvisionArgs) -> CommandResult {
    let ProvisionArgs { tenant, all: _, concurrency, mutation: args } = args;
    let author = author(&args);
    let one = tenant.as_deref().map(key).transpose()?;
    let store = open_for_many(&args, concurrency + SPARED).await?;
    let keys = keys(&store, one).await;
    let outcomes = match keys {
        Ok(keys) => Ok(each(keys, concurrency, |key| {
            let (store, author) = (&store, &author);
            async move { store.provision(&key, author).await }
        })
        .await),
        Err(error) => Err(error),
    };
    store.close().await;
    report(&outcomes?, args.json)
}

/// One tenant, or all that are not cancelled.
async fn keys(store: &Store, one: Option<TenantKey>) -> Result<Vec<TenantKey>, Box<dyn Error>> {
    if let Some(one) = one {
        return Ok(vec![one]);
    }
    let tenants: Vec<_> = store.all_tenants().try_collect().await?;
    let wanted = tenants
        .iter()
        .filter(|(_, status)| !matches!(status, TenantStatus::Cancelled | TenantStatus::Other));
    Ok(wanted.map(|(id, _)| TenantKey::Id(*id)).collect())
}

/// Does it for each tenant, a limited number at a time, and shows progress. A failure does not stop
/// the others.
async fn each<T, F: Future<Output = Result<T, MutationError>>>(
    keys: Vec<TenantKey>,
    concurrency: u32,
    work: impl Fn(TenantKey) -> F,
) -> Vec<(String, Result<T, MutationError>)> {
    let bar = ProgressBar::new(keys.len() as u64);
    if let Ok(style) = ProgressStyle::with_template("{pos}/{len} tenants {wide_bar} {eta} left") {
        bar.set_style(style);
    }
    let (bar_of_all, work) = (&bar, &work);
    let all = stream::iter(keys).map(|key| async move {
        let name = name_of(&key);
        let done = work(key).await;
        bar_of_all.inc(1);
        (name, done)
    });
    let mut outcomes: Vec<_> = all.buffer_unordered(concurrency as usize).collect().await;
    bar.finish_and_clear();
    outcomes.sort_by(|(one, _), (other, _)| one.cmp(other));
    outcomes
}

fn report(outcomes: &[(String, Result<Provisioned, MutationError>)], json: bool) -> CommandResult {
    let failures = outcomes.iter().filter_map(|(name, done)| Some((name, done.as_ref().err()?)));
    let failures: Vec<_> = failures.map(|(name, error)| (name, error.to_string())).collect();
    let changed = outcomes
        .iter()
        .filter_map(|(_, done)| done.as_ref().ok())
        .filter(|done| done.has_changed())
        .count();
    if json {
        let failures: Vec<Value> = failures
            .iter()
            .map(|(name, error)| json!({ "tenant": name, "error": error }))
            .collect();
        print_json(
            &json!({ "tenants": outcomes.len(), "changed": changed, "failures": failures }),
        )?;
    } else {
        for (name, error) in &failures {
            eprintln!("failed: {} {}", escape_control(name), escape_control(error));
        }
        let failed = failures.len();
        if outcomes.iter().any(|(_, done)| done.as_ref().is_ok_and(|done| done.schema.is_none())) {
            eprintln!("{NO_SCHEMA}");
        }
        print(&format!(
            "{} tenants looked at, {changed} changed, {failed} failed",
            outcomes.len()
        ))?;
    }
    Ok(if failures.is_empty() { GOOD } else { DENIED })
}

pub(crate) async fn verify(args: VerifyArgs) -> CommandResult {
    let VerifyArgs { tenant, tenant_template, database, json } = args;
    let one = tenant.as_deref().map(key).transpose()?;
    let template = template::load(Some(&tenant_template))?;
    let store = database::open_to_read(&database).await?.with_template(template);
    let at = Clock::System.now();
    let found = match keys(&store, one).await {
        Ok(keys) => Ok(each(keys, 1, |key| {
            let store = &store;
            async move { store.differences(&key, at).await }
        })
        .await),
        Err(error) => Err(error),
    };
    store.close().await;
    let mut lines = Vec::new();
    for (name, differences) in found? {
        match differences? {
            None => lines.push((name, None)),
            Some(differences) if differences.is_none() => {}
            some => lines.push((name, some)),
        }
    }
    if json {
        print_json(
            &lines
                .iter()
                .map(|(name, differences)| difference_json(name, differences.as_ref()))
                .collect(),
        )?;
    } else if lines.is_empty() {
        print("every schema is as the template says")?;
    } else {
        let all: Vec<String> = lines
            .iter()
            .map(|(name, differences)| difference_text(name, differences.as_ref()))
            .collect();
        print(&all.join("\n"))?;
    }
    Ok(if lines.is_empty() { GOOD } else { DENIED })
}

fn difference_text(name: &str, differences: Option<&Differences>) -> String {
    let Some(Differences { missing, changed, unknown }) = differences else {
        return format!("{}: its schema was not made from a template", escape_control(name));
    };
    let words =
        [("lacks", missing), ("has an older", changed), ("has what the template lacks:", unknown)];
    let words = words.iter().filter(|(_, files)| !files.is_empty());
    let words: Vec<String> =
        words.map(|(word, files)| format!("{word} {}", files.join(", "))).collect();
    escape_control(&format!("{name}: {}", words.join("; "))).into_owned()
}

fn difference_json(name: &str, differences: Option<&Differences>) -> Value {
    match differences {
        None => json!({ "tenant": name, "from_template": false }),
        Some(Differences { missing, changed, unknown }) => {
            json!({ "tenant": name, "from_template": true, "missing": missing, "changed": changed, "unknown": unknown })
        }
    }
}
