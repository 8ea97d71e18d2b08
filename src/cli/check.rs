//! `entitlementd check`: why is this customer locked out?

use std::{
    fmt::{self, Write},
    time::Duration,
};

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::{
    DENIED, GOOD,
    output::{CommandResult, print, print_json},
    tenant::key,
};
use crate::{
    clock::Clock,
    config::{CheckArgs, UnusableSetting},
    domain::{
        Catalogue, Decision, HeldSubscription, ModuleCode, check, decision::deciding_subscription,
        explain::rules,
    },
    escape::escape_control,
    server::database::{self, Opening},
    store::{
        ChangeLog, Durations, Evidence, LoadTenant, Store, StoreError, SubscriptionEvidence,
        TenantKey,
    },
};

/// How long a statement, and the wait for a connection, may take.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(1);

/// What the database holds of a tenant and a module, and the resulting decision.
struct Examined {
    module: String,
    at: DateTime<Utc>,
    evidence: Option<Evidence>,
    catalogue: Catalogue,
    decision: Decision,
}

/// Queries the database as a server would, and prints the answer with everything that it rests on.
pub(crate) async fn run(args: CheckArgs) -> CommandResult {
    let key = key(&args.tenant)?;
    let module = ModuleCode::validate(&args.module)
        .map_err(|error| UnusableSetting::new("--module", error))?;
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
    let examined = examine(&store, &key, module, args.at).await;
    store.close().await;
    let examined = examined?;
    if args.json {
        print_json(&examined.as_json())?
    } else {
        print(&examined.as_text()?)?
    };
    Ok(if examined.decision.allowed() { GOOD } else { DENIED })
}

async fn examine(
    store: &Store,
    key: &TenantKey,
    module: &str,
    at: Option<DateTime<Utc>>,
) -> Result<Examined, StoreError> {
    let now = Clock::System.now();
    let at = at.unwrap_or(now);
    let evidence = store.read(key, now).await?.evidence;
    let catalogue = store.load_catalogue(now).await?.value;
    let decision = check(evidence.as_ref().map(|evidence| &evidence.facts), &catalogue, module, at);
    Ok(Examined { module: module.to_owned(), at, evidence, catalogue, decision })
}

impl Examined {
    fn plan_slugs(&self) -> Vec<String> {
        self.catalogue.plans_against(self.decision.reason, &self.module)
    }

    /// The subscriptions to the module, each with whether it is the one that decides.
    fn subscriptions(&self) -> Vec<(&HeldSubscription, &SubscriptionEvidence, bool)> {
        let Some(evidence) = &self.evidence else { return Vec::new() };
        let code = self.catalogue.code_of_now(&self.module);
        let deciding = deciding_subscription(&evidence.facts, code, self.decision, self.at);
        let rows = evidence.rows_of(code).enumerate();
        rows.map(|(place, (row, words))| (row, words, deciding == Some(place))).collect()
    }

    fn as_text(&self) -> Result<String, fmt::Error> {
        let Self { module, at, evidence, catalogue, decision } = self;
        let mut out = String::new();
        let verdict = if decision.allowed() { "ALLOWED" } else { "DENIED" };
        writeln!(out, "{:<13}{verdict}  {}", "decision", decision.reason.word())?;
        let message = decision.reason.message(module);
        if !message.is_empty() {
            writeln!(out, "{:<13}{}", "message", escape_control(&message))?;
        }
        let plan_slugs = self.plan_slugs();
        if !plan_slugs.is_empty() {
            writeln!(out, "{:<13}{}", "plans", escape_control(&plan_slugs.join(", ")))?;
        }
        writeln!(out, "{:<13}{}", "at", instant(*at))?;
        writeln!(
            out,
            "{:<13}{}",
            "valid until",
            instant_or(decision.valid_until, "time alone changes nothing")
        )?;
        out.push('\n');
        match evidence {
            Some(evidence) => write_tenant(&mut out, evidence)?,
            None => writeln!(out, "{:<13}none", "tenant")?,
        }
        match catalogue.module(module) {
            Some(module) => {
                let sold = if module.is_active { "sold" } else { "no longer sold" };
                writeln!(
                    out,
                    "{:<13}{}, {}, {sold}",
                    "module",
                    escape_control(module.code.as_str()),
                    escape_control(&module.name)
                )?;
            }
            None => writeln!(out, "{:<13}none", "module")?,
        }
        for (row, words, decides) in self.subscriptions() {
            write_subscription(&mut out, row, words, decides, *at)?;
        }
        out.push('\n');
        for rule in rules(*decision) {
            writeln!(out, "{:>4}  {:<36}{}", rule.order, rule.condition, rule.outcome.word())?;
        }
        Ok(out)
    }

