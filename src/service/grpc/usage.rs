//! UsageService: unwrap a request, answer it, wrap the response.

use std::{pin::Pin, time::Duration};

use futures_util::{Stream, stream};
use tokio::time::sleep;
use tonic::{Request, Status, Streaming, async_trait};

use super::{Answer, answer, compression::sized, convert, data::ending_of};
use crate::{
    proto::v1::{
        AcquireUsageLeaseRequest, AcquireUsageLeaseResponse, QueryUsageRequest, QueryUsageResponse,
        ReconcileUsageRequest, ReconcileUsageResponse, RecordUsageRequest, RecordUsageResponse,
        ReleaseUsageRequest, ReleaseUsageResponse, ReserveUsageRequest, ReserveUsageResponse,
        SettleUsageLeaseRequest, SettleUsageLeaseResponse, usage_service_server::UsageService,
    },
    service::{
        Api,
        usage::Recorder,
        watch::{ConnectionStage, Ending, reached},
    },
};

#[async_trait]
impl UsageService for Api {
    async fn reserve_usage(
        &self,
        request: Request<ReserveUsageRequest>,
    ) -> Answer<ReserveUsageResponse> {
        answer(convert::reserve_response(
            self.reserve_usage(convert::reserve_query(&request)?).await?,
        ))
    }

    async fn release_usage(
        &self,
        request: Request<ReleaseUsageRequest>,
    ) -> Answer<ReleaseUsageResponse> {
        let (released, state) = self.release_usage(convert::release_query(&request)?).await?;
        answer(convert::release_response(released, state))
    }

    async fn reconcile_usage(
        &self,
        request: Request<ReconcileUsageRequest>,
    ) -> Answer<ReconcileUsageResponse> {
        let query = convert::reconcile_query(&request)?;
        let (counted, released, state) = self.reconcile_usage(query).await?;
        sized(convert::reconcile_response(counted, released, state))
    }

    async fn acquire_usage_lease(
        &self,
        request: Request<AcquireUsageLeaseRequest>,
    ) -> Answer<AcquireUsageLeaseResponse> {
        answer(convert::lease_response(
            self.acquire_usage_lease(convert::lease_query(&request)?).await?,
        ))
    }

    async fn settle_usage_lease(
        &self,
        request: Request<SettleUsageLeaseRequest>,
    ) -> Answer<SettleUsageLeaseResponse> {
        let (spent, returned, state) =
            self.settle_usage_lease(convert::settle_query(&request)?).await?;
        answer(convert::settle_response(spent, returned, state))
    }

    type RecordUsageStream =
        Pin<Box<dyn Stream<Item = Result<RecordUsageResponse, Status>> + Send>>;

    async fn record_usage(
        &self,
        mut request: Request<Streaming<RecordUsageRequest>>,
    ) -> Answer<Self::RecordUsageStream> {
        let credentials = request.extensions_mut().remove().unwrap_or_default();
        let recording = Recording {
            recorder: self.recorder(credentials)?,
            ending: ending_of(request.extensions()),
            messages: request.into_inner(),
        };
        answer(Box::pin(stream_of(recording)))
    }

    async fn query_usage(&self, request: Request<QueryUsageRequest>) -> Answer<QueryUsageResponse> {
        sized(convert::spans_response(self.query_usage(convert::spans_query(&request)?).await?))
    }
}

/// How long a stream may be silent: it has a place that others want.
const IDLE: Duration = Duration::from_secs(30);

/// A stream that records.
struct Recording {
    recorder: Recorder,
    ending: Option<Ending>,
    messages: Streaming<RecordUsageRequest>,
}

impl Recording {
    /// The answer to the next message; `None`: there is none for a while, or the connection is about to
    /// end, and whoever sends another one does so on another stream.
    async fn next(&mut self) -> Option<Result<RecordUsageResponse, Status>> {
        let message = tokio::select! {
            // However fast messages arrive: what is not answered is sent again elsewhere.
            biased;
            _ = reached(&mut self.ending, ConnectionStage::Ending) => return None,
            () = sleep(IDLE) => return None,
            message = self.messages.message() => message.transpose()?,
        };
        Some(self.answer(message).await)
    }

    async fn answer(
        &mut self,
        message: Result<RecordUsageRequest, Status>,
    ) -> Result<RecordUsageResponse, Status> {
        let message = message?;
        let sequence = message.sequence;
        let outcomes = self.recorder.record(convert::usage_record_query(message)?).await?;
        Ok(convert::usage_record_response(&outcomes, sequence))
    }
}

/// What became of the messages, in order. An error is the last.
fn stream_of(
    recording: Recording,
) -> impl Stream<Item = Result<RecordUsageResponse, Status>> + Send {
    stream::unfold(Some(recording), async |recording| {
        let mut recording = recording?;
        let told = recording.next().await?;
        let goes_on = told.is_ok().then_some(recording);
        Some((told, goes_on))
    })
}
