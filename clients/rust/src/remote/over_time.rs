//! What was used, and was used over time.

use futures_util::{future::ready, stream};
use tonic::{Code, Request, Response, Status, transport::Channel};
use tonic_types::StatusExt;
use uuid::Uuid;

use super::Remote;
use crate::{
    convert,
    proto::v1::{
        RecordUsageRequest, RecordUsageResponse, usage_service_client::UsageServiceClient,
    },
    usage::{Acquire, Granted, Message, Settle, UsageHistory, UsageOutcome, UsageQuery},
};

type Client = UsageServiceClient<Channel>;

impl Remote {
    pub(super) async fn recorded(self, message: Message) -> Result<Vec<UsageOutcome>, Status> {
        let count = message.events.len();
        let answer = self.count("RecordUsage", convert::record_request(message), record).await?;
        convert::recorded(&answer, count)
    }

    pub(super) async fn queried(
        self,
        tenant: Uuid,
        query: UsageQuery,
    ) -> Result<UsageHistory, Status> {
        let request = convert::query_request(tenant, query);
        let ask = |mut client: Client, request| async move { client.query_usage(request).await };
        self.count("QueryUsage", request, ask).await.map(convert::queried)
    }
}

impl Remote {
    pub(super) async fn acquired(self, asked: Acquire) -> Result<Granted, Status> {
        let request = convert::acquire_request(asked)?;
        let ask =
            |mut client: Client, request| async move { client.acquire_usage_lease(request).await };
        convert::acquired(self.count("AcquireUsageLease", request, ask).await?)
    }

    pub(super) async fn settled(self, settled: Settle) -> Result<(), Status> {
        let request = convert::settle_request(settled);
        let ask =
            |mut client: Client, request| async move { client.settle_usage_lease(request).await };
        self.count("SettleUsageLease", request, ask).await.map(drop)
    }
}

/// One message on a stream of its own: it can be sent again over another connection, and a stream
/// that is open for long would hold one of the server's places.
async fn record(
    mut client: Client,
    request: Request<RecordUsageRequest>,
) -> Result<Response<RecordUsageResponse>, Status> {
    let request = request.map(|message| stream::once(ready(message)));
    let mut answers = client.record_usage(request).await?.into_inner();
    let answer = answers.message().await.map_err(broken)?;
    answer
        .map(Response::new)
        .ok_or_else(|| Status::unavailable("the stream ended without an answer"))
}

/// A connection that breaks below a stream is told with various codes, INTERNAL among them. The
/// server's own statuses say their reason.
fn broken(status: Status) -> Status {
    match status.code() {
        Code::Internal if status.get_details_error_info().is_none() => {
            Status::unavailable(status.message())
        }
        _ => status,
    }
}
