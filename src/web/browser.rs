//! The routes that a person's browser navigates to.

use super::cookies::SignOutTarget;
use super::device::Peer;
use super::error_body::ProblemDetails;
use super::language::PageRequest;
use super::openapi::*;
use super::origin::{FormOrigin, RequestOrigin};
use super::pages::PageFrame;
use super::problem_page::{self, Attempted};
use super::refusal::Refusal;
use super::session_layer::BrowserSession;
use super::{Web, error, pages, session_layer};
use crate::domain::authentication::{AuthenticationRequirement, is_acr};
use crate::domain::requirement::{InvalidRequirement, seconds};
use crate::domain::session::Device;
use crate::domain::sign_in::{SignInIntent, SignInScreen};
use crate::domain::transaction::{CallbackParams, Transaction};
use crate::flow::{CallbackOutcome, Error, FailedCallback, SignIn};
use crate::words::Words;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{RawQuery, State};
use axum::http::header::{HeaderMap, HeaderValue, LOCATION};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use tower_sessions::Session;

/// Longer hints for the provider's page are dropped.
const HINT_MAX: usize = 256;
/// Characters of all `acr_values` together.
const ACR_VALUES_MAX: usize = 1_024;

/// Who is signed in here
#[utoipa::path(
    get, path = "/", operation_id = "home", tag = "browser", security((), ("session" = [])),
    responses(
        (status = 200, description = "A page that greets the visitor, or offers to sign in.", body = String,
            content_type = "text/html"),
        HomePages,
    )
)]
pub(super) async fn home(State(web): State<Arc<Web>>, visitor: BrowserSession, page: PageRequest) -> Response {
    match visitor.session {
        Ok(opened) => {
            let name = opened.as_deref().map(pages::display_name);
            let onward = Some(web.rp.rules().return_to.choose(None).as_str().to_owned());
            let onward = onward.filter(|onward| *onward != web.public_url.join("/"));
            let sign_in = pages::sign_in_link(None, None);
            show(&web, &page, |words, frame| pages::render(&pages::FrontPage { words, frame, name, sign_in, onward }))
        }
        Err(Error::AmbiguousSession) => {
            let (name, sign_in, onward) = (None, pages::sign_in_link(None, Some("login")), None);
            show(&web, &page, |words, frame| pages::render(&pages::FrontPage { words, frame, name, sign_in, onward }))
        }
        Err(error) => problem_page::page(&web, error, &page, &Attempted::Visit),
    }
}

