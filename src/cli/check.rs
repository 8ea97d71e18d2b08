//! `entitlementd check`: why is this customer locked out?

mod feature;
mod limit;
mod module;
mod text;

use std::{fmt, time::Duration};

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{
    DENIED, GOOD,
    output::{CommandResult, print, print_json},
    tenant::key,
};
use crate::{
    clock::Clock,
    config::{CheckArgs, UnusableSetting},
    domain::{
        Catalogue, Facts, ModuleCode, Wanted,
        ids::validate_key,
        limits::{MAX_FEATURE_KEY_CHARS, MAX_LIMIT_KEY_CHARS},
    },
    server::database::{self, Opening},
    store::{ChangeLog, Durations, Evidence, LoadTenant, Store, StoreError, TenantKey},
};

/// How long a statement, and the wait for a connection, may take.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(1);

/// What the database holds of a tenant.
struct Found {
    /// The instant to judge.
    at: DateTime<Utc>,
    /// `None`: there is no such tenant.
    evidence: Option<Evidence>,
    catalogue: Catalogue,
}

impl Found {
    fn facts(&self) -> Option<&Facts> {
        self.evidence.as_ref().map(|evidence| &evidence.facts)
    }
}

/// An answer with everything that it rests on.
trait Answer {
    fn is_allowed(&self) -> bool;
    fn text(&self) -> Result<String, fmt::Error>;
    /// JSON with the proto's names. Instants are RFC 3339; what is absent is null.
    fn json(&self) -> Value;
}

/// Queries the database as a server would, and prints the answer with everything that it rests on.
pub(crate) async fn run(args: CheckArgs) -> CommandResult {
    let tenant = key(&args.tenant)?;
    if let Some(module) = &args.module {
        ModuleCode::validate(module).map_err(|error| UnusableSetting::new("--module", error))?;
    }
    if let Some(key) = &args.feature {
        let key = validate_key(key, MAX_FEATURE_KEY_CHARS);
        key.map_err(|error| UnusableSetting::new("--feature", error))?;
    }
    if let Some(key) = &args.limit {
        let key = validate_key(key, MAX_LIMIT_KEY_CHARS);
        key.map_err(|error| UnusableSetting::new("--limit", error))?;
    }
    let durations = Durations {
        acquire: STATEMENT_TIMEOUT,
        connect: STATEMENT_TIMEOUT,
        start: STATEMENT_TIMEOUT,
        statement: Some(STATEMENT_TIMEOUT),
    };
    // What is not needed may be missing: this is the tool for a database in trouble.
    let opening =
        Opening { durations, log: ChangeLog::LeftOut, create: false, ..database::PATIENT };
    let store = database::open_store(&args.database, &opening).await?;
    let found = find(&store, &tenant, args.at).await;
    store.close().await;
    let answer = answer(&args, found?);
    if args.json {
        print_json(&answer.json())?
    } else {
        print(&answer.text()?)?
    };
    Ok(if answer.is_allowed() { GOOD } else { DENIED })
}

async fn find(
    store: &Store,
    tenant: &TenantKey,
    at: Option<DateTime<Utc>>,
) -> Result<Found, StoreError> {
    let now = Clock::System.now();
    let evidence = store.read(tenant, now).await?.evidence;
    let catalogue = store.load_catalogue(now).await?.value;
    Ok(Found { at: at.unwrap_or(now), evidence, catalogue })
}

fn answer(args: &CheckArgs, found: Found) -> Box<dyn Answer> {
    let module = args.module.as_deref().unwrap_or_default();
    match (&args.limit, &args.feature) {
        (Some(key), _) => {
            let (observed, amount) =
                (args.observed.unwrap_or_default(), args.amount.unwrap_or_default());
            Box::new(limit::Examined::new(found, key, Wanted { observed, amount }))
        }
        (None, Some(key)) => Box::new(feature::Examined::new(found, module, key)),
        (None, None) => Box::new(module::Examined::of(found, module)),
    }
}
