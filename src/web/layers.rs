//! What holds for many routes: CORS, limits, requirements that are not read.

use super::origin::RequestOrigin;
use super::request_id::{RequestId, named};
use super::{Web, error, overload};
use crate::domain::requirement::Requirement;
use crate::flow;
use crate::telemetry::metrics::HttpRoute;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};
use tower_http::timeout::TimeoutLayer;
use tracing::Instrument;

/// No form of ours is larger, bytes.
pub(super) const BODY_MAX: usize = 16 << 10;

/// Scripts of siblings may read the answer, with the browser's credentials (Fetch standard, CORS).
pub(super) fn cors(web: &Arc<Web>) -> CorsLayer {
    let web = web.clone();
    let allowed = move |origin: &HeaderValue, _: &Parts| RequestOrigin::allows(&web, origin);
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(allowed))
        .allow_credentials(true)
        .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::DELETE])
        .allow_headers([CONTENT_TYPE])
        .max_age(Duration::from_secs(600))
}

/// A bound on time, and no panic beyond this point: the same without layers, for the hot path. What is done
/// at once needs no timer. `None` if the time was not enough.
pub(super) async fn bounded(work: impl Future<Output = Response>, time: Duration) -> Option<Response> {
    let done = with_timeout(AssertUnwindSafe(work).catch_unwind(), time).await?;
    Some(done.unwrap_or_else(|_| error::panicked()))
}

/// A bound on time for the hot path. What is done at once needs no timer. `None` if the time was not enough.
pub(super) async fn with_timeout<T>(work: impl Future<Output = T>, time: Duration) -> Option<T> {
    let mut work = pin!(work);
    match std::future::poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await {
        Poll::Ready(done) => Some(done),
        Poll::Pending => tokio::time::timeout(time, work).await.ok(),
    }
}

/// Refuses requirements (`group=` and the like) at an address that judges none: whoever sends them means them.
pub(super) async fn no_requirements(id: RequestId, request: Request, next: Next) -> Response {
    match Requirement::none_in(request.uri().query().unwrap_or_default()) {
        Ok(()) => next.run(request).await,
        Err(malformed) => error::problem(flow::Error::from(malformed), &id, None),
    }
}

/// Counts and times a request, and names it; in an overload, refuses some.
async fn measured(State(web): State<Arc<Web>>, request: Request, next: Next) -> Response {
    let route = HttpRoute::of(request.uri().path());
    let (observed, id) = (web.observe(route, &request), web.request_id(&request));
    let response = match overload::shed(&web, route, &id, request.headers()).await {
        Some(refused) => refused,
        None => {
            let context = web.request_context(&request, &id);
            context.scope(named(id, request, next).instrument(observed.span.clone())).await
        }
    };
    observed.answered(&response);
    response
}

/// Bounds on body and time, no panic beyond this point, the request's id, and its place in the metrics. Together: a call
/// of `layer` for each would box each request and response once more.
pub(super) fn limited<S: Clone + Send + Sync + 'static>(router: Router<S>, web: &Arc<Web>) -> Router<S> {
    router.layer((
        axum::middleware::from_fn_with_state(web.clone(), measured),
        CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| error::panicked()),
        TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, web.request_limit),
        DefaultBodyLimit::max(BODY_MAX),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse;

    const TIME: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn work_is_bounded_and_a_panic_is_an_answer() {
        let done = bounded(async { "done".into_response() }, TIME).await;
        assert_eq!(done.unwrap().status(), StatusCode::OK);
        let slow = async |time| {
            tokio::time::sleep(time).await;
            "slow".into_response()
        };
        assert_eq!(bounded(slow(TIME / 2), TIME).await.unwrap().status(), StatusCode::OK);
        assert!(bounded(slow(TIME * 2), TIME).await.is_none());
        let broken = bounded(async { panic!("on purpose") }, TIME).await.unwrap();
        assert_eq!(broken.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
