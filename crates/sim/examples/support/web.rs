//! A web server on hyper that says which address it sees, and a client with a pool.

use core::convert::Infallible;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full, combinators::BoxBody};
use hyper::body::{Body, Frame};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::{Interval, interval, sleep};
use vnetem::{ResourceId, authz::ServiceAnswer};
use vnetem_sim::net::{Connector, Executor, TcpListener, TcpStream};
use vnetem_sim::{BoxError, HostHandle, Outcome};

const SECOND: Duration = Duration::from_secs(1);

/// Serves `/` at once, `/slow` after ten seconds, `/long` for a minute. Refuses every caller that
/// the rules of the resource refuse.
pub(crate) async fn server(resource: ResourceId) -> Outcome {
    let listener = TcpListener::bind("0.0.0.0:80").await?;
    loop {
        let (stream, _) = listener.accept().await?;
        HostHandle::current()?.spawn(serve(stream, resource));
    }
}

async fn serve(stream: TcpStream, resource: ResourceId) {
    let refusal = stream.judge(resource);
    let caller = stream.peer_addr().map(|caller| caller.ip().to_string()).unwrap_or_default();
    let service = service_fn(|request: Request<hyper::body::Incoming>| {
        let (refusal, caller) = (refusal.clone(), caller.clone());
        async move {
            let full = |text: String| Full::new(Bytes::from(text)).boxed();
            let mut response = Response::new(full(caller));
            match (request.uri().path(), refusal) {
                (_, Some(ServiceAnswer::Http { status, code, .. })) => {
                    response = Response::new(full(code.to_owned()));
                    *response.status_mut() =
                        StatusCode::from_u16(status).unwrap_or(StatusCode::FORBIDDEN);
                }
                ("/slow", _) => sleep(10 * SECOND).await,
                ("/long", _) => response = Response::new(BoxBody::new(Ticks::new(60))),
                _ => {}
            }
            Ok::<_, Infallible>(response)
        }
    });
    // The date would be the wall clock's; and a connection may rest for as long as it likes.
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).auto_date_header(false).header_read_timeout(None);
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}

/// A body of so many pieces, one a second.
struct Ticks {
    left: u32,
    interval: Interval,
}

impl Ticks {
    fn new(left: u32) -> Self {
        Self { left, interval: interval(SECOND) }
    }
}

impl Body for Ticks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.interval.poll_tick(cx).map(|_| {
            self.left -= 1;
            Some(Ok(Frame::data(Bytes::from_static(b"tick"))))
        })
    }
}

/// A client with a pool, on the current host.
pub(crate) fn client() -> Result<Client<Connector, Empty<Bytes>>, BoxError> {
    let mut builder = Client::builder(Executor::new()?);
    builder.pool_timer(TokioTimer::new()).timer(TokioTimer::new());
    Ok(builder.build(Connector::new()?))
}

/// The status and body of a page.
pub(crate) async fn get(
    client: &Client<Connector, Empty<Bytes>>,
    page: &str,
) -> Result<(u16, String), BoxError> {
    let response = client.get(page.parse()?).await?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// The kind of the I/O error at the root of an error.
pub(crate) fn io_kind(error: &(dyn core::error::Error + 'static)) -> Option<std::io::ErrorKind> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return Some(io.kind());
        }
        next = error.source();
    }
    None
}
