//! Counting: what was not answered may have been counted, so it is asked again, with the same key.

use std::{future::Future, time::Duration};

use prost_types::Timestamp;
use tokio::time::{Instant, sleep, timeout};
use tonic::{Code, Request, Response, Status, transport::Channel};
use tracing::Instrument;
use uuid::Uuid;

use super::{PAUSE, Remote, asked_over, span};
use crate::{
    convert,
    error::is_outage,
    proto::v1::{ReleaseUsageRequest, usage_service_client::UsageServiceClient},
    usage::{Range, Reconciled, Reservation, Reserve},
};

const SERVICE_NAME: &str = "entitlement.v1.UsageService";
/// How many times one request is sent.
const MOST_TRIES: u32 = 3;
/// The share of what is left of the deadline that a try may take, if another may follow. Of 2 s that
/// is more than the second for which a server waits for a counter.
const SHARE: f64 = 0.6;

type Client = UsageServiceClient<Channel>;

impl Remote {
    pub(super) async fn reserved(
        self,
        tenant: Uuid,
        wanted: Reserve,
    ) -> Result<Reservation, Status> {
        let request = convert::reserve_request(tenant, wanted)?;
        let ask = |mut client: Client, request| async move { client.reserve_usage(request).await };
        convert::reserved(self.count("ReserveUsage", request, ask).await?)
    }

    pub(super) async fn released(
        self,
        tenant: Uuid,
        meter: String,
        key: String,
        only_held: bool,
    ) -> Result<i64, Status> {
        let tenant_id = tenant.to_string();
        let request = ReleaseUsageRequest { tenant_id, meter, key, only_held };
        let ask = |mut client: Client, request| async move { client.release_usage(request).await };
        Ok(self.count("ReleaseUsage", request, ask).await?.released_amount)
    }

    pub(super) async fn reconciled(
        self,
        tenant: Uuid,
        meter: String,
        range: Range,
        as_of: Timestamp,
    ) -> Result<Reconciled, Status> {
        let request = convert::reconcile_request(tenant, meter, range, as_of);
        let ask =
            |mut client: Client, request| async move { client.reconcile_usage(request).await };
        convert::reconciled(self.count("ReconcileUsage", request, ask).await?)
    }

    /// Sends a request, and sends it again where it may have been counted or not, all within the
    /// deadline.
    pub(super) async fn count<M, R, F>(
        &self,
        method: &'static str,
        message: M,
        ask: impl Fn(Client, Request<M>) -> F,
    ) -> Result<R, Status>
    where
        M: Clone,
        F: Future<Output = Result<Response<R>, Status>>,
    {
        let span = span(SERVICE_NAME, method);
        let tried = async {
            let end = Instant::now() + self.0.deadline;
            let mut pause = PAUSE;
            for _ in 1..self.0.tries.min(MOST_TRIES) {
                let time = end.saturating_duration_since(Instant::now()).mul_f64(SHARE);
                match self.once(time, &message, &ask).await {
                    Err(status) if is_worth_a_try(&status) => {
                        let pause = pause.mul_f64(0.5 + fastrand::f64());
                        if Instant::now() + pause >= end {
                            return Err(status);
                        }
                        sleep(pause).await;
                    }
                    done => return done,
                }
                pause *= 2;
            }
            self.once(end.saturating_duration_since(Instant::now()), &message, &ask).await
        };
        tried.instrument(span).await.map_err(newer)
    }

    /// One try, which takes no longer than that.
    async fn once<M, R, F>(
        &self,
        time: Duration,
        message: &M,
        ask: &impl Fn(Client, Request<M>) -> F,
    ) -> Result<R, Status>
    where
        M: Clone,
        F: Future<Output = Result<Response<R>, Status>>,
    {
        let (place, channel) = self.0.endpoints.current();
        let ask = |channel| {
            ask(UsageServiceClient::new(channel), self.request(message.clone(), Some(time)))
        };
        let answer = timeout(time, asked_over(channel, ask)).await.unwrap_or_else(|_| {
            let message = format!("entitlementd did not answer within {time:?}");
            Err(Status::deadline_exceeded(message))
        });
        if answer.as_ref().is_err_and(is_worth_a_try) {
            self.0.endpoints.move_on_from(place);
        }
        answer.map(Response::into_inner)
    }
}

/// Was it perhaps counted, perhaps not? Of a counter that is locked, or of a server that is
/// overloaded, more questions make no better one.
fn is_worth_a_try(status: &Status) -> bool {
    is_outage(status) && status.code() != Code::ResourceExhausted
}

/// What is said where a server does not know a method that came with usage.
fn newer(status: Status) -> Status {
    match status.code() {
        Code::Unimplemented => {
            Status::unimplemented("the server is older than usage, or does not count: upgrade it")
        }
        _ => status,
    }
}
