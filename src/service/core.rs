//! An instance that has the database.

use std::sync::Arc;

use super::Api;
use crate::{store::Store, usage::Usage};

/// An instance that has the database: a core.
#[derive(Clone, Debug)]
pub(crate) struct Core {
    pub(crate) api: Api,
    pub(crate) store: Arc<Store>,
    pub(crate) usage: Usage,
}
