//! A module, and a plan: what is sold.

use std::collections::HashSet;

use super::ModuleCode;

/// A part of the ERP that is sold. Data, not code: new modules appear without a release.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Module {
    /// The code that requests name it by.
    pub code: ModuleCode,
    /// Its name, to be shown.
    pub name: String,
    /// Its category; may be empty.
    pub category: String,
    /// Its position in a menu; 0 if the catalogue does not say.
    pub display_order: i32,
    /// Is it part of every account?
    pub is_base_module: bool,
    /// False: no longer sold. That stops new subscriptions, not existing ones.
    pub is_active: bool,
    /// The numbers of its menu sections.
    pub sections: Vec<i32>,
    /// Its routes in the front end.
    pub frontend_routes: Vec<String>,
    /// Its HTTP endpoints, optionally after methods: `/api/v1/orders`, `GET|POST
    /// /api/v1/orders/{id}`.
    pub api_endpoints: Vec<String>,
}

impl Module {
    /// A module that is sold, of which nothing else is known yet.
    pub fn of_code(code: ModuleCode) -> Self {
        Self {
            code,
            name: String::new(),
            category: String::new(),
            display_order: 0,
            is_base_module: false,
            is_active: true,
            sections: Vec::new(),
            frontend_routes: Vec::new(),
            api_endpoints: Vec::new(),
        }
    }
}

/// A bundle of modules with a price and limits.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Plan {
    /// Its identifier in URLs and answers.
    pub slug: String,
    /// Is it on sale?
    pub is_active: bool,
    /// The codes of its modules.
    pub modules: HashSet<ModuleCode>,
}

impl Plan {
    /// The codes of its modules, in alphabetical order.
    pub fn codes(&self) -> Vec<String> {
        let mut codes: Vec<String> = self.modules.iter().map(ModuleCode::to_string).collect();
        codes.sort_unstable();
        codes
    }
}
