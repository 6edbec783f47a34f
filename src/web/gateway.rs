//! `/validate`: the hot path. No layer is around it, and a good answer is made of shared bytes.

use super::device::Peer;
use super::fetch::{allow, allow_refusal, is_navigation, is_preflight};
use super::forwarded::{self, ForwardedRequest};
use super::language::PageRequest;
use super::openapi::*;
use super::origin::RequestOrigin;
use super::refusal::{BadForwardedHeaders, Refusal};
use super::request_id::RequestId;
use super::security_headers::private;
use super::{Web, browser, error, layers, pages, problem_page};
use crate::config::HeaderStyle;
use crate::domain::identity::{DISPLAY_NAME, IDENTITY_HEADERS, IdentityResponse, JSON_LENGTH, PLAIN_GROUPS};
use crate::domain::return_to::ReturnTo;
use crate::flow::{Caller, CallerCredentials, Error};
use crate::telemetry::metrics::{HttpRoute, ValidateResult};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::*;
use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret;
use std::collections::BTreeMap;
use std::sync::Arc;
use tracing::Instrument;

/// What Envoy puts the page behind (`path_prefix`).
const ENVOY: &str = "/validate/envoy";

/// Who sends this request
///
/// For a sibling's server and for reverse proxies. Every method is answered as GET is, so that a proxy may pass on the
/// method it was asked with, or ask with HEAD for the headers alone; the body is not read, nothing is redirected, and no
/// provider is called for a known key. A CORS preflight of a page that is allowed is answered with 204 and nobody's
/// identity.
///
/// A bearer token counts before the session cookie; the exposed ID token's cookie counts where neither is sent. All
/// kinds of requirement that are given must be met. An empty or unknown requirement is refused. A trusted proxy
/// (`server.trusted_proxies`) may say which page it asks for, in X-Forwarded-Proto, -Host, -Uri and -Method or in
/// X-Original-URL and -Method: then the rules of `[[policy.site]]` count too.
#[utoipa::path(
    get, path = "/validate", operation_id = "validate", tag = "gateway", security(("bearer" = []), ("session" = [])),
    params(RequirementParameters, ForwardedHeaders),
    responses(IdentityAnswer, ValidateProblems)
)]
pub(super) async fn validate(State(web): State<Arc<Web>>, request: Request) -> Response {
    let request = request.into_parts().0;
    let observed = web.observe(HttpRoute::VALIDATE, &request);
    let response = match ask(&web, &request, request.uri.query(), ValidateEndpoint::Server)
        .instrument(observed.span.clone())
        .await
    {
        Ok(answer) => answer,
        Err((error, page_request)) => {
            let (id, back) = (
                web.request_id(&request),
                page_request.map(|page_request| web.rp.rules().return_to.back_to(&page_request.page)),
            );
            let url = signin_url(&web, &error, back.as_ref());
            let response = id.span().in_scope(|| {
                record_denial(&web, &request, &id, &error);
                error::problem(error, &id, Some(url))
            });
            refusal(&web, &request, &id, response)
        }
    };
    observed.answered(&response);
    response
}

/// Who sends this request, or what to show instead
///
/// As `/validate`, for proxies that hand what is no 200 to the browser (Traefik, Caddy, Envoy, HAProxy). A trusted proxy
/// has to say which page is asked for. Who navigates in a window without a session is sent to the sign-in and comes back
/// to that page; scripts get problems that they can read, by CORS, if their page is allowed. People get pages for
/// everything else.
///
/// Envoy asks at `/validate/envoy/`, behind which it puts the page's path and query: they have to be those that it tells
/// in X-Forwarded-Uri.
#[utoipa::path(
    get, path = "/validate/browser", operation_id = "validateBrowser", tag = "gateway",
    security(("bearer" = []), ("session" = [])), params(RequirementParameters, ForwardedHeaders),
    responses(
        IdentityAnswer,
        (status = 302, description = "To the sign-in, and from there back to the page.", headers(("X-Request-Id" = String))),
        ValidateBrowserProblems,
    )
)]
pub(super) async fn validate_browser(State(web): State<Arc<Web>>, request: Request) -> Response {
    let request = request.into_parts().0;
    let observed = web.observe(HttpRoute::VALIDATE_BROWSER, &request);
    let outcome =
        ask(&web, &request, request.uri.query(), ValidateEndpoint::Browser).instrument(observed.span.clone()).await;
    let response = for_a_browser(&web, &request, outcome).await;
    observed.answered(&response);
    response
}

