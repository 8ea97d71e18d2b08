//! Definitions of features and limits.

use super::{Edited, FeatureEntry, FeatureName, LimitEntry, not_of_type, set};
use crate::domain::{
    Catalogue, FeatureDefinition, LimitDefinition, LimitKind, ModuleCode, Setting, ValueType,
    Violation,
};

/// The desired definition of a feature. `None` leaves a field unchanged; a new feature starts
/// without a name, off, and takes any value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FeatureUpsert {
    /// The feature.
    pub name: FeatureName,
    /// Its name, to be shown.
    pub title: Option<String>,
    /// Its description, to be shown.
    pub description: Option<String>,
    /// Which values it takes.
    pub value_type: Option<ValueType>,
    /// Is it on where neither tenant nor plan says anything?
    pub is_on_by_default: Option<bool>,
    /// Its value where neither tenant nor plan has one; `Some(None)`: none.
    pub default_value: Option<Option<Setting>>,
}

/// The desired definition of a limit. `None` leaves a field unchanged; a new limit starts without a
/// name and a unit.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LimitUpsert {
    /// Its key.
    pub key: String,
    /// Its name, to be shown.
    pub title: Option<String>,
    /// What is counted, to be shown.
    pub unit: Option<String>,
    /// What it counts. A new limit needs it.
    pub kind: Option<LimitKind>,
}

/// A value of a feature that a single tenant has.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TenantValue {
    /// The tenant's subdomain.
    pub tenant: String,
    /// The value.
    pub value: Setting,
}

/// So many tenants are named whose values are in the way.
const MOST_NAMED: usize = 10;

impl FeatureUpsert {
    /// The feature before and after it, or every violation. `of_tenants`: the values that tenants have
    /// of it, which only matter if [`value_type`](Self::value_type) is given.
    pub fn apply(
        &self,
        catalogue: &Catalogue,
        of_tenants: &[TenantValue],
    ) -> Result<Edited<FeatureEntry>, Vec<Violation>> {
        let code = ModuleCode::new(&self.name.module);
        let module = catalogue.module(&self.name.module).map(|module| &module.code);
        let before =
            module.and_then(|code| FeatureEntry::of(catalogue, code.as_str(), &self.name.key));
        let mut after = before.clone().unwrap_or_else(|| self.new_entry(module.unwrap_or(&code)));
        self.set(&mut after.defined);
        let mut violations = self.violations(before.as_ref(), &after, of_tenants);
        if module.is_none() {
            violations.insert(0, Violation::UnknownModule(code));
        }
        if violations.is_empty() { Ok(Edited::new(before, after)) } else { Err(violations) }
    }

    fn new_entry(&self, module: &ModuleCode) -> FeatureEntry {
        let defined = FeatureDefinition {
            key: self.name.key.as_str().into(),
            name: String::new(),
            description: String::new(),
            value_type: ValueType::default(),
            is_on_by_default: false,
            default_value: None,
        };
        FeatureEntry { module: module.clone(), defined, plans: [].into(), keeping: [].into() }
    }

    fn set(&self, defined: &mut FeatureDefinition) {
        set(&mut defined.name, self.title.as_ref());
        set(&mut defined.description, self.description.as_ref());
        set(&mut defined.value_type, self.value_type.as_ref());
        set(&mut defined.is_on_by_default, self.is_on_by_default.as_ref());
        set(&mut defined.default_value, self.default_value.as_ref());
    }

    /// What was of another type before is no reason to refuse another name.
    fn violations(
        &self,
        before: Option<&FeatureEntry>,
        after: &FeatureEntry,
        of_tenants: &[TenantValue],
    ) -> Vec<Violation> {
        let takes = after.defined.value_type;
        let is_other_type = before.is_none_or(|before| before.defined.value_type != takes);
        let mut violations = Vec::new();
        if is_other_type || self.default_value.is_some() {
            let value = after.defined.default_value.as_ref();
            violations.extend(not_of_type(&self.name, "the default".into(), value, takes));
        }
        if is_other_type {
            for (slug, says) in &after.plans {
                let whose = format!("the plan '{slug}'");
                violations.extend(not_of_type(&self.name, whose, says.value.as_ref(), takes));
            }
            violations.extend(self.values_in_the_way(of_tenants, takes));
        }
        violations
    }

    fn values_in_the_way(&self, of_tenants: &[TenantValue], takes: ValueType) -> Option<Violation> {
        let others = of_tenants.iter().filter(|own| !takes.takes(&own.value));
        let mut tenants: Vec<&str> = others.map(|own| own.tenant.as_str()).collect();
        tenants.dedup();
        let named: Vec<String> =
            tenants.iter().take(MOST_NAMED).map(|tenant| format!("'{tenant}'")).collect();
        let more = match tenants.len().saturating_sub(MOST_NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let word = if tenants.len() == 1 { "tenant" } else { "tenants" };
        (!tenants.is_empty()).then(|| Violation::ValueType {
            feature: self.name.to_string(),
            whose: format!("the {word} {}{more}", named.join(", ")),
            takes: takes.word(),
        })
    }
}

impl LimitUpsert {
    /// The limit before and after it, or every violation.
    pub fn apply(&self, catalogue: &Catalogue) -> Result<Edited<LimitEntry>, Vec<Violation>> {
        if LimitDefinition::is_built_in(&self.key) {
            return Err(vec![Violation::BuiltInLimit(self.key.clone())]);
        }
        let before = LimitEntry::of(catalogue, &self.key);
        let kind = self.kind.or(before.as_ref().map(|before| before.defined.kind));
        let kind = kind.ok_or_else(|| vec![Violation::NoKind(self.key.clone())])?;
        let new = || LimitDefinition {
            key: self.key.as_str().into(),
            name: String::new(),
            unit: String::new(),
            kind,
        };
        let mut after = before.clone().unwrap_or_else(|| LimitEntry::with_plans(catalogue, new()));
        after.defined.kind = kind;
        set(&mut after.defined.name, self.title.as_ref());
        set(&mut after.defined.unit, self.unit.as_ref());
        Ok(Edited::new(before, after))
    }
}
