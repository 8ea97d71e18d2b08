//! What the settings close, the catalogue does not open.

use super::{Access, FRESH, Origin, PathReading, RouteMap, Rule, check::methods};

/// Takes those rules out of the catalogue's that would open a part of what the settings close, and
/// returns them. A rule of the catalogue may be the more specific one, and anybody may write it who
/// may edit a module.
pub fn take_out_what_opens(settings: &[Rule], catalogue: &mut Vec<Rule>) -> Vec<Rule> {
    let closed: Vec<&Rule> =
        settings.iter().filter(|rule| matches!(rule.access, Access::Callers(_))).collect();
    if closed.is_empty() {
        return Vec::new();
    }
    let all = settings.iter().chain(&*catalogue).cloned().collect();
    let (map, _) = RouteMap::new(all, PathReading::Literal);
    let opens = |rule: &mut Rule, closed: &Rule| {
        let tried = if closed.methods.is_empty() { methods(rule) } else { methods(closed) };
        let is_opened = |path: &str| {
            let mut met = tried.iter().filter_map(|method| map.met(method, path));
            met.any(|met| met.origin == Origin::Catalogue)
        };
        closed.path.meet(&rule.path, FRESH).is_some_and(|path| is_opened(&path))
    };
    catalogue.extract_if(.., |rule| closed.iter().any(|closed| opens(rule, closed))).collect()
}