/// Any method of `/validate/envoy/…`: as `/validate/browser`, where Envoy has put the page's path and query behind the
/// route. It has to be the page's own, or a requirement would be dropped.
pub(super) async fn validate_envoy(State(web): State<Arc<Web>>, request: Request) -> Response {
    let request = request.into_parts().0;
    let observed = web.observe(HttpRoute::VALIDATE_ENVOY, &request);
    let outcome = ask(&web, &request, None, ValidateEndpoint::Envoy).instrument(observed.span.clone()).await;
    let response = for_a_browser(&web, &request, outcome).await;
    observed.answered(&response);
    response
}

async fn for_a_browser(
    web: &Web,
    request: &Parts,
    outcome: Result<Response, (Refusal, Option<ForwardedRequest<'_>>)>,
) -> Response {
    let (error, page_request) = match outcome {
        Ok(answer) => return answer,
        Err(refused) => refused,
    };
    let (id, back) = (
        web.request_id(request),
        page_request.map(|page_request| web.rp.rules().return_to.back_to(&page_request.page)),
    );
    id.span().in_scope(|| record_denial(web, request, &id, &error));
    let response = id.span().in_scope(|| match is_navigation(&request.headers) {
        true => match (&error, &back) {
            (
                Refusal::Flow(Error::Anonymous | Error::InvalidCredentials(_) | Error::InsufficientAuthentication(_)),
                Some(back),
            ) => browser::redirect(StatusCode::FOUND, &signin_url(web, &error, Some(back))),
            _ => {
                let page = PageRequest::new(web, id, &request.headers, None);
                problem_page::page_elsewhere(web, &error, &page, back.clone())
            }
        },
        false => {
            let url = signin_url(web, &error, back.as_ref());
            error::problem(error, &id, Some(url))
        }
    });
    private(refusal(web, request, &id, response)).await
}

/// Where a page's script may send the browser: to what would have been enough. Of two live sessions one would answer
/// there, so it has to be asked again.
fn signin_url(web: &Web, refusal: &Refusal, back: Option<&ReturnTo>) -> String {
    let link = match refusal {
        Refusal::Flow(Error::AmbiguousSession) => pages::sign_in_link(back, Some("login")),
        Refusal::Flow(Error::InsufficientAuthentication(needed)) => pages::step_up_link(back, needed),
        _ => pages::sign_in_link(back, None),
    };
    web.public_url.join(&link)
}

/// Who asks: whether there is an answer without knowing the page, and to whom ours goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ValidateEndpoint {
    /// A sibling's server, or a proxy that looks at the status alone.
    Server,
    /// A proxy that hands on what is no 200, or no 2xx.
    Browser,
    /// Envoy, to which 204 is no yes.
    Envoy,
}

/// Asks who it is, in the time that there is. What is known at once needs no timer.
async fn ask<'a>(
    web: &Web,
    request: &'a Parts,
    requirements: Option<&str>,
    endpoint: ValidateEndpoint,
) -> Result<Response, (Refusal, Option<ForwardedRequest<'a>>)> {
    let headers = &request.headers;
    let page_request = forwarded::forwarded_request(web, request).and_then(|page_request| match page_request {
        None if endpoint != ValidateEndpoint::Server => Err(untold(web, request)),
        Some(page_request) if endpoint == ValidateEndpoint::Envoy && !is_behind_the_route(request, &page_request) => {
            Err(BadForwardedHeaders::NotBehind.into())
        }
        page_request => Ok(page_request),
    });
    let page_request = page_request.map_err(|error| (count(web, error), None))?;
    let handed_on = match endpoint {
        ValidateEndpoint::Server => false,
        // nginx says the whole address. Traefik, which says it in parts, lets pass what gets 204.
        ValidateEndpoint::Browser => page_request.as_ref().is_some_and(|page_request| page_request.in_one),
        ValidateEndpoint::Envoy => true,
    };
    if is_preflight(web, request, page_request.as_ref(), handed_on) {
        return Ok(preflight(web, headers));
    }
    match layers::with_timeout(identify(web, headers, requirements, page_request.as_ref()), web.validate_limit).await {
        Some(Ok(who)) => {
            web.rp.metrics.validate(match who {
                Caller::Session(_) => ValidateResult::Session,
                Caller::Bearer(_) => ValidateResult::Bearer,
                Caller::Nobody => ValidateResult::Public,
            });
            Ok(identity_response(web, &who))
        }
        Some(Err(error)) => Err((count(web, error.into()), page_request)),
        None => Err((count(web, Refusal::Timeout), page_request)),
    }
}