    /// JSON with the proto's names. Instants are RFC 3339; what is absent is null.
    fn as_json(&self) -> Value {
        let Self { module, at, evidence, catalogue, decision } = self;
        let subscription =
            |(row, words, decides): (&HeldSubscription, &SubscriptionEvidence, bool)| {
                json!({
                    "id": words.id,
                    "status": words.status,
                    "starts_at": row.starts_at.map(instant),
                    "expires_at": row.expires_at.map(instant),
                    "is_trial": row.is_trial,
                    "trial_ends_at": row.trial_ends_at.map(instant),
                    "reason": row.reason(*at).word(),
                    "decides": decides,
                })
            };
        json!({
            "allowed": decision.allowed(),
            "reason": decision.reason.word(),
            "message": decision.reason.message(module),
            "plan_slugs": self.plan_slugs(),
            "at": instant(*at),
            "valid_until": decision.valid_until.map(instant),
            "tenant": evidence.as_ref().map(tenant_as_json),
            "module": catalogue.module(module).map(|module| json!({
                "code": module.code.as_str(),
                "name": module.name,
                "is_active": module.is_active,
            })),
            "subscriptions": self.subscriptions().into_iter().map(subscription).collect::<Vec<_>>(),
            "rules": rules(*decision).map(|rule| json!({
                "order": rule.order,
                "condition": rule.condition,
                "outcome": rule.outcome.word(),
            })).collect::<Vec<_>>(),
        })
    }
}

fn tenant_as_json(evidence: &Evidence) -> Value {
    let tenant = &evidence.facts.tenant;
    json!({
        "id": tenant.id.to_string(),
        "name": &*tenant.name,
        "subdomain": &*tenant.subdomain,
        "database_schema": &*tenant.database_schema,
        "status": evidence.tenant.status,
        "plan_slug": tenant.plan_slug.as_deref().unwrap_or_default(),
    })
}

fn write_tenant(out: &mut String, evidence: &Evidence) -> fmt::Result {
    let tenant = &evidence.facts.tenant;
    let status = evidence.tenant.status.as_deref().unwrap_or("NULL");
    let plan = escape_control(
        tenant.plan_slug.as_deref().filter(|slug| !slug.is_empty()).unwrap_or("none"),
    );
    let [subdomain, name, schema] =
        [&tenant.subdomain, &tenant.name, &tenant.database_schema].map(|text| escape_control(text));
    writeln!(out, "{:<13}{subdomain} ({}), {name}", "tenant", tenant.id)?;
    writeln!(out, "{:<13}status {status:?}, plan {plan}, schema {schema}", "")
}

fn write_subscription(
    out: &mut String,
    row: &HeldSubscription,
    words: &SubscriptionEvidence,
    decides: bool,
    at: DateTime<Utc>,
) -> fmt::Result {
    let decides = if decides { ", decides" } else { "" };
    let status = words.status.as_deref().unwrap_or("NULL");
    writeln!(out, "{:<13}{}: {}{decides}", "subscription", words.id, row.reason(at).word())?;
    write!(out, "{:<13}status {status:?}", "")?;
    write!(out, ", starts {}", instant_or(row.starts_at, "always"))?;
    write!(out, ", expires {}", instant_or(row.expires_at, "never"))?;
    if row.is_trial {
        write!(out, ", trial ends {}", instant_or(row.trial_ends_at, "never"))?;
    }
    out.push('\n');
    Ok(())
}

/// An instant as stored: a subscription may end within a second.
fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

fn instant_or(at: Option<DateTime<Utc>>, absent: &str) -> String {
    at.map_or_else(|| absent.to_owned(), instant)
}
