//! The route map and the other parts that answer proxies, from the settings.

use crate::{
    config::{
        ApiEndpointsArgs, Enforce, GatewayArgs, PathReadingKind, RoutesArgs, UnmatchedKind,
        UnusableSetting,
    },
    routes::{Access, Origin, PathReading, PathTemplate, RouteMap, Rule, read},
    service::gateway::{Gateway, GatewaySettings, LiveRoutes, UnmappedPaths, Unmatched},
};

/// Everything that answers proxies. `has_callers`: they have names. Contradictory rules keep the server from starting.
pub(crate) fn gateway(args: &GatewayArgs, has_callers: bool) -> Result<Gateway, UnusableSetting> {
    let rules = rules(&args.routes)?;
    let reading = reading(&args.routes);
    let (_, conflicts) = RouteMap::new(rules.clone(), reading);
    if let Some(conflict) = conflicts.first() {
        return Err(UnusableSetting::new("--routes", format!("names a file in which {conflict}")));
    }
    if !has_callers && let Some(rule) = rules.iter().find(|rule| rule.names_callers()) {
        tracing::warn!("without --callers-file nobody passes where callers are named: {rule}");
    }
    let unmatched = match args.unmatched {
        UnmatchedKind::Deny => Unmatched::Deny,
        UnmatchedKind::Tenant => Unmatched::Tenant,
        UnmatchedKind::Allow => Unmatched::Allow,
    };
    let settings = GatewaySettings {
        unmatched,
        require_verified: args.require_verified_tenant,
        enforce: args.enforce == Enforce::On,
        tenant_header: args.tenant_header.clone(),
    };
    let routes = LiveRoutes::new(rules, prefix(&args.routes.words)?, reading);
    Ok(Gateway { routes, settings, unmapped: UnmappedPaths::default() })
}

pub(crate) fn reading(args: &RoutesArgs) -> PathReading {
    match args.path_reading {
        PathReadingKind::Any => PathReading::Any,
        PathReadingKind::Normalized => PathReading::Normalized,
        PathReadingKind::Literal => PathReading::Literal,
    }
}

/// The rules of the settings.
pub(crate) fn rules(args: &RoutesArgs) -> Result<Vec<Rule>, UnusableSetting> {
    let mut rules = match &args.routes {
        None => Vec::new(),
        Some(path) => read(path).map_err(|error| {
            UnusableSetting::new("--routes", format!("names {}, which {error}", path.display()))
        })?,
    };
    for path in &args.public {
        let template = PathTemplate::parse(path).map_err(|error| {
            UnusableSetting::new("--public", format!("is {path:?}, which is no path: {error}"))
        })?;
        rules.push(Rule::new(template.with_subtree(), Access::Public, Origin::Flag));
    }
    Ok(rules)
}

/// What the words in `modules.api_endpoints` are below.
pub(crate) fn prefix(args: &ApiEndpointsArgs) -> Result<Option<PathTemplate>, UnusableSetting> {
    let setting = "--api-endpoints-prefix";
    let Some(text) = &args.api_endpoints_prefix else { return Ok(None) };
    let template = PathTemplate::parse(text).map_err(|error| {
        UnusableSetting::new(setting, format!("is {text:?}, which is no path: {error}"))
    })?;
    if template.is_subtree() {
        return Err(UnusableSetting::new(setting, format!("is {text:?}, which has ** at its end")));
    }
    Ok(Some(template))
}
