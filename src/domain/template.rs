//! The operator's template: what a tenant's schema holds.

use std::collections::BTreeMap;

use super::ModuleCode;

/// SQL files, in the order of their names: those of every tenant, and those of the tenants that have a module.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Template {
    /// Of every tenant: `_base/*.sql`.
    pub base: Vec<TemplateFile>,
    /// Of those that have the module: `<module_code>/*.sql`.
    pub modules: BTreeMap<ModuleCode, Vec<TemplateFile>>,
}

/// One file. It is applied once to each tenant.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TemplateFile {
    /// Its name under the template's folder: `finance/001_ledger.sql`.
    pub name: String,
    /// What it says.
    pub sql: String,
    /// The SHA-256 of that, in hexadecimal.
    pub sha256: String,
}

impl Template {
    /// The files of a tenant that has these modules, in the order in which they are applied.
    pub fn files_for<'a>(&'a self, modules: impl IntoIterator<Item = &'a ModuleCode>) -> Vec<&'a TemplateFile> {
        let of_modules = modules.into_iter().filter_map(|code| self.modules.get(code)).flatten();
        self.base.iter().chain(of_modules).collect()
    }
}
