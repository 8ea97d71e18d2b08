//! The route map and the other parts that answer proxies, from the settings.

use std::{
    convert::Infallible,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use super::background::{reload::Reloads, reloaded_files::ReloadedFiles};
use crate::{
    config::{
        ApiEndpointsArgs, Enforce, GatewayArgs, PathReadingKind, RoutesArgs, UnmatchedKind,
        UnusableSetting,
    },
    routes::{Access, Origin, PathReading, PathTemplate, RouteMap, Rule, parse, read},
    service::gateway::{Gateway, GatewaySettings, LiveRoutes, UnmappedPaths, Unmatched},
};

/// The file of the route map.
pub(crate) struct RoutesFile {
    file: ReloadedFiles<Vec<Rule>>,
    has_callers: bool,
}

/// Everything that answers proxies. `has_callers`: they have names. Contradictory rules keep the server from starting.
pub(crate) fn open(
    args: &GatewayArgs,
    has_callers: bool,
) -> Result<(Gateway, Option<RoutesFile>), UnusableSetting> {
    let (public, reading) = (public(&args.routes)?, reading(&args.routes));
    let (file, rules) = match &args.routes.routes {
        None => (None, public),
        Some(path) => {
            let file = path.clone();
            let has_begun = AtomicBool::new(false);
            let parse = move |text: &str| {
                let rules = rules_of(&file, text, &public, reading)?;
                // What has lost all of its rules was cut off, and might open everything.
                if has_begun.swap(true, Ordering::Relaxed) && rules.len() == public.len() {
                    return Err("it holds no rule any more".to_owned());
                }
                Ok(rules)
            };
            let (file, rules) = ReloadedFiles::open_text("--routes", path.clone(), parse)?;
            (Some(RoutesFile { file, has_callers }), rules)
        }
    };
    warn_of_callers(&rules, has_callers);
    Ok((gateway(args, rules, reading)?, file))
}

/// The rules of a file, and those of the flags.
fn rules_of(
    path: &Path,
    text: &str,
    public: &[Rule],
    reading: PathReading,
) -> Result<Vec<Rule>, String> {
    let mut rules = parse(path, text).map_err(|error| format!("it {error}"))?;
    rules.extend_from_slice(public);
    let (_, conflicts) = RouteMap::new(rules.clone(), reading);
    conflicts.first().map_or(Ok(rules), |conflict| Err(format!("in it {conflict}")))
}

fn warn_of_callers(rules: &[Rule], has_callers: bool) {
    if !has_callers && let Some(rule) = rules.iter().find(|rule| rule.names_callers()) {
        tracing::warn!("without --callers-file nobody passes where callers are named: {rule}");
    }
}

impl RoutesFile {
    /// Applies changes of the file.
    pub(crate) async fn follow(self, reloads: Reloads, gateway: Arc<Gateway>) -> Infallible {
        let Self { file, has_callers } = self;
        let take = |rules: Vec<Rule>| {
            warn_of_callers(&rules, has_callers);
            gateway.routes.replace(rules);
        };
        file.follow(reloads, take).await
    }
}

fn gateway(
    args: &GatewayArgs,
    rules: Vec<Rule>,
    reading: PathReading,
) -> Result<Gateway, UnusableSetting> {
    let unmatched = match args.unmatched {
        UnmatchedKind::Deny => Unmatched::Deny,
        UnmatchedKind::Tenant => Unmatched::Tenant,
        UnmatchedKind::Allow => Unmatched::Allow,
    };
    let settings = GatewaySettings {
        unmatched,
        require_verified: args.require_verified_tenant,
        enforce: args.enforce == Enforce::On,
        tenant_header: args.tenant_header.as_str().to_owned(),
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

/// The rules of the settings, for commands.
pub(crate) fn rules(args: &RoutesArgs) -> Result<Vec<Rule>, UnusableSetting> {
    let mut rules = match &args.routes {
        None => Vec::new(),
        Some(path) => read(path).map_err(|error| {
            UnusableSetting::new("--routes", format!("names {}, which {error}", path.display()))
        })?,
    };
    rules.extend(public(args)?);
    Ok(rules)
}

/// Those of the flags.
fn public(args: &RoutesArgs) -> Result<Vec<Rule>, UnusableSetting> {
    let rule = |path: &String| {
        let template = PathTemplate::parse(path).map_err(|error| {
            UnusableSetting::new("--public", format!("is {path:?}, which is no path: {error}"))
        })?;
        Ok(Rule::new(template.with_subtree(), Access::Public, Origin::Flag))
    };
    args.public.iter().map(rule).collect()
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
