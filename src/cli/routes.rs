//! `entitlementd routes`.

mod import;

use std::{
    error::Error,
    io::{self, Write},
};

use super::{DENIED, GOOD, output::CommandResult, shadow_report};
use crate::{
    clock::Clock,
    config::{
        DatabaseArgs, RoutesArgs, RoutesCheckArgs, RoutesCommand, RoutesCommandArgs,
        RoutesExplainArgs,
    },
    domain::Catalogue,
    escape::escape_control,
    routes::{
        Access, Conflict, Finding, RouteMap, Rule, TokenUse, UnreadableEndpoint, check,
        check_method, rules_of, take_out_what_opens,
    },
    server::{
        database,
        gateway::{prefix, reading, rules},
    },
    store::LoadTenant,
};

pub(crate) async fn run(args: RoutesCommandArgs) -> CommandResult {
    match args.command {
        RoutesCommand::Check(args) => check_routes(args).await,
        RoutesCommand::Explain(args) => explain(args).await,
        RoutesCommand::Import(args) => import::run(&args),
        RoutesCommand::ShadowReport(args) => shadow_report::run(&args),
    }
}

/// The route map that a server would have now.
struct Assembled {
    map: RouteMap,
    conflicts: Vec<Conflict>,
    unreadable: Vec<UnreadableEndpoint>,
    /// Rules of the catalogue that would open what the settings close.
    left_out: Vec<Rule>,
    catalogue: Option<Catalogue>,
}

async fn assemble(
    routes: &RoutesArgs,
    database: &DatabaseArgs,
) -> Result<Assembled, Box<dyn Error>> {
    let mut rules = rules(routes)?;
    let catalogue = catalogue(database).await?;
    let prefix = prefix(&routes.words)?;
    let (mut more, unreadable) = catalogue
        .as_ref()
        .map(|catalogue| rules_of(catalogue, prefix.as_ref()))
        .unwrap_or_default();
    let left_out = take_out_what_opens(&rules, &mut more);
    rules.extend(more);
    let (mut map, conflicts) = RouteMap::new(rules, reading(routes));
    if let Some(catalogue) = &catalogue {
        map.know_codes_of(catalogue);
    }
    Ok(Assembled { map, conflicts, unreadable, left_out, catalogue })
}

/// The catalogue, if a database is named.
async fn catalogue(args: &DatabaseArgs) -> Result<Option<Catalogue>, Box<dyn Error>> {
    if args.database_url.is_none() && args.database_url_file.is_none() {
        return Ok(None);
    }
    let store = database::open_to_read(args).await?;
    let catalogue = store.load_catalogue(Clock::System.now()).await.map(|read| read.value);
    store.close().await;
    Ok(Some(catalogue?))
}

async fn check_routes(args: RoutesCheckArgs) -> CommandResult {
    let Assembled { map, conflicts, unreadable, left_out, catalogue } =
        assemble(&args.routes, &args.database).await?;
    let mut findings = check(&map, conflicts, catalogue.as_ref());
    findings.extend(left_out.into_iter().map(|rule| Finding::Opens { rule: Box::new(rule) }));
    let mut out = io::stdout().lock();
    for finding in &findings {
        writeln!(out, "{:<15} {}", finding.kind(), escape_control(&finding.to_string()))?;
    }
    for endpoint in &unreadable {
        writeln!(out, "{:<15} {}", "unreadable", escape_control(&endpoint.to_string()))?;
    }
    let count =
        |is: fn(&Access) -> bool| map.rules().iter().filter(|rule| is(&rule.access)).count();
    let modules = count(|access| matches!(access, Access::AnyOf(_)));
    let tenant = count(|access| *access == Access::Tenant);
    let public = count(|access| matches!(access, Access::Public | Access::PublicWithTenant));
    let closed = count(|access| matches!(access, Access::Callers(_)));
    let odd = findings.len() + unreadable.len();
    writeln!(
        out,
        "{} rules: {modules} need a module, {tenant} a tenant, {public} nothing; closed: {closed}; {odd} findings",
        map.rules().len()
    )?;
    Ok(if odd == 0 { GOOD } else { DENIED })
}

async fn explain(args: RoutesExplainArgs) -> CommandResult {
    let Assembled { map, .. } = assemble(&args.routes, &args.database).await?;
    let (method, path) = (&args.method, &args.path);
    let mut out = io::stdout().lock();
    let mut print = |name: &str, text: &str| writeln!(out, "{name:<10} {}", escape_control(text));
    print("request", &format!("{method} {path}"))?;
    if let Err(refused) = check_method(method) {
        print("decides", &format!("400, {refused}"))?;
        return Ok(GOOD);
    }
    let verdict = match map.find(method, path) {
        Ok(Some(rule)) => rule.to_string(),
        Ok(None) => "no rule: --unmatched decides".to_owned(),
        Err(refused) => format!("400, {refused}"),
    };
    print("decides", &verdict)?;
    if let Ok(Some(rule)) = map.find(method, path) {
        print(
            "needs",
            &format!(
                "{}{}{}",
                rule.needs(),
                if rule.verified { ", verified" } else { "" },
                if rule.token == TokenUse::Ignore { "; the token is not looked at" } else { "" },
            ),
        )?;
        if !rule.enforce {
            print("", "not enforced: what would be refused passes")?;
        }
    }
    let readings = map.explain(method, path).unwrap_or_default();
    for read in readings.iter().filter(|_| readings.len() > 1) {
        let rule = read.rule.as_ref();
        let rule = rule.map_or_else(|| "no rule".to_owned(), ToString::to_string);
        print("may read", &format!("{} -> {rule}", read.path))?;
    }
    Ok(GOOD)
}
