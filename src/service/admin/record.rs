//! ListAuditEvents.

use std::sync::Arc;

use super::AdminApi;
use crate::{
    domain::Role,
    service::admin::error::AdminError,
    store::{AuditEvent, AuditQuery},
};

/// A page of the record.
#[derive(Debug)]
pub(in crate::service) struct AuditPage {
    pub(in crate::service) events: Vec<AuditEvent>,
    /// The last row of this page, if there is another page.
    pub(in crate::service) next: Option<i64>,
}

impl AdminApi {
    /// The record, as an administrator with this role may see it.
    pub(in crate::service) async fn audit_events(
        &self,
        query: AuditQuery,
        role: Role,
    ) -> Result<AuditPage, AdminError> {
        let store = Arc::clone(&self.core.store);
        let size = query.size as usize;
        // One more than requested, which shows whether there is a next page.
        let query = AuditQuery { size: query.size + 1, ..query };
        let read = self.limiter.read(async move { store.audit_events(&query).await }).await;
        let mut events = read?;
        let has_more = events.len() > size;
        events.truncate(size);
        // Request ids are only of use to administrators who make changes.
        if role < Role::Operator {
            for event in &mut events {
                event.request_id = None;
            }
        }
        let next = events.last().filter(|_| has_more).map(|event| event.id);
        Ok(AuditPage { events, next })
    }
}
