//! Features and limits.

use tonic::Status;
use uuid::Uuid;

use super::Entitlements;
use crate::{
    Error, FeatureAnswer, LimitAnswer, LimitDecision,
    core::{LimitOf, Named},
    held::Look,
    limit::Wanted,
};

impl Entitlements {
    /// Is this feature of a module on for this tenant now? It is off where its module is denied.
    ///
    /// In an outage, the rule that the client was made with answers: by a rule that allows it is on,
    /// without a value. A feature that does not exist is off.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] where the server refuses the question: an invalid module or key, a caller
    /// that may not ask, or, with UNIMPLEMENTED, a server that is older than features.
    pub async fn feature(
        &self,
        tenant: Uuid,
        module: &str,
        key: &str,
    ) -> Result<FeatureAnswer, Error> {
        if let Some(answer) = self.feature_held(tenant, module, key) {
            return Ok(answer);
        }
        let named = Named { tenant, module, key };
        // Boxed, so that the future of an answer that is held stays small.
        Box::pin(self.core.feature(named, self.min_revision)).await
    }

    /// The answer, if one is held. Never asks the server: for code that cannot wait.
    pub fn feature_held(&self, tenant: Uuid, module: &str, key: &str) -> Option<FeatureAnswer> {
        match self.core.look_feature(Named { tenant, module, key }, self.min_revision) {
            Look::Answer(answer) => {
                self.core.counters.features.held.increment(1);
                Some(answer)
            }
            Look::AskWhy | Look::AskForList => None,
        }
    }

    /// Returns an error if the feature is off: for `?` in a handler.
    ///
    /// # Errors
    ///
    /// [`Error::FeatureOff`] with the answer, and those of `feature`.
    pub async fn require_feature(
        &self,
        tenant: Uuid,
        module: &str,
        key: &str,
    ) -> Result<(), Error> {
        let answer = self.feature(tenant, module, key).await?;
        if answer.enabled { Ok(()) } else { Err(Error::FeatureOff(answer)) }
    }

    /// What is this tenant's limit? To decide by it, ask [`within_limit`](Self::within_limit),
    /// which knows when limits are not enforced.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] in an outage, if the rule has no list to serve and does not allow
    /// everything: no rule can make up a number. [`Error::Refused`] as for
    /// [`feature`](Self::feature).
    pub async fn limit(&self, tenant: Uuid, key: &str) -> Result<LimitAnswer, Error> {
        let about = LimitOf { tenant, key };
        match self.core.limit_held(about, self.min_revision) {
            Some(answer) => Ok(answer),
            None => Box::pin(self.core.limit(about, self.min_revision)).await,
        }
    }

    /// Is so much more within this tenant's limit? `observed` is how much there is already, as you
    /// have counted (of a monthly limit: in this month), `amount` how much more is wanted; 0 asks
    /// whether what there is is within the limit.
    ///
    /// Decided in this process, by the limit that is held. A "yes" reserves nothing: count and insert
    /// in one transaction of yours. In an outage, the rule that the client was made with answers.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with INVALID_ARGUMENT where a number is negative, and as for
    /// [`feature`](Self::feature).
    pub async fn within_limit(
        &self,
        tenant: Uuid,
        key: &str,
        observed: i64,
        amount: i64,
    ) -> Result<LimitDecision, Error> {
        if observed < 0 || amount < 0 {
            let message = "neither what was observed nor the amount can be negative";
            return Err(Error::Refused(Status::invalid_argument(message)));
        }
        let (about, wanted) = (LimitOf { tenant, key }, Wanted { observed, amount });
        match self.core.limit_held(about, self.min_revision) {
            Some(answer) => Ok(answer.decide(key, wanted)),
            None => Box::pin(self.core.within_limit(about, wanted, self.min_revision)).await,
        }
    }

    /// Returns an error if so much more is refused: for `?` in a handler.
    ///
    /// # Errors
    ///
    /// [`Error::BeyondLimit`] with the decision, and those of `within_limit`.
    pub async fn require_within_limit(
        &self,
        tenant: Uuid,
        key: &str,
        observed: i64,
        amount: i64,
    ) -> Result<(), Error> {
        let decision = self.within_limit(tenant, key, observed, amount).await?;
        if decision.allowed { Ok(()) } else { Err(Error::BeyondLimit(decision.into())) }
    }
}