/// A page that can be asked for again, in a language that the browser remembers if somebody has chosen it there.
pub(super) fn show(web: &Web, page: &PageRequest, render: impl FnOnce(&Words, PageFrame<'_>) -> Response) -> Response {
    let mut response = render(web.languages.words(page.language), PageFrame::new(web, page));
    if let Some(tag) = page.newly_chosen_tag(web) {
        web.jar.set_language(tag, response.headers_mut());
    }
    response
}

/// Begin a sign-in
///
/// Sends the browser to the provider's sign-in page. A browser that is signed in already goes straight to `return_to`,
/// unless `prompt`, `provider`, `idp_identifier`, `max_age`, `acr_values` or `resource` is given. Parameters not listed here are ignored.
#[utoipa::path(
    get, path = "/auth/signin", operation_id = "signIn", tag = "browser", security((), ("session" = [])),
    params(ReturnToParameter, SignInParameters),
    responses(
        (status = 302, description = "To the provider, or to `return_to`.", headers(("Set-Cookie" = String,
            description = "One sealed cookie for this sign-in, and removals of the oldest ones."))),
        SignInPages,
    )
)]
pub(super) async fn sign_in(
    State(web): State<Arc<Web>>,
    visitor: BrowserSession,
    RawQuery(query): RawQuery,
    page: PageRequest,
) -> Response {
    let mut out = HeaderMap::new();
    let query = query.unwrap_or_default();
    let mut intent = intent(&web, &query);
    if intent.lang.is_none() {
        intent.lang = page.chosen_tag(&web).map(str::to_owned);
    }
    let wanted = intent.return_to.clone();
    match authentication(&query) {
        Ok(authentication) => intent.authentication = authentication,
        // Nobody is let in with less than was asked for.
        Err(error) => return problem_page::page(&web, Error::from(error), &page, &Attempted::SignIn(intent)),
    }
    let attempt = Attempted::SignIn(intent.clone());
    let now = web.rp.clock.now();
    if let Some(times) = web.jar.is_looping(&visitor.headers, &wanted, now, &mut out) {
        return with(problem_page::page(&web, Refusal::RedirectLoop(times), &page, &attempt), out);
    }
    let opened = match visitor.session {
        Ok(opened) => opened,
        // The sign-in ends them all.
        Err(Error::AmbiguousSession) => None,
        Err(error) => return problem_page::page(&web, error, &page, &attempt),
    };
    let signed_in = opened.as_deref().is_some_and(|opened| web.rp.admit(opened).is_ok());
    let login_hint = hint(&query, "login_hint");
    match web.rp.sign_in(intent, login_hint.as_deref(), &visitor.ids, signed_in, &after_logout(&web)).await {
        Ok(SignIn::Already(return_to)) => {
            web.jar.note_sign_in(&visitor.headers, &return_to, now, &mut out);
            if web.jar.exposes() {
                // The sibling may have sent the browser for the tokens' cookies, which end before the session.
                let renewed = web.rp.refresh(&visitor.ids, false).await.ok().or(opened);
                web.jar.set_exposed(&visitor.headers, renewed.as_deref().map(|opened| (opened, now)), &mut out);
            }
            with(redirect(StatusCode::FOUND, return_to.as_str()), out)
        }
        Ok(SignIn::Begin(transaction, location)) => {
            web.jar.set_pending(&visitor.headers, &transaction, &mut out);
            with(redirect(StatusCode::FOUND, location.as_str()), out)
        }
        Ok(SignIn::LogOutFirst(intent, location)) => {
            web.jar.set_after_sign_out(&SignOutTarget::SignIn(intent), &mut out);
            with(redirect(StatusCode::FOUND, location.as_str()), out)
        }
        Err(error) => problem_page::page(&web, error, &page, &attempt),
    }
}

/// What the query of a sign-in asks for, but for the authentication.
fn intent(web: &Web, query: &str) -> SignInIntent {
    SignInIntent {
        provider: hint(query, "provider"),
        idp_identifier: hint(query, "idp_identifier"),
        prompt: hint(query, "prompt"),
        lang: hint(query, "lang"),
        resource: first(query, "resource").filter(|resource| !resource.is_empty()),
        screen: match first(query, "screen").as_deref() {
            Some(pages::SIGN_UP) => SignInScreen::SignUp,
            Some(pages::NEW_PASSWORD) => SignInScreen::NewPassword,
            _ => SignInScreen::SignIn,
        },
        ..SignInIntent::plain(web.rp.rules().return_to.choose(first(query, "return_to").as_deref()))
    }
}

/// How, and how lately, the user has to authenticate (OIDC Core §3.1.2.1).
fn authentication(query: &str) -> Result<AuthenticationRequirement, InvalidRequirement> {
    let max_age = first(query, "max_age").map(|text| seconds(&text).ok_or(InvalidRequirement::MaxAge));
    let acr_values = first(query, "acr_values").unwrap_or_default();
    let acr_values: Vec<_> = acr_values.split(' ').filter(|value| !value.is_empty()).map(str::to_owned).collect();
    // They travel in a cookie.
    let fits = acr_values.iter().map(|value| value.len() + 1).sum::<usize>() <= ACR_VALUES_MAX;
    match fits && acr_values.iter().all(|value| is_acr(value)) {
        true => Ok(AuthenticationRequirement { max_age: max_age.transpose()?, acr_values }),
        false => Err(InvalidRequirement::Acr),
    }
}

