//! A collector, and what it has got.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{KeyValue, any_value},
    trace::v1::Span,
};
use tokio::{net::TcpListener, sync::watch};
use tonic::{Request, Response, Status, transport::Server};

#[derive(Clone)]
pub struct Collector {
    got: Arc<Mutex<Got>>,
    /// While it is closed, messages are taken and not answered.
    open: watch::Sender<bool>,
}

#[derive(Default)]
struct Got {
    spans: Vec<Span>,
    /// Attributes of what the spans are of.
    resource: Vec<KeyValue>,
    authorization: Option<String>,
    messages: usize,
}

impl Default for Collector {
    fn default() -> Self {
        Self { got: Arc::default(), open: watch::Sender::new(true) }
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let authorization = request.metadata().get("authorization");
        let authorization = authorization.map(|value| value.to_str().unwrap().to_owned());
        self.got.lock().unwrap().messages += 1;
        self.open.subscribe().wait_for(|open| *open).await.unwrap();
        let mut got = self.got.lock().unwrap();
        got.authorization = authorization;
        for resource in request.into_inner().resource_spans {
            got.resource = resource.resource.unwrap().attributes;
            got.spans.extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    /// Listens, and gives its URL.
    pub async fn start(&self) -> String {
        self.start_at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    pub async fn start_at(&self, address: SocketAddr) -> String {
        let listener = TcpListener::bind(address).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let incoming = futures_util::stream::unfold(listener, async |listener| {
            let accepted = listener.accept().await.map(|(stream, _)| stream);
            Some((accepted, listener))
        });
        let service = TraceServiceServer::new(self.clone());
        tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
        url
    }

    /// Answers messages, or keeps them waiting.
    pub fn open(&self, open: bool) {
        self.open.send_replace(open);
    }

    pub fn named(&self, name: &str) -> Vec<Span> {
        let got = self.got.lock().unwrap();
        got.spans.iter().filter(|span| span.name == name).cloned().collect()
    }

    /// Messages so far, those that wait for an answer among them.
    pub fn messages(&self) -> usize {
        self.got.lock().unwrap().messages
    }

    pub fn resource(&self, name: &str) -> Option<String> {
        text(&self.got.lock().unwrap().resource, name)
    }

    pub fn authorization(&self) -> Option<String> {
        self.got.lock().unwrap().authorization.clone()
    }
}

/// The attribute with this name.
pub fn text(attributes: &[KeyValue], name: &str) -> Option<String> {
    let mut found = attributes.iter().filter(|attribute| attribute.key == name);
    let value = found.next()?.value.clone()?.value?;
    assert!(found.next().is_none(), "{name} is there twice");
    match value {
        any_value::Value::StringValue(text) => Some(text),
        other => panic!("{name} is {other:?}"),
    }
}
