//! Questions about features: answered from the list, else by the server, else by the outage rule.

use std::sync::Arc;

use futures_util::future::FutureExt;
use tonic::Status;
use uuid::Uuid;

use super::{Core, Question};
use crate::{
    Error, FeatureAnswer, OnOutage, Reason,
    error::is_outage,
    held::{Look, feature_name},
    outage::NOT_CHECKED,
};

/// A feature of a tenant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Named<'a> {
    pub(crate) tenant: Uuid,
    pub(crate) module: &'a str,
    pub(crate) key: &'a str,
}

impl Core {
    /// What is held of a feature.
    pub(crate) fn look_feature(&self, named: Named<'_>, min_revision: u64) -> Look<FeatureAnswer> {
        let Named { tenant, module, key } = named;
        self.held.look_feature(tenant, (module, key), min_revision, self.clock.now())
    }

    /// A question that cannot be answered from what is held.
    pub(crate) async fn feature(
        self: &Arc<Self>,
        named: Named<'_>,
        min_revision: u64,
    ) -> Result<FeatureAnswer, Error> {
        if self.is_outage_known()
            && let Some(answer) = self.stale_feature(named, min_revision)
        {
            self.probe_list(named.tenant, min_revision);
            self.count_by_rule(&self.counters.features);
            return Ok(answer);
        }
        match self.find_out_feature(named, min_revision).await {
            Ok(answer) => {
                self.counters.features.server.increment(1);
                Ok(answer)
            }
            Err(status) if is_outage(&status) => Ok(self.feature_by_rule(named, min_revision)),
            Err(status) => Err(Error::Refused(status)),
        }
    }

    async fn find_out_feature(
        self: &Arc<Self>,
        named: Named<'_>,
        min_revision: u64,
    ) -> Result<FeatureAnswer, Status> {
        let Named { tenant, module, key } = named;
        if let Look::AskForList = self.look_feature(named, min_revision)
            && let Some(answer) =
                self.fetch_list(tenant, min_revision).await?.feature(module, key, self.clock.now())
        {
            return Ok(answer);
        }
        let answer = self.fetch_feature(named, min_revision).await?;
        let is_granted = || {
            let look = self.held.look(tenant, module, min_revision, self.clock.now());
            matches!(look, Look::Answer(answer) if answer.allowed)
        };
        if answer.module_reason == Reason::Enabled && !is_granted() {
            // The list is older than the answer, or our clock is not the server's.
            self.held.doubt(tenant);
        }
        Ok(answer)
    }

    async fn fetch_feature(
        self: &Arc<Self>,
        named: Named<'_>,
        min_revision: u64,
    ) -> Result<FeatureAnswer, Status> {
        let Named { tenant, module, key } = named;
        let began = self.held.begin(tenant, min_revision, self.clock.now());
        let name = feature_name(module, key);
        let about = (tenant, name.clone().into_boxed_str());
        let core = Arc::clone(self);
        let (module, key) = (module.to_owned(), key.to_owned());
        let ask = move || {
            async move {
                let names = (module.as_str(), key.as_str());
                if let Look::Answer(answer) =
                    core.held.look_feature(tenant, names, min_revision, began.at)
                {
                    return Ok(answer);
                }
                let question = core.ask.feature(tenant, names, began.min_revision);
                let judged = core.ask(question).await?;
                if core.held.is_catalogue_current(judged.catalogue_revision)
                    && let Some(denial) = judged.answer.module_denial()
                {
                    core.held.keep_denial(tenant, &name, denial, judged.max_age, began);
                }
                Ok(judged.answer)
            }
            .boxed()
        };
        self.features.join(Question::new(about, began), ask).await
    }

    /// What the outage rule answers. It never uses facts older than the caller wants.
    fn feature_by_rule(&self, named: Named<'_>, min_revision: u64) -> FeatureAnswer {
        self.count_by_rule(&self.counters.features);
        self.stale_feature(named, min_revision).unwrap_or_else(|| {
            FeatureAnswer::by_rule((self.on_outage != OnOutage::Allow).then_some(NOT_CHECKED))
        })
    }

    fn stale_feature(&self, named: Named<'_>, min_revision: u64) -> Option<FeatureAnswer> {
        let Named { tenant, module, key } = named;
        let list = self.stale_list(tenant, min_revision)?;
        let answer = list.feature(module, key, self.clock.now())?;
        Some(FeatureAnswer { stale: true, by_outage_rule: true, ..answer })
    }
}
