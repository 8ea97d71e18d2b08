//! Who it is: held, asked for, or by the outage rule.

use std::sync::Arc;

use futures_util::future::FutureExt;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::{Core, Question};
use crate::{
    Answer, Error, Resolved,
    ask::{Credentials, OwnedCredentials},
    error::is_outage,
    held::Began,
    list::Told,
};

impl Core {
    /// The tenant that these credentials identify, if that is held; or else the key under which it
    /// would be.
    pub(crate) fn resolved(&self, credentials: Credentials<'_>) -> Result<Resolved, u128> {
        let key = self.key.of(credentials);
        self.held.resolved(key, self.clock.now()).ok_or(key)
    }

    /// Resolves the tenant that these credentials identify, where it is not held.
    pub(crate) async fn resolve(
        self: &Arc<Self>,
        key: u128,
        credentials: Credentials<'_>,
    ) -> Result<Resolved, Error> {
        if let Some(resolved) = self.resolved_in_outage(key, credentials) {
            return Ok(resolved);
        }
        self.fetch_resolved(key, credentials.into())
            .await
            .or_else(|status| self.unresolved(key, status))
    }

    pub(crate) async fn fetch_resolved(
        self: &Arc<Self>,
        key: u128,
        credentials: OwnedCredentials,
    ) -> Result<Resolved, Status> {
        let began = self.began_asking_who();
        let core = Arc::clone(self);
        let ask = move || {
            async move {
                let asking = Arc::clone(&core);
                let question = async move {
                    let answer = asking.ask.resolve(credentials).await;
                    let who = answer.as_ref().map(|(resolved, told)| (resolved, *told));
                    asking.note_who(key, who, began);
                    answer
                };
                core.ask(question.boxed()).await
            }
            .boxed()
        };
        Ok(self.resolved.join(Question::new(key, began), ask).await?.0)
    }

    /// What is answered where the server has not said who it is: by the outage rule, if it did not
    /// answer.
    fn unresolved(&self, key: u128, status: Status) -> Result<Resolved, Error> {
        if is_outage(&status) {
            return self.resolved_by_rule(key).ok_or_else(|| status.into());
        }
        Err(status.into())
    }

    /// Keeps what the server has answered, also where nobody waits for it any more. Whom these
    /// credentials named is forgotten if the server says that they name nobody; other statuses
    /// concern the caller, or whoever is in between.
    fn note_who(&self, key: u128, answer: Result<(&Resolved, Told), &Status>, began: Began) {
        let status = match answer {
            Ok((resolved, told)) => {
                return self.held.keep_resolved(key, resolved.clone(), told, began);
            }
            Err(status) => status,
        };
        let is_about_them = matches!(
            status.code(),
            Code::Unauthenticated | Code::PermissionDenied | Code::NotFound
        );
        let is_of_server =
            status.get_details_error_info().is_some_and(|info| !info.reason.starts_with("CALLER_"));
        if is_about_them && is_of_server {
            self.held.forget_resolved(key);
        }
    }

    /// Resolves the tenant, and checks whether it may use one of these modules: one round trip if
    /// nothing is held.
    pub(crate) async fn authorize(
        self: &Arc<Self>,
        credentials: Credentials<'_>,
        modules: &[impl AsRef<str>],
    ) -> Result<(Resolved, Option<Answer>), Error> {
        let key = self.key.of(credentials);
        if let Some(resolved) = self.held.resolved(key, self.clock.now()) {
            return Ok((resolved, None));
        }
        if let Some(resolved) = self.resolved_in_outage(key, credentials) {
            return Ok((resolved, None));
        }
        let began = self.began_asking_who();
        let codes = modules.iter().map(|code| code.as_ref().to_owned()).collect();
        let (asking, asked) = (Arc::clone(self), self.ask.authorize(credentials.into(), codes));
        let question = async move {
            let answer = asked.await;
            let who = answer.as_ref().map(|(resolved, told, _)| (resolved, *told));
            asking.note_who(key, who, began);
            answer
        };
        match self.ask(question.boxed()).await {
            Ok((resolved, _, judged)) => {
                self.counters.modules.server.increment(1);
                Ok((resolved, Some(judged.answer)))
            }
            Err(status) => Ok((self.unresolved(key, status)?, None)),
        }
    }

    fn began_asking_who(&self) -> Began {
        let era = self.held.stream.era();
        let at = self.clock.now();
        let is_settling = self.held.stream.is_settling(at);
        Began { at, era, news: self.held.last_news(), min_revision: 0, is_settling }
    }
}
