//! A request as its operator sees it: timed for the metrics, a span of a trace, and a line of the access log.

use super::Web;
use super::device::Peer;
use super::request_id::{RequestId, X_REQUEST_ID};
use crate::audit::RequestContext;
use crate::telemetry::metrics::{HttpRoute, RequestTimer};
use crate::telemetry::traces;
use axum::body::HttpBody;
use axum::extract::Request;
use axum::http::header::USER_AGENT;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, Method, Uri};
use axum::response::Response;
use std::time::Instant;
use tracing::Span;

/// A longer path is cut in the access log, characters.
const PATH_MAX: usize = 512;

/// What a request says before its body.
#[derive(Clone, Copy)]
pub(super) struct RequestHead<'a> {
    pub(super) method: &'a Method,
    pub(super) uri: &'a Uri,
    pub(super) headers: &'a HeaderMap,
    pub(super) extensions: &'a Extensions,
}

impl<'a> From<&'a Parts> for RequestHead<'a> {
    fn from(Parts { method, uri, headers, extensions, .. }: &'a Parts) -> Self {
        Self { method, uri, headers, extensions }
    }
}

impl<'a> From<&'a Request> for RequestHead<'a> {
    fn from(request: &'a Request) -> Self {
        let (method, uri, headers, extensions) =
            (request.method(), request.uri(), request.headers(), request.extensions());
        Self { method, uri, headers, extensions }
    }
}

/// A request that is not answered yet.
pub(super) struct ObservedRequest<'a> {
    timer: RequestTimer<'a>,
    /// Its span; none while traces are off.
    pub(super) span: Span,
    line: Option<Box<AccessLine>>,
}

/// What the access log says of a request, and cannot know any more when it is answered.
struct AccessLine {
    began: Instant,
    method: Method,
    path: String,
    address: String,
    agent: String,
    request_id: Option<RequestId>,
}

impl Web {
    /// Begins to observe a request.
    pub(super) fn observe<'a>(&self, route: HttpRoute, head: impl Into<RequestHead<'a>>) -> ObservedRequest<'_> {
        let head = head.into();
        let timer = self.rp.metrics.request(route, head.method);
        let span = traces::request(route, head.method, head.headers, || self.is_from_trusted_proxy(head));
        ObservedRequest { timer, span, line: self.access_log.then(|| Box::new(self.access_line(head))) }
    }

    /// The id that a trusted proxy has given to the request, else a new one.
    pub(super) fn request_id<'a>(&self, head: impl Into<RequestHead<'a>>) -> RequestId {
        self.sent_request_id(head.into()).unwrap_or_else(RequestId::new)
    }

    fn sent_request_id(&self, head: RequestHead<'_>) -> Option<RequestId> {
        let sent = head.headers.get(X_REQUEST_ID)?;
        RequestId::sent(sent.as_bytes()).filter(|_| self.is_from_trusted_proxy(head))
    }

    fn is_from_trusted_proxy(&self, head: RequestHead<'_>) -> bool {
        Peer::of(head.extensions).is_trusted(&self.trusted_proxies)
    }

    /// What audit records say of a request.
    pub(super) fn request_context<'a>(&self, head: impl Into<RequestHead<'a>>, id: &RequestId) -> RequestContext {
        let head = head.into();
        RequestContext {
            request_id: id.as_str().into(),
            address: Peer::of(head.extensions).address(head.headers, &self.trusted_proxies),
            agent: head.headers.get(USER_AGENT).cloned(),
        }
    }

    fn access_line(&self, head: RequestHead<'_>) -> AccessLine {
        let device = Peer::of(head.extensions).device(head.headers, &self.trusted_proxies);
        AccessLine {
            began: Instant::now(),
            method: head.method.clone(),
            path: head.uri.path().chars().take(PATH_MAX).collect(),
            address: device.address,
            agent: device.agent,
            request_id: self.sent_request_id(head),
        }
    }
}

impl ObservedRequest<'_> {
    /// The request is answered.
    pub(super) fn answered(self, response: &Response) {
        traces::answered(&self.span, response.status());
        self.timer.answered(response.status());
        if let Some(line) = self.line {
            line.write(response);
        }
    }
}

impl AccessLine {
    fn write(&self, response: &Response) {
        let Self { began, method, path, address, agent, request_id } = self;
        let answered = response.headers().get(X_REQUEST_ID).and_then(|id| id.to_str().ok());
        tracing::info!(
            target: "auth_api::access",
            address,
            %method,
            path,
            status = response.status().as_u16(),
            bytes = response.body().size_hint().exact(),
            milliseconds = began.elapsed().as_secs_f64() * 1e3,
            agent,
            request_id = answered.or(request_id.as_ref().map(RequestId::as_str)),
            "request answered"
        );
    }
}