/// Whether path and query behind the route are the page's, as Envoy appends them.
fn is_behind_the_route(request: &Parts, page_request: &ForwardedRequest<'_>) -> bool {
    let target = request.uri.path_and_query().map(PathAndQuery::as_str).unwrap_or_default();
    target.strip_prefix(ENVOY) == Some(page_request.page.target())
}

async fn identify(
    web: &Web,
    headers: &HeaderMap,
    requirements: Option<&str>,
    page_request: Option<&ForwardedRequest<'_>>,
) -> Result<Caller, Error> {
    let sent = web.jar.session_ids(headers);
    let exposed;
    let credentials = match bearer(headers) {
        Authorization::Bearer(token) => CallerCredentials::Bearer(token),
        Authorization::Ambiguous => CallerCredentials::Unreadable,
        Authorization::None if !sent.ids().is_empty() => CallerCredentials::Session(sent.ids()),
        // A session cookie that is no id speaks for nobody, and no other cookie speaks in its place.
        Authorization::None if sent.any => CallerCredentials::Unreadable,
        Authorization::None => match web.jar.exposed_id_token(headers) {
            Some(token) => {
                exposed = token;
                CallerCredentials::ExposedIdToken(&exposed)
            }
            None => CallerCredentials::None,
        },
    };
    web.rp.validate(credentials, requirements, page_request.map(|page_request| &page_request.page)).await
}

fn count(web: &Web, refusal: Refusal) -> Refusal {
    web.rp.metrics.validate(match &refusal {
        Refusal::Flow(Error::Anonymous) => ValidateResult::Anonymous,
        Refusal::Flow(Error::InvalidCredentials(_)) => ValidateResult::Invalid,
        Refusal::Flow(Error::AmbiguousSession) => ValidateResult::Ambiguous,
        Refusal::Flow(Error::InsufficientAuthentication(_)) => ValidateResult::InsufficientAuthentication,
        Refusal::Flow(Error::Denied(_) | Error::NotAdmitted(_)) | Refusal::UntrustedProxy(_) => {
            ValidateResult::Forbidden
        }
        Refusal::Flow(Error::InvalidRequirement(_)) | Refusal::BadForwardedHeaders(_) => ValidateResult::Malformed,
        _ => ValidateResult::Unavailable,
    });
    refusal
}

fn record_denial(web: &Web, request: &Parts, id: &RequestId, refusal: &Refusal) {
    if let Refusal::Flow(error @ (Error::Denied(_) | Error::NotAdmitted(_))) = refusal
        && web.rp.audit.is_enabled()
    {
        web.request_context(request, id).sync_scope(|| web.rp.record_denial(error));
    }
}

/// Why no page is known.
fn untold(web: &Web, request: &Parts) -> Refusal {
    match Peer::of(&request.extensions).is_trusted(&web.trusted_proxies) {
        true => BadForwardedHeaders::Missing.into(),
        false if web.trusted_proxies.is_empty() => Refusal::UntrustedProxy(
            "server.trusted_proxies is empty: name the proxies whose word about the page counts",
        ),
        false => Refusal::UntrustedProxy("the request comes from an address that is not in server.trusted_proxies"),
    }
}

/// Says who may read the refusal, and under which name the log has it.
fn refusal(web: &Web, request: &Parts, id: &RequestId, mut response: Response) -> Response {
    allow_refusal(web, &request.headers, response.headers_mut());
    id.set_header(&mut response);
    response
}

/// Nobody is known by it. A proxy that reads it as "let through" lets the site answer.
fn preflight(web: &Web, sent: &HeaderMap) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    *headers = identity_headers(web, &Caller::Nobody);
    headers.remove(CONTENT_TYPE);
    headers.remove(CONTENT_LENGTH);
    if let Some(origin) = RequestOrigin::of(web, sent).allowed() {
        allow(headers, origin);
    }
    for (request_header, answer) in [
        (ACCESS_CONTROL_REQUEST_METHOD, ACCESS_CONTROL_ALLOW_METHODS),
        (ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_ALLOW_HEADERS),
    ] {
        if let Some(request_header) = sent.get(request_header) {
            headers.insert(answer, request_header.clone());
        }
    }
    response
}

fn identity_response(web: &Web, who: &Caller) -> Response {
    let mut response = Response::new(Body::from(who.identity().json()));
    *response.headers_mut() = identity_headers(web, who);
    response
}

