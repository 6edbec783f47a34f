//! Why a request gets no answer of its kind: what a flow ended with, or what only web can see. `web::error` answers it.

use crate::domain::return_to::InvalidReturnTo;
use crate::flow;

/// A refused request.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Refusal {
    /// A flow failed.
    #[error(transparent)]
    Flow(#[from] flow::Error),
    /// The browser goes round in a circle between a site and the sign-in.
    #[error("this browser was signed in {0} times within a minute")]
    RedirectLoop(usize),
    /// A proxy's word about the page that is asked for cannot be used.
    #[error("the forwarded page address cannot be used: {0}")]
    BadForwardedHeaders(#[from] BadForwardedHeaders),
    /// Forwarded headers from an address that is not a trusted proxy.
    #[error("{0}")]
    UntrustedProxy(&'static str),
    /// A page of a foreign site asked.
    #[error("the request comes from a page of a site that is not allowed")]
    Origin,
    /// A body that is not understood.
    #[error("{0}")]
    Body(&'static str),
    /// Something that is needed for an answer did not come in time.
    #[error("there was no answer in time")]
    Timeout,
    /// There are more requests than can be answered in time.
    #[error("there are more requests than can be answered in time; try again later")]
    Overloaded,
}

/// What is wrong with a proxy's word about a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadForwardedHeaders {
    /// A header is sent more than once.
    #[error("{0} is sent more than once")]
    Twice(&'static str),
    /// Only a part is there.
    #[error("X-Forwarded-Uri needs X-Forwarded-Proto and X-Forwarded-Host beside it")]
    Incomplete,
    /// Nothing is there.
    #[error("send X-Forwarded-Proto, -Host and -Uri, or X-Original-URL")]
    Missing,
    /// Envoy's route, with another path behind it than the page's.
    #[error("the path and query behind /validate/envoy are not those of the page; /validate/browser reads a query")]
    NotBehind,
    /// Both ways of telling are there and tell different pages.
    #[error("X-Original-URL and X-Forwarded-Uri tell different pages; a proxy sets one and removes the other")]
    Different,
    /// It is not one that we can judge.
    #[error(transparent)]
    Refused(#[from] InvalidReturnTo),
}
