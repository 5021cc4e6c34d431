//! A gRPC service of bytes, without generated code: `Ask` answers once, `Watch` once a second.

use core::convert::Infallible;
use core::future::{Ready, ready};
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use futures_core::Stream;
use hyper::http::uri::PathAndQuery;
use tokio::time::{Interval, interval};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, NamedService, ServerStreamingService, UnaryService};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status, Streaming};
use vnetem_sim::BoxError;
use vnetem_sim::net::{Connector, PeerInfo};

/// Messages as they are.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let length = from.remaining();
        Ok(Some(from.copy_to_bytes(length)))
    }
}

/// The service: it answers with the address that it sees.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whoami;

impl NamedService for Whoami {
    const NAME: &'static str = "whoami.Whoami";
}

impl tower_service::Service<hyper::Request<tonic::body::Body>> for Whoami {
    type Response = hyper::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: hyper::Request<tonic::body::Body>) -> Self::Future {
        let this = *self;
        Box::pin(async move {
            let mut grpc = Grpc::new(Raw);
            Ok(match request.uri().path() {
                "/whoami.Whoami/Ask" => grpc.unary(this, request).await,
                _ => grpc.server_streaming(this, request).await,
            })
        })
    }
}

fn caller<T>(request: &Request<T>) -> Bytes {
    let info = request.extensions().get::<PeerInfo>().and_then(|info| info.address);
    info.map_or_else(Bytes::new, |address| address.ip().to_string().into())
}

impl UnaryService<Bytes> for Whoami {
    type Response = Bytes;
    type Future = Ready<Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        ready(Ok(Response::new(caller(&request))))
    }
}

impl ServerStreamingService<Bytes> for Whoami {
    type Response = Bytes;
    type ResponseStream = EverySecond;
    type Future = Ready<Result<Response<EverySecond>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let interval = interval(Duration::from_secs(1));
        ready(Ok(Response::new(EverySecond { item: caller(&request), interval })))
    }
}

/// One message, again and again.
#[derive(Debug)]
pub(crate) struct EverySecond {
    item: Bytes,
    interval: Interval,
}

impl Stream for EverySecond {
    type Item = Result<Bytes, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = self.item.clone();
        self.interval.poll_tick(cx).map(|_| Some(Ok(item)))
    }
}

/// Opens a channel to the service at a name.
pub(crate) async fn channel(name: &str) -> Result<Channel, BoxError> {
    let endpoint = Endpoint::from_shared(format!("http://{name}:50051"))?;
    Ok(endpoint
        .executor(vnetem_sim::net::Executor::new()?)
        .connect_with_connector(Connector::new()?)
        .await?)
}

/// Asks the service which address it sees.
pub(crate) async fn ask(channel: &Channel) -> Result<String, Status> {
    let mut grpc = tonic::client::Grpc::new(channel.clone());
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let path = PathAndQuery::from_static("/whoami.Whoami/Ask");
    let answer = grpc.unary(Request::new(Bytes::new()), path, Raw).await?.into_inner();
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Makes the service say once a second which address it sees.
pub(crate) async fn watch(channel: &Channel) -> Result<Streaming<Bytes>, Status> {
    let mut grpc = tonic::client::Grpc::new(channel.clone());
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let path = PathAndQuery::from_static("/whoami.Whoami/Watch");
    Ok(grpc.server_streaming(Request::new(Bytes::new()), path, Raw).await?.into_inner())
}