fn identity_headers(web: &Web, who: &Caller) -> HeaderMap {
    let mut headers = web.identity_headers.with_values(who.identity());
    let tokens = match who {
        Caller::Session(opened) => opened.tokens.as_ref(),
        Caller::Bearer(_) | Caller::Nobody => None,
    };
    let forward = [
        (web.forward.id_token, "x-auth-id-token", tokens.map(|t| &t.id)),
        (web.forward.access_token, "x-auth-access-token", tokens.map(|t| &t.access)),
        (
            web.forward.access_token && web.style == HeaderStyle::XAuthRequest,
            "x-auth-request-access-token",
            tokens.map(|t| &t.access),
        ),
    ];
    for (wanted, name, token) in forward {
        if wanted {
            let token = token.map(ExposeSecret::expose_secret).unwrap_or_default();
            let mut value = HeaderValue::from_str(token).unwrap_or(HeaderValue::from_static(""));
            value.set_sensitive(true);
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    headers
}

/// The headers of an answer about somebody.
#[derive(Debug)]
pub(super) struct IdentityHeaders {
    /// All of them, with what is always the same. A copy hashes no name, and has the same order.
    template: HeaderMap,
    /// For each in that order, where its value is in [`IdentityResponse::header`]; none if it is always the same.
    places: Vec<Option<usize>>,
}

impl IdentityHeaders {
    pub(super) fn new(style: HeaderStyle) -> Self {
        let ours = IDENTITY_HEADERS.iter().enumerate().map(|(place, header)| (header.name, place));
        // A length that is there is left alone by axum, which would write it anew each time.
        let length = [(CONTENT_LENGTH.as_str(), JSON_LENGTH)];
        let places: BTreeMap<_, _> = ours.chain(aliases(style).iter().copied()).chain(length).collect();
        let constant = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")];
        let names = places.keys().map(|name| (HeaderName::from_static(name), "")).chain(constant);
        let template: HeaderMap = names.map(|(name, value)| (name, HeaderValue::from_static(value))).collect();
        let places = template.keys().map(|name| places.get(name.as_str()).copied()).collect();
        Self { template, places }
    }

    fn with_values(&self, identity: &IdentityResponse) -> HeaderMap {
        let mut headers = self.template.clone();
        for (value, place) in headers.values_mut().zip(&self.places) {
            if let Some(place) = place {
                *value = identity.header(*place);
            }
        }
        headers
    }
}

/// The names that applications behind others read, and where the values are in [`IdentityResponse::header`].
fn aliases(style: HeaderStyle) -> &'static [(&'static str, usize)] {
    match style {
        HeaderStyle::XAuth => &[],
        HeaderStyle::XAuthRequest => &[
            ("x-auth-request-user", 0),
            ("x-auth-request-preferred-username", 1),
            ("x-auth-request-email", 2),
            ("x-auth-request-groups", PLAIN_GROUPS),
        ],
        HeaderStyle::Remote => {
            &[("remote-user", 1), ("remote-email", 2), ("remote-groups", PLAIN_GROUPS), ("remote-name", DISPLAY_NAME)]
        }
    }
}

/// What the header of that name holds.
pub(super) enum Authorization<'a> {
    Bearer(&'a str),
    /// More than one line, or a Bearer line without a token: judged as bad credentials.
    Ambiguous,
    /// No line, or one of another scheme.
    None,
}

pub(super) fn bearer(headers: &HeaderMap) -> Authorization<'_> {
    let mut lines = headers.get_all(AUTHORIZATION).iter();
    let (Some(line), more) = (lines.next(), lines.next()) else { return Authorization::None };
    if more.is_some() {
        return Authorization::Ambiguous;
    }
    let line = line.as_bytes().trim_ascii();
    let (scheme, token) = line.split_at(line.iter().position(|b| *b == b' ').unwrap_or(line.len()));
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return Authorization::None;
    }
    match std::str::from_utf8(token.trim_ascii()) {
        Ok(token) if !token.is_empty() => Authorization::Bearer(token),
        _ => Authorization::Ambiguous,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::principal::tests::jane;

    #[test]
    fn every_header_has_the_value_that_belongs_to_it() {
        let identity = IdentityResponse::new(&jane(), None);
        for style in [HeaderStyle::XAuth, HeaderStyle::XAuthRequest, HeaderStyle::Remote] {
            let headers = IdentityHeaders::new(style).with_values(&identity);
            let ours = IDENTITY_HEADERS.iter().enumerate().map(|(place, header)| (header.name, place));
            for (name, place) in ours.chain(aliases(style).iter().copied()) {
                assert_eq!(headers[name], identity.header(place), "{name}");
            }
            assert_eq!(headers[CONTENT_LENGTH], identity.json().len().to_string().as_str());
            assert_eq!(headers[CONTENT_TYPE], "application/json");
            assert_eq!(headers[CACHE_CONTROL], "no-store");
        }
    }
}
