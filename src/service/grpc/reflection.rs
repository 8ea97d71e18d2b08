//! Reflection: a stream of questions about the API, each of which is answered.
//!
//! Not tonic-reflection's service, only its messages: that one ends the stream at the first name that
//! it does not know, and leaves a task behind for each stream.

mod index;

use std::{pin::Pin, sync::Arc, time::Duration};

use futures_util::{Stream, stream};
use tokio::time::sleep;
use tonic::{Request, Response, Status, Streaming, async_trait};
use tonic_reflection::pb::v1::{
    ErrorResponse, ServerReflectionRequest, ServerReflectionResponse,
    server_reflection_response::MessageResponse,
    server_reflection_server::{ServerReflection, ServerReflectionServer},
};

pub(crate) use self::index::{DescriptorError, Index};
use super::{compression::ENCODING, data::ending_of, status};
use crate::{
    domain::limits::MAX_REQUEST_BYTES,
    service::watch::{ConnectionStage, Ending, reached},
};

/// How long a stream may be silent: it has a place that others want.
const IDLE: Duration = Duration::from_secs(30);

/// The service that answers from an index.
pub(crate) fn service(index: Arc<Index>) -> ServerReflectionServer<impl ServerReflection> {
    ServerReflectionServer::new(Reflection(index))
        .accept_compressed(ENCODING)
        .send_compressed(ENCODING)
        .max_decoding_message_size(MAX_REQUEST_BYTES)
}

struct Reflection(Arc<Index>);

#[async_trait]
impl ServerReflection for Reflection {
    type ServerReflectionInfoStream =
        Pin<Box<dyn Stream<Item = Result<ServerReflectionResponse, Status>> + Send>>;

    async fn server_reflection_info(
        &self,
        request: Request<Streaming<ServerReflectionRequest>>,
    ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
        let ending = ending_of(request.extensions());
        let asking = Asking { index: Arc::clone(&self.0), ending, questions: request.into_inner() };
        let answers = stream::unfold(Some(asking), async |asking| {
            let mut asking = asking?;
            let answer = asking.next().await?;
            let goes_on = answer.is_ok().then_some(asking);
            Some((answer, goes_on))
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

/// A stream of questions.
struct Asking {
    index: Arc<Index>,
    ending: Option<Ending>,
    questions: Streaming<ServerReflectionRequest>,
}

impl Asking {
    /// The answer to the next question; `None`: there is none for a while, or the connection is about
    /// to end. What is not readable as a question ends the stream: what follows cannot be found.
    async fn next(&mut self) -> Option<Result<ServerReflectionResponse, Status>> {
        let question = tokio::select! {
            biased;
            _ = reached(&mut self.ending, ConnectionStage::Ending) => return None,
            question = self.questions.message() => question.transpose()?,
            () = sleep(IDLE) => return None,
        };
        Some(question.map(|question| self.answer(question)).map_err(|refused| {
            super::answer::in_place_of_tonics(&refused, MAX_REQUEST_BYTES).unwrap_or(refused)
        }))
    }

    fn answer(&self, question: ServerReflectionRequest) -> ServerReflectionResponse {
        let answer = match &question.message_request {
            Some(asked) => self.index.answer(asked),
            None => Err(status::nothing_asked()),
        };
        ServerReflectionResponse {
            valid_host: question.host.clone(),
            original_request: Some(question),
            message_response: Some(answer.unwrap_or_else(|error| {
                MessageResponse::ErrorResponse(ErrorResponse {
                    error_code: error.code().into(),
                    error_message: error.message().to_owned(),
                })
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::StreamExt;
    use http_body_util::StreamBody;
    use hyper::body::{Bytes, Frame};
    use tokio::time::{Instant, timeout};
    use tonic::codec::Codec;
    use tonic_prost::ProstCodec;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_when_nothing_was_asked_for_as_long_as_it_may_be_silent() {
        let almost = IDLE * 9 / 10;
        let question = stream::once(async move {
            sleep(almost).await;
            // A question of no bytes.
            Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[0; 5])))
        });
        let body = StreamBody::new(Box::pin(question.chain(stream::pending())));
        let decoder = ProstCodec::<(), ServerReflectionRequest>::default().decoder();
        let mut asking = Asking {
            index: Arc::new(Index::new(&[], &[]).unwrap()),
            ending: None,
            questions: Streaming::new_request(decoder, body, None, None),
        };
        let start = Instant::now();
        assert!(asking.next().await.is_some_and(|answer| answer.is_ok()));
        assert_eq!(start.elapsed(), almost);
        let end = timeout(2 * IDLE, asking.next()).await;
        assert!(end.is_ok_and(|answer| answer.is_none()));
        assert_eq!(start.elapsed(), almost + IDLE);
    }
}
