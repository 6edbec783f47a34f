//! The routes that a person's browser navigates to.

use super::layers::RequestId;
use super::{Web, error, pages, session_layer};
use crate::domain::transaction::{CallbackParams, Transaction};
use crate::flow::{CallbackFailed, Error, Landing, SignIn, SignInRequest};
use crate::provider::Hints;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{RawQuery, State};
use axum::http::header::{HeaderMap, HeaderValue, LOCATION, SET_COOKIE};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use tower_sessions::Session;

/// Longer hints for the provider's page are dropped.
const HINT_MAX: usize = 256;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// `GET /`: who is signed in here.
pub(super) async fn home(State(web): State<Arc<Web>>, session: Session, id: RequestId) -> Response {
    match session_layer::current(&web, &session).await {
        Ok(live) => {
            let name = live.as_deref().map(pages::display_name);
            pages::render(&pages::Home { name, sign_in: pages::sign_in_link(None, None) }).into_response()
        }
        Err(error) => error::page(&error, &id, None),
    }
}

/// `GET /auth/signin`
pub(super) async fn sign_in(
    State(web): State<Arc<Web>>,
    session: Session,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    id: RequestId,
) -> Response {
    let mut out = HeaderMap::new();
    let query = query.unwrap_or_default();
    let request = SignInRequest {
        return_to: first(&query, "return_to"),
        provider: hint(&query, "provider"),
        hints: Hints {
            login_hint: hint(&query, "login_hint"),
            lang: hint(&query, "lang"),
            prompt: hint(&query, "prompt"),
        },
    };
    let wanted = request.return_to.as_deref().and_then(|raw| web.rp.return_to.parse(raw).ok());
    let now = web.rp.clock.now();
    if let Some(times) = web.jar.is_looping(&headers, now, &mut out) {
        let page = error::page(&Error::Looping(times), &id, wanted.as_ref());
        return with(page, out);
    }
    let signed_in = match session_layer::current(&web, &session).await {
        Ok(live) => live.is_some(),
        Err(error) => return error::page(&error, &id, wanted.as_ref()),
    };
    match web.rp.sign_in(request, signed_in).await {
        Ok(SignIn::Already(return_to)) => {
            web.jar.note_sign_in(&headers, now, &mut out);
            with(redirect(StatusCode::FOUND, return_to.as_str()), out)
        }
        Ok(SignIn::Begin(transaction, location)) => {
            web.jar.set_pending(&headers, &transaction, &mut out);
            with(redirect(StatusCode::FOUND, location.as_str()), out)
        }
        Err(error) => error::page(&error, &id, wanted.as_ref()),
    }
}

/// `GET /auth/signin/callback`
pub(super) async fn callback(
    State(web): State<Arc<Web>>,
    session: Session,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    id: RequestId,
) -> Response {
    let mut out = HeaderMap::new();
    let query = query.unwrap_or_default();
    // The cookie goes in every outcome, so it is taken before anything is judged.
    let state = first(&query, "state").unwrap_or_default();
    let transaction = web.jar.take_pending(&headers, &state, &mut out);
    let landing = land(&web, &session, &query, transaction).await;
    let response = match landing {
        Ok(Landing::SignedIn(live)) => {
            let p = &live.session.principal;
            tracing::info!(request_id = %id, sub = %p.sub, provider = p.provider.as_deref(), "signed in");
            web.jar.note_sign_in(&headers, web.rp.clock.now(), &mut out);
            web.jar.set_exposed(&headers, Some((&live.session, web.rp.clock.now())), &mut out);
            redirect(StatusCode::FOUND, live.session.arrival.1.as_str())
        }
        Ok(Landing::Already(return_to)) => redirect(StatusCode::FOUND, return_to.as_str()),
        Ok(Landing::Retry(transaction, location)) => {
            web.jar.set_pending(&headers, &transaction, &mut out);
            redirect(StatusCode::FOUND, location.as_str())
        }
        Err(failed) => error::page(&failed.error, &id, failed.return_to.as_ref()),
    };
    with(response, out)
}

async fn land(
    web: &Web,
    session: &Session,
    query: &str,
    transaction: Option<Transaction>,
) -> Result<Landing, CallbackFailed> {
    let wanted = transaction.as_ref().map(|t| t.return_to.clone());
    let failed = |error| CallbackFailed { error, return_to: wanted.clone() };
    let params = CallbackParams::parse(query).map_err(|e| failed(e.into()))?;
    let live = session_layer::current(web, session).await.map_err(failed)?;
    let landing = web.rp.callback(params, transaction, live.as_deref()).await?;
    if let Landing::SignedIn(live) = &landing {
        session_layer::issue(session, live).await.map_err(failed)?;
    }
    Ok(landing)
}

