//! The request that an event came of, which flows need not carry.

use crate::domain::untrusted::UntrustedText;
use http::HeaderValue;
use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};
use std::cell::Cell;
use std::future::Future;
use std::net::IpAddr;
use utoipa::ToSchema;

/// A longer name of a browser is cut, characters.
const AGENT_MAX: usize = 256;

tokio::task_local! {
    static REQUEST: RequestContext;
}

/// A request, as its records show it. Records of what no request caused have none of this.
#[derive(Debug, Clone, ToSchema)]
pub struct RequestContext {
    /// `X-Request-Id`.
    #[schema(value_type = Option<String>)]
    pub request_id: Box<str>,
    /// The IP address that it came from, as far as trusted proxies say.
    #[schema(value_type = Option<String>)]
    pub address: Option<IpAddr>,
    /// The header `User-Agent`, up to 256 characters. Foreign text.
    #[schema(value_type = Option<String>)]
    pub agent: Option<HeaderValue>,
}

impl RequestContext {
    /// Has what is recorded in `work` name this request.
    pub fn scope<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        REQUEST.scope(self, work)
    }

    /// The same for work without a wait.
    pub fn sync_scope<T>(self, work: impl FnOnce() -> T) -> T {
        REQUEST.sync_scope(self, work)
    }

    /// Calls `with` with the request of this task, if there is one.
    pub(super) fn with_current<T>(with: impl FnOnce(Option<&Self>) -> T) -> T {
        let with = Cell::new(Some(with));
        let call = |request: Option<&Self>| with.take().map(|with| with(request));
        let called = REQUEST.try_with(|request| call(Some(request))).ok().flatten();
        called.or_else(|| call(None)).expect("one of the two has called it")
    }
}

/// Has what is recorded in `work` name the request of the task that calls this.
pub fn in_current_request<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let request = REQUEST.try_with(Clone::clone).ok();
    async move {
        match request {
            Some(request) => request.scope(work).await,
            None => work.await,
        }
    }
}

impl Serialize for RequestContext {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("RequestContext", 3)?;
        fields.serialize_field("request_id", &self.request_id)?;
        fields.serialize_field("address", &self.address)?;
        let agent = self.agent.as_ref().map(|agent| String::from_utf8_lossy(agent.as_bytes()));
        fields.serialize_field("agent", &agent.map(|agent| UntrustedText::up_to(AGENT_MAX, agent)))?;
        fields.end()
    }
}