/// Where the provider's logout returns.
fn after_logout(web: &Web) -> String {
    web.public_url.join("/auth/signout/callback")
}

/// The return from the provider
///
/// For the provider's redirect only. Each parameter may come once; with `error` there is no `code`.
#[utoipa::path(
    get, path = "/auth/signin/callback", operation_id = "signInCallback", tag = "browser",
    security((), ("session" = [])), params(CallbackParameters),
    responses(
        (status = 302, description = "Signed in: to where the sign-in was to lead. Or once more to the provider.",
            headers(("Set-Cookie" = String, description = "The session cookie, the removal of the sign-in's own \
                cookie, and the exposed tokens where they are configured."))),
        CallbackPages,
    )
)]
pub(super) async fn callback(
    State(web): State<Arc<Web>>,
    visitor: BrowserSession,
    peer: Peer,
    session: Session,
    RawQuery(query): RawQuery,
    page: PageRequest,
) -> Response {
    let mut out = HeaderMap::new();
    let query = query.unwrap_or_default();
    // The cookie is taken before anything is judged.
    let state = first(&query, "state").unwrap_or_default();
    let transaction = web.jar.take_pending(&visitor.headers, &state, &mut out);
    let headers = visitor.headers.clone();
    let device = peer.device(&headers, &web.trusted_proxies);
    let response = match land(&web, visitor, &session, &query, transaction, device).await {
        Ok(CallbackOutcome::SignedIn(opened)) => {
            let signed_in = opened.session();
            let p = &signed_in.principal;
            tracing::info!(sub = %p.sub, provider = p.provider.as_deref(), "user signed in");
            let (now, target) = (web.rp.clock.now(), &signed_in.sign_in.return_to);
            web.jar.note_sign_in(&headers, target, now, &mut out);
            web.jar.set_exposed(&headers, Some((&opened, now)), &mut out);
            redirect(StatusCode::FOUND, target.as_str())
        }
        Ok(CallbackOutcome::Already(return_to)) => redirect(StatusCode::FOUND, return_to.as_str()),
        Ok(CallbackOutcome::Retry(transaction, location)) => {
            web.jar.set_pending(&headers, &transaction, &mut out);
            redirect(StatusCode::FOUND, location.as_str())
        }
        Err(failed) => {
            if let Error::Store(_) | Error::Audit(_) = failed.error {
                // The code is unspent: with its cookie, the same callback works a moment later.
                out.clear();
            }
            // Cognito does not always return the state with an error: then links lead where the last sign-in was going.
            let latest = || web.jar.latest_pending(&headers).filter(|_| state.is_empty());
            let attempt =
                failed.intent.or_else(latest).map_or_else(|| Attempted::sign_in(&web, None), Attempted::SignIn);
            problem_page::page(&web, failed.error, &page, &attempt)
        }
    };
    with(response, out)
}

async fn land(
    web: &Web,
    visitor: BrowserSession,
    session: &Session,
    query: &str,
    transaction: Option<Transaction>,
    device: Device,
) -> Result<CallbackOutcome, FailedCallback> {
    let intent = transaction.as_ref().map(|transaction| transaction.intent.clone());
    let failed = |error| FailedCallback { error, intent: intent.clone() };
    let params = CallbackParams::parse(query).map_err(|e| failed(e.into()))?;
    let opened = match visitor.session {
        // Which of them is whose does not matter: all are ended.
        Err(Error::AmbiguousSession) => None,
        session => session.map_err(failed)?,
    };
    let landing = web.rp.callback(params, transaction, opened.as_deref(), visitor.ids, device).await?;
    if let CallbackOutcome::SignedIn(opened) = &landing {
        session_layer::issue(session, opened).await.map_err(failed)?;
    }
    Ok(landing)
}

