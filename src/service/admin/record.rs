//! ListAuditEvents.

use std::sync::Arc;

use super::AdminApi;
use crate::{
    domain::Role,
    service::error::AdminError,
    store::{AuditEvent, AuditQuery},
};

/// A page of the record.
#[derive(Debug)]
pub(in crate::service) struct AuditPage {
    pub(in crate::service) events: Vec<AuditEvent>,
    /// The next page comes after this one; `None`: there is none.
    pub(in crate::service) next: Option<i64>,
}

impl AdminApi {
    /// The record, as somebody of this role may see it.
    pub(in crate::service) async fn audit_events(
        &self,
        query: AuditQuery,
        role: Role,
    ) -> Result<AuditPage, AdminError> {
        let store = Arc::clone(&self.api.store);
        let size = query.size as usize;
        // One more, which says whether there is a next page.
        let query = AuditQuery { size: query.size + 1, ..query };
        let read = self.limiter.read(async move { store.audit_events(&query).await }).await;
        let mut events = read?;
        let has_more = events.len() > size;
        events.truncate(size);
        // Only who changes something has to tell one request from another.
        if role < Role::Operator {
            for event in &mut events {
                event.request_id = None;
            }
        }
        let next = events.last().filter(|_| has_more).map(|event| event.id);
        Ok(AuditPage { events, next })
    }
}
