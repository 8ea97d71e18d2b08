//! What of decisions goes to the decision log.

use chrono::SecondsFormat;

use super::{
    Api,
    asker::Asker,
    check::Judgement,
    gateway::{Inquiry, Ruling, Verdict},
};
use crate::{
    domain::{ModuleCode, TenantId},
    observability::decision_log::Entry,
};

impl Api {
    /// Tells the decision log of a decision.
    pub(super) fn note(&self, asked: &'static str, asker: Asker<'_>, tenant: TenantId, judgement: &Judgement<'_>) {
        let granted = judgement.decision.allowed();
        let Some(log) = self.decision_log.as_ref().filter(|log| log.wants(granted)) else { return };
        log.add(Entry {
            time: self.time(),
            asked: asked.to_owned(),
            caller: asker.name().to_owned(),
            decision: if granted { "granted" } else { "denied" }.to_owned(),
            tenant_id: tenant.to_string(),
            module: judgement.module.to_owned(),
            reason: judgement.decision.reason.word().to_owned(),
            revision: judgement.advice.revision,
            ..Entry::default()
        });
    }

    /// The same of an HTTP request. What is public is no decision.
    pub(super) fn note_ruling(&self, inquiry: Inquiry<'_>, ruling: &Ruling) {
        let Some(log) = &self.decision_log else { return };
        if matches!(ruling.verdict, Verdict::Public) || !log.wants(ruling.refusal().is_none()) {
            return;
        }
        let facts = ruling.tenant.as_ref().map(|resolved| &resolved.facts);
        log.add(Entry {
            time: self.time(),
            asked: "gateway".to_owned(),
            caller: inquiry.asker.name().to_owned(),
            decision: ruling.word().to_owned(),
            tenant_id: facts.map(|facts| facts.tenant.id.to_string()).unwrap_or_default(),
            module: ruling.module.as_ref().map(ModuleCode::to_string).unwrap_or_default(),
            reason: ruling.refusal().map_or("ENABLED", |refusal| refusal.reason).to_owned(),
            revision: facts.map(|facts| facts.revision).unwrap_or_default(),
            // A client's own word, and any length is possible.
            method: inquiry.method.chars().take(32).collect(),
            route: ruling.route().unwrap_or_default().to_owned(),
        });
    }

    fn time(&self) -> String {
        self.clock.now().to_rfc3339_opts(SecondsFormat::Millis, true)
    }
}
