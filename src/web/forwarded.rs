//! What a reverse proxy tells of the request that it asks about. Its word counts only if it is one of
//! `server.trusted_proxies`.

use super::Web;
use super::device::Peer;
use super::refusal::{BadForwardedHeaders, Refusal};
use crate::domain::page::Page;
use crate::domain::return_to::InvalidReturnTo;
use axum::http::header::{HeaderMap, HeaderName};
use axum::http::request::Parts;

// Names that were judged once are found sooner than texts.
static X_FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static X_FORWARDED_METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
static X_ORIGINAL_URL: HeaderName = HeaderName::from_static("x-original-url");
static X_ORIGINAL_URI: HeaderName = HeaderName::from_static("x-original-uri");
static X_ORIGINAL_METHOD: HeaderName = HeaderName::from_static("x-original-method");

/// The request that a proxy asks about.
#[derive(Debug)]
pub(super) struct ForwardedRequest<'a> {
    pub(super) page: Page,
    pub(super) method: Option<&'a str>,
    /// Told by `X-Original-URL` alone.
    pub(super) in_one: bool,
}

/// What a trusted proxy tells; `None` if nobody tells a page, or somebody whose word does not count.
///
/// # Errors
/// [`Refusal::BadForwardedHeaders`] for what cannot be understood in one way only. [`Refusal::UntrustedProxy`] if there are rules for
/// pages: they cannot be judged then, and what cannot be judged is not allowed.
pub(super) fn forwarded_request<'a>(web: &Web, request: &'a Parts) -> Result<Option<ForwardedRequest<'a>>, Refusal> {
    let headers = &request.headers;
    // Most who ask tell of no page at all. One look at the names is cheaper than seven look-ups.
    let is_ours =
        |name: &HeaderName| ["x-forwarded-", "x-original-"].iter().any(|with| name.as_str().starts_with(with));
    if !headers.keys().any(is_ours) {
        return Ok(None);
    }
    let is_present = |name| headers.get_all(name).iter().any(|line| !line.is_empty());
    if ![&X_FORWARDED_URI, &X_ORIGINAL_URL].into_iter().any(is_present) {
        // Who says so much means a page, and its rules must not be passed over for a name that we do not know.
        let hints = [&X_ORIGINAL_URI, &X_ORIGINAL_METHOD, &X_FORWARDED_METHOD];
        return match !web.rp.rules().policy.sites.is_empty() && hints.into_iter().any(|name| headers.contains_key(name))
        {
            true => Err(BadForwardedHeaders::Missing.into()),
            false => Ok(None),
        };
    }
    if !Peer::of(&request.extensions).is_trusted(&web.trusted_proxies) {
        return match web.rp.rules().policy.sites.is_empty() {
            true => Ok(None),
            false => Err(Refusal::UntrustedProxy(
                "there are rules for pages, and the page was told by an address that is not in server.trusted_proxies",
            )),
        };
    }
    let (forwarded, original) = (one(headers, &X_FORWARDED_URI)?, one(headers, &X_ORIGINAL_URL)?);
    let original = original.map(|url| web.rp.rules().return_to.page_at(url));
    let forwarded = match forwarded {
        None => None,
        Some(target) => {
            let (scheme, host) = (one(headers, &X_FORWARDED_PROTO)?, one(headers, &X_FORWARDED_HOST)?);
            let (Some(scheme), Some(host)) = (scheme, host) else { return Err(BadForwardedHeaders::Incomplete.into()) };
            Some(web.rp.rules().return_to.page(scheme, host, target))
        }
    };
    let (forwarded, original) = (forwarded.transpose(), original.transpose());
    let in_one = matches!(forwarded, Ok(None));
    let page = match (forwarded.map_err(BadForwardedHeaders::from)?, original.map_err(BadForwardedHeaders::from)?) {
        (Some(page), Some(other)) if page != other => return Err(BadForwardedHeaders::Different.into()),
        (Some(page), _) | (None, Some(page)) => page,
        (None, None) => return Ok(None),
    };
    let method = match one(headers, &X_FORWARDED_METHOD)? {
        Some(method) => Some(method),
        None => one(headers, &X_ORIGINAL_METHOD)?,
    };
    Ok(Some(ForwardedRequest { page, method, in_one }))
}

/// The value of a header that may be there once. An empty one is not there.
fn one<'a>(headers: &'a HeaderMap, name: &'static HeaderName) -> Result<Option<&'a str>, Refusal> {
    let mut lines = headers.get_all(name).iter();
    let (Some(line), more) = (lines.next(), lines.next()) else { return Ok(None) };
    if more.is_some() {
        return Err(BadForwardedHeaders::Twice(name.as_str()).into());
    }
    let text = line.to_str().map_err(|_| BadForwardedHeaders::Refused(InvalidReturnTo::Malformed))?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}