/// `GET /auth/signout`: acts only for our own sites' pages, since an image tag of any site can ask.
pub(super) async fn confirm_sign_out(
    State(web): State<Arc<Web>>,
    session: Session,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    id: RequestId,
) -> Response {
    let query = query.unwrap_or_default();
    let return_to = first(&query, "return_to");
    if is_own_navigation(&headers) {
        return end(&web, &session, &headers, return_to.as_deref(), &id).await;
    }
    let name = match session_layer::current(&web, &session).await {
        Ok(live) => live.as_deref().map(pages::display_name),
        Err(error) => return error::page(&error, &id, None),
    };
    // Chromium holds the whole chain of redirects after a form to form-action.
    let allowed = web.rp.return_to.hosts().iter().flat_map(|a| [format!("https://{0} https://*.{0}", a.host)]);
    let mut targets: Vec<String> = allowed.chain(web.rp.provider.logout_origin()).collect();
    if !web.public_url.is_https() {
        targets.push("http:".into());
    }
    let page = pages::render(&pages::SignOut { name, return_to: return_to.unwrap_or_default() });
    pages::with_form_targets(page.into_response(), &targets)
}

/// `POST /auth/signout`
pub(super) async fn sign_out(
    State(web): State<Arc<Web>>,
    session: Session,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    id: RequestId,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    if is_cross_site(&web, &headers) {
        return error::page(&Error::Origin, &id, None);
    }
    let body = match body {
        Ok(body) => body,
        Err(rejection) => return error::unreadable_body(rejection.status(), &id),
    };
    let form = String::from_utf8_lossy(&body);
    let return_to = first(&form, "return_to").or_else(|| first(&query.unwrap_or_default(), "return_to"));
    end(&web, &session, &headers, return_to.as_deref(), &id).await
}

async fn end(web: &Web, session: &Session, headers: &HeaderMap, return_to: Option<&str>, id: &RequestId) -> Response {
    let mut out = HeaderMap::new();
    let sent = web.jar.session_ids(headers);
    let back = web.public_url.join("/auth/signout/callback");
    let ended = match web.rp.sign_out(sent.ids(), &back).await {
        Ok(ended) => ended,
        Err(error) => return error::page(&error, id, None),
    };
    if session.id().is_some() && session.flush().await.is_err() {
        tracing::warn!(request_id = %id, "the ended session could not be looked up again");
    }
    out.append(SET_COOKIE, web.jar.remove_session());
    web.jar.set_exposed(headers, None, &mut out);
    if let Some(raw) = return_to.filter(|raw| !raw.is_empty()) {
        web.jar.set_after_sign_out(&web.rp.return_to.choose(Some(raw)), &mut out);
    }
    let location = ended.provider_logout.map_or(back, String::from);
    with(redirect(StatusCode::SEE_OTHER, &location), out)
}

/// `GET /auth/signout/callback`
pub(super) async fn signed_out(State(web): State<Arc<Web>>, headers: HeaderMap) -> Response {
    let mut out = HeaderMap::new();
    let response = match web.jar.take_after_sign_out(&headers, &mut out) {
        Some(target) => redirect(StatusCode::FOUND, target.as_str()),
        None => pages::render(&pages::SignedOut { sign_in: pages::sign_in_link(None, None) }).into_response(),
    };
    with(response, out)
}

/// Whether a person followed a link on one of our sites (Fetch Metadata): not an image in a comment there,
/// not a browser that looks ahead.
fn is_own_navigation(headers: &HeaderMap) -> bool {
    let of_ours = site(headers).is_some_and(|site| site == "same-origin" || site == "same-site");
    of_ours
        && headers.get("sec-fetch-dest").is_none_or(|dest| dest == "document")
        && !headers.contains_key("sec-purpose")
}

/// Whether a browser says that a page of a stranger's site asks (Fetch Metadata, else `Origin`). Our own
/// pages send no referrer and so `Origin: null`; SameSite=Lax keeps the cookie from strangers anyway.
fn is_cross_site(web: &Web, headers: &HeaderMap) -> bool {
    match (site(headers), headers.get("origin").map(HeaderValue::to_str)) {
        (Some(site), _) => site == "cross-site",
        (None, None | Some(Ok("null"))) => false,
        (None, Some(origin)) => !origin.is_ok_and(|origin| web.rp.return_to.allows_origin(origin)),
    }
}

fn site(headers: &HeaderMap) -> Option<&str> {
    headers.get(SEC_FETCH_SITE).and_then(|site| site.to_str().ok())
}

fn first(query: &str, name: &str) -> Option<String> {
    url::form_urlencoded::parse(query.as_bytes()).find(|(n, _)| n == name).map(|(_, value)| value.into_owned())
}

fn hint(query: &str, name: &str) -> Option<String> {
    first(query, name).filter(|v| !v.is_empty() && v.len() <= HINT_MAX && !v.chars().any(char::is_control))
}

fn redirect(status: StatusCode, location: &str) -> Response {
    match HeaderValue::from_str(location) {
        Ok(location) => (status, [(LOCATION, location)]).into_response(),
        // Every target is a serialised URL: visible ASCII.
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn with(mut response: Response, headers: HeaderMap) -> Response {
    for (name, value) in &headers {
        response.headers_mut().append(name, value.clone());
    }
    response
}