/// Ask before signing out
///
/// A page with one button. It signs out at once when `Sec-Fetch-Site` and `Sec-Fetch-Dest` say that a person followed a
/// link on a sibling here: an image tag of any site can ask.
#[utoipa::path(
    get, path = "/auth/signout", operation_id = "confirmSignOut", tag = "browser", security((), ("session" = [])),
    params(
        ReturnToParameter,
        ("everywhere" = Option<bool>, Query,
            description = "With `true`, the page always asks, with the box for all devices ticked."),
        FetchMetadata,
    ),
    responses(
        (status = 200, description = "The page.", body = String, content_type = "text/html"),
        SignedOutRedirect, ConfirmSignOutPages,
    )
)]
pub(super) async fn confirm_sign_out(
    State(web): State<Arc<Web>>,
    visitor: BrowserSession,
    session: Session,
    method: Method,
    RawQuery(query): RawQuery,
    page: PageRequest,
) -> Response {
    let query = query.unwrap_or_default();
    let return_to = first(&query, "return_to");
    let everywhere = is_everywhere(&query);
    // What reaches beyond this browser is asked for in any case.
    if method == Method::GET && RequestOrigin::of(&web, &visitor.headers).is_own_navigation() && !everywhere {
        return end(&web, visitor, &session, return_to.as_deref(), false, &page).await;
    }
    let name = match visitor.session {
        Ok(opened) => opened.as_deref().map(pages::display_name),
        Err(Error::AmbiguousSession) => None,
        Err(error) => return problem_page::page(&web, error, &page, &Attempted::SignOut),
    };
    // Chromium holds the whole chain of redirects after a form to form-action.
    let rules = web.rp.rules();
    let allowed = rules.return_to.hosts().iter().map(|a| format!("https://{0}:* https://*.{0}:*", a.host));
    let mut targets: Vec<String> = allowed.chain(web.rp.provider.logout_origin()).collect();
    if !web.public_url.is_https() {
        targets.push("http:".into());
    }
    let return_to = return_to.unwrap_or_default();
    let response = show(&web, &page, |words, frame| {
        pages::render(&pages::SignOutPage { words, frame, name, return_to, everywhere })
    });
    pages::with_form_targets(response, &targets)
}

