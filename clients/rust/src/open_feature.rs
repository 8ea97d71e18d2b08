//! A provider for [OpenFeature](https://openfeature.dev). Feature `open-feature`; the crate's own page has an example.

mod values;

use std::time::Duration;

use open_feature::{
    EvaluationContext, EvaluationError, EvaluationErrorCode, EvaluationReason, EvaluationResult,
    FlagMetadata, StructValue, async_trait,
    provider::{FeatureProvider, ProviderMetadata, ProviderStatus, ResolutionDetails},
};
use uuid::Uuid;

use self::values::{float, int, string, structure};
use crate::{Entitlements, Error, FeatureAnswer, FeatureReason, Reason, Value};

/// For how long `initialize` waits until changes are received. Whoever sets a provider waits for it.
const PATIENCE: Duration = Duration::from_secs(2);
/// The length of a UUID's usual form.
const UUID_CHARS: usize = 36;

/// Answers OpenFeature's questions by entitlementd's features.
///
/// A flag is named `module/feature`: `finance/multi_currency`. The tenant is the targeting key, a
/// UUID.
///
/// A boolean is whether the feature is on: a feature that is off, or that does not exist, is `false`,
/// and never your code's default. Its reason is TARGETING_MATCH where the tenant or its plan says so,
/// DEFAULT where the definition does, the module is denied or there is no such feature, and STALE
/// where the answer is. Any other type is what the feature is set to. Where it is set to
/// another type that is TYPE_MISMATCH, and where it is off, or set to nothing, the error NO_VALUE: in
/// Rust an error is what makes your code take its default.
///
/// The metadata has `entitlement.reason`, `revision`, `stale`, and `module.reason` where it is known.
#[derive(Clone, Debug)]
pub struct OpenFeatureProvider {
    entitlements: Entitlements,
    metadata: ProviderMetadata,
    is_initialized: bool,
}

impl OpenFeatureProvider {
    /// A provider that asks this client.
    pub fn new(entitlements: &Entitlements) -> Self {
        Self {
            entitlements: entitlements.clone(),
            metadata: ProviderMetadata::new("entitlementd"),
            is_initialized: false,
        }
    }

    async fn ask(
        &self,
        flag: &str,
        context: &EvaluationContext,
    ) -> EvaluationResult<FeatureAnswer> {
        let names =
            flag.split_once('/').filter(|(module, key)| !module.is_empty() && !key.is_empty());
        let (module, key) = names.ok_or_else(|| {
            let message = format!("{flag:?} names no feature: a flag is named module/feature");
            error(EvaluationErrorCode::FlagNotFound, message)
        })?;
        let answer = self.entitlements.feature(tenant(context)?, module, key).await;
        answer.map_err(|failed: Error| {
            error(EvaluationErrorCode::General(failed.word()), failed.to_string())
        })
    }

    /// What a feature is set to, as a type that `read` makes of it.
    async fn value<T>(
        &self,
        flag: &str,
        context: &EvaluationContext,
        read: impl FnOnce(&Value) -> Option<T> + Send,
    ) -> EvaluationResult<ResolutionDetails<T>> {
        let answer = self.ask(flag, context).await?;
        let Some(value) = answer.value() else {
            let message = match answer.message() {
                "" => format!("The feature {flag:?} is on, and set to nothing."),
                message => message.to_owned(),
            };
            return Err(error(EvaluationErrorCode::General("NO_VALUE".to_owned()), message));
        };
        let value = read(value).ok_or_else(|| {
            let message = format!("{flag:?} is set to a value of another type");
            error(EvaluationErrorCode::TypeMismatch, message)
        })?;
        Ok(details(value, &answer))
    }
}

/// Whose features are asked for.
fn tenant(context: &EvaluationContext) -> EvaluationResult<Uuid> {
    let Some(key) = context.targeting_key.as_deref().filter(|key| !key.is_empty()) else {
        let message = "the targeting key names the tenant";
        return Err(error(EvaluationErrorCode::TargetingKeyMissing, message.to_owned()));
    };
    let tenant = key.parse().ok().filter(|_| key.len() == UUID_CHARS);
    tenant.ok_or_else(|| {
        let message = "the targeting key is no UUID in its form of 36 characters";
        error(EvaluationErrorCode::InvalidContext, message.to_owned())
    })
}

fn error(code: EvaluationErrorCode, message: String) -> EvaluationError {
    EvaluationError { code, message: Some(message) }
}

fn details<T>(value: T, answer: &FeatureAnswer) -> ResolutionDetails<T> {
    let mut metadata = FlagMetadata::default()
        .with_value("entitlement.reason", answer.reason().as_str())
        .with_value("revision", i64::try_from(answer.revision()).unwrap_or(i64::MAX))
        .with_value("stale", answer.is_stale());
    if answer.module_reason() != Reason::Unspecified {
        metadata.add_value("module.reason", answer.module_reason().as_str());
    }
    ResolutionDetails {
        value,
        variant: None,
        reason: Some(reason(answer)),
        flag_metadata: Some(metadata),
    }
}

fn reason(answer: &FeatureAnswer) -> EvaluationReason {
    if answer.is_stale() {
        // OpenFeature has the word, and this SDK does not.
        return EvaluationReason::Other("STALE".to_owned());
    }
    match answer.reason() {
        FeatureReason::Tenant | FeatureReason::Plan => EvaluationReason::TargetingMatch,
        FeatureReason::Default
        | FeatureReason::NotFound
        | FeatureReason::ModuleDenied
        | FeatureReason::ValueUnreadable => EvaluationReason::Default,
        FeatureReason::Unspecified => EvaluationReason::Unknown,
    }
}

#[async_trait]
impl FeatureProvider for OpenFeatureProvider {
    /// Waits until changes are received, for at most 2 s: questions are answered before, too.
    async fn initialize(&mut self, _: &EvaluationContext) {
        if self.entitlements.watches() {
            drop(tokio::time::timeout(PATIENCE, self.entitlements.watching()).await);
        }
        self.is_initialized = true;
    }

    /// READY while changes are received, or where the client was made not to watch; STALE while they
    /// are not. Whether they are is asked each time: this SDK has no events, and no FATAL.
    fn status(&self) -> ProviderStatus {
        if !self.is_initialized {
            ProviderStatus::NotReady
        } else if !self.entitlements.watches() || self.entitlements.hears_changes() {
            ProviderStatus::Ready
        } else {
            ProviderStatus::STALE
        }
    }

    fn metadata(&self) -> &ProviderMetadata {
        &self.metadata
    }

    async fn resolve_bool_value(
        &self,
        flag: &str,
        context: &EvaluationContext,
    ) -> EvaluationResult<ResolutionDetails<bool>> {
        let answer = self.ask(flag, context).await?;
        Ok(details(answer.enabled(), &answer))
    }

    async fn resolve_int_value(
        &self,
        flag: &str,
        context: &EvaluationContext,
    ) -> EvaluationResult<ResolutionDetails<i64>> {
        self.value(flag, context, int).await
    }

    async fn resolve_float_value(
        &self,
        flag: &str,
        context: &EvaluationContext,
    ) -> EvaluationResult<ResolutionDetails<f64>> {
        self.value(flag, context, float).await
    }

    async fn resolve_string_value(
        &self,
        flag: &str,
        context: &EvaluationContext,
    ) -> EvaluationResult<ResolutionDetails<String>> {
        self.value(flag, context, string).await
    }

    async fn resolve_struct_value(
        &self,
        flag: &str,
        context: &EvaluationContext,
    ) -> EvaluationResult<ResolutionDetails<StructValue>> {
        self.value(flag, context, structure).await
    }
}
