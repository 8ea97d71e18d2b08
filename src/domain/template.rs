//! The operator's template: the contents of a tenant's schema.

use std::collections::BTreeMap;

use super::ModuleCode;

/// SQL files, ordered by name: those for every tenant, and those for tenants that have a module.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TenantTemplate {
    /// For every tenant: `_base/*.sql`.
    pub base: Vec<TemplateFile>,
    /// For tenants that have the module: `<module_code>/*.sql`.
    pub modules: BTreeMap<ModuleCode, Vec<TemplateFile>>,
}

/// One file. It is applied once to each tenant.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TemplateFile {
    /// Its path within the template's folder: `finance/001_ledger.sql`.
    pub name: String,
    /// Its contents.
    pub sql: String,
    /// The SHA-256 of the contents, in hexadecimal.
    pub sha256: String,
}

impl TenantTemplate {
    /// The files for a tenant that has these modules, in the order in which they are applied.
    pub fn files_for<'a>(
        &'a self,
        modules: impl IntoIterator<Item = &'a ModuleCode>,
    ) -> Vec<&'a TemplateFile> {
        let of_modules = modules.into_iter().filter_map(|code| self.modules.get(code)).flatten();
        self.base.iter().chain(of_modules).collect()
    }

    /// Compares the template with what was applied to a tenant that has these modules.
    pub fn compare<'a>(
        &'a self,
        applied: &[AppliedFile],
        modules: impl IntoIterator<Item = &'a ModuleCode>,
    ) -> Differences {
        let file = |name: &str| {
            self.base.iter().chain(self.modules.values().flatten()).find(|file| file.name == name)
        };
        let was_applied = |file: &TemplateFile| applied.iter().any(|one| one.name == file.name);
        let those = |such: &dyn Fn(&AppliedFile) -> bool| -> Vec<String> {
            applied.iter().filter(|one| such(one)).map(|one| one.name.clone()).collect()
        };
        let wanted = self.files_for(modules);
        Differences {
            missing: wanted
                .iter()
                .filter(|file| !was_applied(file))
                .map(|file| file.name.clone())
                .collect(),
            changed: those(&|one| file(&one.name).is_some_and(|file| file.sha256 != one.sha256)),
            unknown: those(&|one| file(&one.name).is_none()),
        }
    }
}

/// A file that was applied.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AppliedFile {
    /// Its path within the template's folder.
    pub name: String,
    /// The SHA-256 of its contents at that time, in hexadecimal.
    pub sha256: String,
}

/// How a tenant's schema differs from the template.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Differences {
    /// Files that the tenant lacks.
    pub missing: Vec<String>,
    /// Files whose contents have changed since they were applied.
    pub changed: Vec<String>,
    /// Files that were applied, and that the template no longer contains.
    pub unknown: Vec<String>,
}

impl Differences {
    /// Are there no differences?
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}
