//! What a request holds while it is answered: a place, and the right to go on. A stream ends when its principal is
//! revoked or its time is over, whatever its handler does.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::request::Parts;
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use jiff::Timestamp;
use skep_common::code::Code;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::access::{Identity, Principal};
use crate::error::Failure;
use crate::origin::Client;
use crate::places::Place;
use crate::router::App;

/// Who a stream counts for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Holder {
    /// A token or browser.
    Principal(String),
    /// An address, where nobody in particular comes.
    Address(IpAddr),
}

/// When a principal's streams end. Handlers that take a connection over (WebSocket) watch it themselves.
#[derive(Debug, Clone)]
pub(crate) struct Until {
    revoked: CancellationToken,
    expires_at: Option<Timestamp>,
    _place: Arc<Place<Holder>>,
}

impl Until {
    /// Comes back when the principal was revoked or its time is over.
    pub(crate) async fn over(&self) {
        let expires = async {
            match self.expires_at {
                Some(end) => {
                    let left = end.duration_since(Timestamp::now());
                    sleep(Duration::try_from(left).unwrap_or_default()).await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.revoked.cancelled() => {}
            () = expires => {}
        }
    }
}

/// What a request holds.
#[derive(Debug)]
pub(crate) enum Lease {
    /// A place among the requests under way.
    Request(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit),
    /// A place among its client's streams.
    Stream(Until),
}

impl Lease {
    /// Takes a place.
    ///
    /// # Errors
    ///
    /// `overloaded`, `too_many_requests`.
    pub(crate) fn take(
        app: &App,
        parts: &mut Parts,
        principal: Option<&Principal>,
        streams: bool,
    ) -> Result<Self, Failure> {
        if !streams {
            let place = Arc::clone(&app.in_flight).try_acquire_owned();
            return place.map(Self::Request).map_err(|_| {
                let why = "too many requests are under way (api.limits.requests_in_flight)";
                Failure::new(Code::Overloaded, why)
            });
        }
        let holder = match principal {
            Some(Principal { identity: Identity::Anyone, .. }) | None => {
                let address = parts.extensions.get::<Client>().map(|client| client.address);
                address.map_or_else(|| Holder::Principal(String::new()), Holder::Address)
            }
            Some(principal) => Holder::Principal(principal.name().to_owned()),
        };
        let place = app.streams.take(holder).ok_or_else(|| {
            let why = "this client has too many streams open (api.limits.streams_per_client)";
            Failure::new(Code::TooManyRequests, why)
        })?;
        let until = Until {
            revoked: principal.map_or_else(CancellationToken::new, |principal| principal.revoked.clone()),
            expires_at: principal.and_then(|principal| principal.expires_at),
            _place: Arc::new(place),
        };
        parts.extensions.insert(until.clone());
        Ok(Self::Stream(until))
    }

    /// The answer, under this lease.
    pub(crate) fn over(self, response: Response) -> Response {
        match self {
            // The handler is done; what is left is bytes.
            Self::Request(_) => response,
            Self::Stream(until) => response.map(|inner| Body::new(Leased::new(inner, until))),
        }
    }
}

/// A body that ends when its lease does.
struct Leased {
    inner: Body,
    over: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Leased {
    fn new(inner: Body, until: Until) -> Self {
        Self { inner, over: Box::pin(async move { until.over().await }) }
    }
}

impl hyper::body::Body for Leased {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.over.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
