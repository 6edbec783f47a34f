//! What a reverse proxy tells of the request that it asks about. Its word counts only if it is one of
//! `server.trusted_proxies`.

use super::Web;
use super::device::Peer;
use super::refusal::{BadForwardedHeaders, Refusal};
use crate::domain::page::Page;
use crate::domain::return_to::InvalidReturnTo;
use axum::http::header::HeaderMap;
use axum::http::request::Parts;

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
    let is_present = |name: &&str| headers.get_all(*name).iter().any(|line| !line.is_empty());
    if !["x-forwarded-uri", "x-original-url"].iter().any(is_present) {
        // Who says so much means a page, and its rules must not be passed over for a name that we do not know.
        let hints = ["x-original-uri", "x-original-method", "x-forwarded-method"];
        return match !web.rp.policy.sites.is_empty() && hints.iter().any(|name| headers.contains_key(*name)) {
            true => Err(BadForwardedHeaders::Missing.into()),
            false => Ok(None),
        };
    }
    if !Peer::of(&request.extensions).is_among(&web.trusted_proxies) {
        return match web.rp.policy.sites.is_empty() {
            true => Ok(None),
            false => Err(Refusal::UntrustedProxy(
                "there are rules for pages, and the page was told by an address that is not in server.trusted_proxies",
            )),
        };
    }
    let (forwarded, original) = (one(headers, "x-forwarded-uri")?, one(headers, "x-original-url")?);
    let original = original.map(|url| web.rp.return_to.page_at(url));
    let forwarded = match forwarded {
        None => None,
        Some(target) => {
            let (scheme, host) = (one(headers, "x-forwarded-proto")?, one(headers, "x-forwarded-host")?);
            let (Some(scheme), Some(host)) = (scheme, host) else { return Err(BadForwardedHeaders::Incomplete.into()) };
            Some(web.rp.return_to.page(scheme, host, target))
        }
    };
    let (forwarded, original) = (forwarded.transpose(), original.transpose());
    let in_one = matches!(forwarded, Ok(None));
    let page = match (forwarded.map_err(BadForwardedHeaders::from)?, original.map_err(BadForwardedHeaders::from)?) {
        (Some(page), Some(other)) if page != other => return Err(BadForwardedHeaders::Different.into()),
        (Some(page), _) | (None, Some(page)) => page,
        (None, None) => return Ok(None),
    };
    let method = match one(headers, "x-forwarded-method")? {
        Some(method) => Some(method),
        None => one(headers, "x-original-method")?,
    };
    Ok(Some(ForwardedRequest { page, method, in_one }))
}

/// The value of a header that may be there once. An empty one is not there.
fn one<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a str>, Refusal> {
    let mut lines = headers.get_all(name).iter();
    let (Some(line), more) = (lines.next(), lines.next()) else { return Ok(None) };
    if more.is_some() {
        return Err(BadForwardedHeaders::Twice(name).into());
    }
    let text = line.to_str().map_err(|_| BadForwardedHeaders::Refused(InvalidReturnTo::Malformed))?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}
