//! How tenants' schemas differ from the template.

use chrono::{DateTime, Utc};

use super::{
    MutationError, Store, TenantKey,
    ask::Ask,
    entitlements, offers,
    provision::{applied, has_record},
};
use crate::domain::template::Differences;

impl Store {
    /// Compares a tenant's schema with the template. `None`: it was not made from one.
    pub async fn differences(
        &self,
        key: &TenantKey,
        at: DateTime<Utc>,
    ) -> Result<Option<Differences>, MutationError> {
        match self.compare(key, at).await {
            Err(MutationError::Store(error)) => Ok(self.name_missing_columns(Err(error)).await?),
            compared => compared,
        }
    }

    async fn compare(
        &self,
        key: &TenantKey,
        at: DateTime<Utc>,
    ) -> Result<Option<Differences>, MutationError> {
        let txn = self.writing.visit().await?;
        if !txn.dialect().has_schemas() {
            return Ok(None);
        }
        let found = entitlements::find(&txn, key).await?.ok_or(MutationError::TenantNotFound)?;
        if !has_record(&txn, &found.schema()).await? {
            return Ok(None);
        }
        let applied = applied(&txn, &found.schema()).await?;
        let entitlements = entitlements::read(&txn, found.id, &self.context).await?;
        let offers = offers::read_all(&txn, &self.context).await?;
        txn.commit().await?;
        let summary = entitlements.summary(&offers, at);
        let template = self.template().unwrap_or_default();
        Ok(Some(template.compare(&applied, offers.dependencies_first(summary.modules.keys()))))
    }
}