/// Sign out
///
/// Ends the session, or all of the user's, revokes the refresh tokens at the provider and leads through the provider's
/// sign-out. Not from pages of other sites, and `everywhere` only from our own.
#[utoipa::path(
    post, path = "/auth/signout", operation_id = "signOut", tag = "browser", security((), ("session" = [])),
    params(
        ReturnToParameter,
        ("everywhere" = Option<bool>, Query, description = "With `true`, all sessions of the user end, on every device."),
    ),
    request_body(
        content = inline(Option<SignOutForm>), content_type = "application/x-www-form-urlencoded",
        description = "`return_to` may be in the form instead, which then counts; so may `everywhere`.",
    ),
    responses(
        SignedOutRedirect, SignOutPages,
        (status = 413, description = "`unreadable-body`: the form is larger than 16 KiB.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn sign_out(
    State(web): State<Arc<Web>>,
    visitor: BrowserSession,
    session: Session,
    RawQuery(query): RawQuery,
    page: PageRequest,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let sender = RequestOrigin::of(&web, &visitor.headers).of_form();
    if sender == FormOrigin::Stranger {
        return problem_page::page(&web, Refusal::Origin, &page, &Attempted::SignOut);
    }
    let body = match body {
        Ok(body) => body,
        Err(rejection) => return error::unreadable_body(rejection.status(), &page.id),
    };
    let form = String::from_utf8_lossy(&body);
    let query = query.unwrap_or_default();
    let return_to = first(&form, "return_to").or_else(|| first(&query, "return_to"));
    let everywhere = is_everywhere(&form) || is_everywhere(&query);
    if everywhere && sender != FormOrigin::OwnPage {
        return problem_page::page(&web, Refusal::Origin, &page, &Attempted::SignOut);
    }
    end(&web, visitor, &session, return_to.as_deref(), everywhere, &page).await
}

async fn end(
    web: &Web,
    visitor: BrowserSession,
    session: &Session,
    return_to: Option<&str>,
    everywhere: bool,
    page: &PageRequest,
) -> Response {
    let mut out = HeaderMap::new();
    let back = after_logout(web);
    let ended = match web.rp.sign_out(visitor.ids, everywhere, back.clone()).await {
        Ok(ended) => ended,
        Err(error) => return problem_page::page(web, error, page, &Attempted::SignOut),
    };
    // Also for a browser whose session was over already.
    forget(web, session, &visitor.headers, &mut out).await;
    if everywhere && !ended.was_signed_in {
        // Who it is has to be known first; then the same question comes again.
        let question = web.rp.rules().return_to.choose(Some(&web.public_url.join("/auth/signout?everywhere=true")));
        let sign_in = web.public_url.join(&pages::sign_in_link(Some(&question), None));
        return with(redirect(StatusCode::SEE_OTHER, &sign_in), out);
    }
    let target = return_to.filter(|raw| !raw.is_empty()).map(|raw| web.rp.rules().return_to.choose(Some(raw)));
    web.jar.set_after_sign_out(&target.map_or(SignOutTarget::Page { everywhere }, SignOutTarget::To), &mut out);
    let location = ended.provider_logout.map_or(back, String::from);
    with(redirect(StatusCode::SEE_OTHER, &location), out)
}

/// Removes the cookies of a session that was ended.
pub(super) async fn forget(web: &Web, session: &Session, headers: &HeaderMap, out: &mut HeaderMap) {
    if let Err(error) = session.flush().await {
        tracing::warn!(%error, "session flush failed: removing the cookie anyway");
    }
    web.jar.set_exposed(headers, None, out);
}

/// The return from the provider's sign-out
#[utoipa::path(
    get, path = "/auth/signout/callback", operation_id = "signOutCallback", tag = "browser", security(()),
    responses(
        (status = 200, description = "A page that says so.", body = String, content_type = "text/html"),
        (status = 302, description = "To the `return_to` that the sign-out was given, or on to a sign-in with another \
            account.", headers(("Set-Cookie" = String, description = "The removal of the cookie that kept it."))),
        SignOutCallbackPages,
    )
)]
pub(super) async fn signed_out(State(web): State<Arc<Web>>, visitor: BrowserSession, page: PageRequest) -> Response {
    let mut out = HeaderMap::new();
    let response = match web.jar.take_after_sign_out(&visitor.headers, &mut out) {
        SignOutTarget::To(target) => redirect(StatusCode::FOUND, target.as_str()),
        SignOutTarget::Page { everywhere } => show(&web, &page, |words, frame| {
            let sign_in = pages::sign_in_link(None, None);
            pages::render(&pages::SignedOutPage { words, frame, sign_in, everywhere })
        }),
        SignOutTarget::SignIn(intent) => match web.rp.begin_again(intent.clone()).await {
            Ok((transaction, location)) => {
                web.jar.set_pending(&visitor.headers, &transaction, &mut out);
                redirect(StatusCode::FOUND, location.as_str())
            }
            Err(error) => problem_page::page(&web, error, &page, &Attempted::SignIn(intent)),
        },
    };
    with(response, out)
}

fn first(query: &str, name: &str) -> Option<String> {
    url::form_urlencoded::parse(query.as_bytes()).find(|(n, _)| n == name).map(|(_, value)| value.into_owned())
}

fn is_everywhere(query: &str) -> bool {
    first(query, "everywhere").is_some_and(|value| value == "true")
}

fn hint(query: &str, name: &str) -> Option<String> {
    first(query, name).filter(|v| !v.is_empty() && v.len() <= HINT_MAX && !v.chars().any(char::is_control))
}

pub(super) fn redirect(status: StatusCode, location: &str) -> Response {
    match HeaderValue::from_str(location) {
        Ok(location) => (status, [(LOCATION, location)]).into_response(),
        // Every target is a serialised URL: visible ASCII.
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

pub(super) fn with(mut response: Response, headers: HeaderMap) -> Response {
    for (name, value) in &headers {
        response.headers_mut().append(name, value.clone());
    }
    response
}
