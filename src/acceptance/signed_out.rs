//! What is asked before anybody signs in: the documents, the sign-in page, and errors that come back to the callback.

use super::password_form::has_password_form;
use super::report::{AnswerSheet, Verdict};
use super::wire::{WireAnswer, word};
use super::{AcceptanceRun, MADE_UP, with_param};
use http::header::CACHE_CONTROL;
use std::time::Duration;
use url::Url;

/// A sign-in page is not further away.
const REDIRECTS_MAX: usize = 5;

/// What managed login says to an app client without a branding.
const UNAVAILABLE: &str = "Login pages unavailable";

/// What the rest of a run depends on.
#[derive(Debug)]
pub(super) struct SignedOutFindings {
    /// prompt=none gives an error, and no page that a person would be stuck at.
    pub(super) knows_prompt: bool,
    /// A sign-out comes back here.
    pub(super) signs_out: bool,
    /// /logout leads to the sign-in page.
    pub(super) logs_in_again: bool,
}

/// How a sign-in is refused.
enum ErrorReturn {
    /// At the callback, with its code; whether the state is there.
    Callback { code: String, with_state: bool },
    /// In any other way.
    Elsewhere(String),
}

/// Asks, and says whether a sign-in can begin at all.
pub(super) async fn ask(run: &AcceptanceRun<'_>, sheet: &mut AnswerSheet) -> Result<SignedOutFindings, String> {
    let (original, kind) = issuer_kind(&run.config.provider.issuer);
    sheet.judge("issuer.kind", original, Verdict::Differs, kind);
    documents(run, sheet).await;
    let (_, url) = run.begin(None).await?;
    let answer = run.wire.get(&url).await?;
    if let Some(why) = refused(&url, &answer) {
        return Err(unregistered(run, &why));
    }
    login_page(run, sheet, url.clone(), answer).await;
    elsewhere(run, sheet, &url).await?;
    let knows_prompt = errors(run, sheet).await?;
    Ok(SignedOutFindings {
        knows_prompt,
        signs_out: signs_out(run).await,
        logs_in_again: match &run.wire.endpoints.end_session {
            Some(end_session) => {
                let logout = login_after_logout(end_session, &url);
                run.wire.get(&logout).await.is_ok_and(|answer| refused(&logout, &answer).is_none())
            }
            None => false,
        },
    })
}

/// The form of /logout that leads to the sign-in page: the parameters of a sign-in, at its address.
pub(super) fn login_after_logout(end_session: &Url, authorize: &Url) -> Url {
    let mut url = end_session.clone();
    url.set_query(authorize.query());
    url
}

fn unregistered(run: &AcceptanceRun<'_>, why: &str) -> String {
    let urls = &run.options.urls;
    let origin = urls.callback.origin().ascii_serialization();
    format!(
        "no sign-in can begin (the pool answers {why}). Is provider.client_id right? Does the app client allow these?\n\n  \
         callback URL  {}\n  sign-out URL  {}\n\nIn the console they belong to the app client's login pages. With \
         deploy/aws/pool.yaml, deploy with the parameter LoopbackOrigin={origin}, and without it afterwards. `aws \
         cognito-idp update-user-pool-client` resets everything that it is not given: name all settings of the client.",
        urls.callback, urls.signed_out
    )
}

/// Whether it is of the original kind, or none of AWS's, and what it is.
fn issuer_kind(issuer: &str) -> (bool, &'static str) {
    let host = Url::parse(issuer).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    match host.strip_suffix(".cn").unwrap_or(&host).strip_suffix(".amazonaws.com") {
        None => (true, "neither: not an issuer of AWS"),
        Some(host) if host.starts_with("issuer-cognito-idp.") => (false, "the newer one"),
        Some(_) => (true, "the original one"),
    }
}

async fn documents(run: &AcceptanceRun<'_>, sheet: &mut AnswerSheet) {
    let discovery = format!("{}/.well-known/openid-configuration", run.config.provider.issuer.trim_end_matches('/'));
    let mut lines = Vec::new();
    for (name, url) in [("discovery", Url::parse(&discovery).ok()), ("keys", Some(run.wire.endpoints.jwks.clone()))] {
        let Some(url) = url else { continue };
        lines.push(match run.wire.get(&url).await {
            Ok(answer) if answer.is_good() => {
                format!("{name}: Cache-Control {}", answer.header(CACHE_CONTROL).unwrap_or("is absent"))
            }
            Ok(answer) => format!("{name}: {}", answer.summary()),
            Err(why) => format!("{name}: {why}"),
        });
    }
    sheet.note("documents.cache", Verdict::AsExpected, lines.join("; "));
}

/// Why a browser would not get on.
fn refused(url: &Url, answer: &WireAnswer) -> Option<String> {
    let error = |to: &Url| to.query_pairs().find(|(name, _)| name == "error").map(|(_, code)| code.into_owned());
    match answer.location(url) {
        Some(to) => error(&to).map(|code| word(&code).unwrap_or_else(|| "an error page".to_owned())),
        None if answer.is_good() => None,
        None => Some(answer.summary()),
    }
}

async fn login_page(run: &AcceptanceRun<'_>, sheet: &mut AnswerSheet, mut url: Url, mut answer: WireAnswer) {
    let origin = url.origin();
    for _ in 0..REDIRECTS_MAX {
        let Some(to) = answer.location(&url) else { break };
        if to.origin() != origin {
            return sheet.note("login.page", Verdict::AsExpected, "neither: a sign-in goes on to an identity provider");
        }
        url = to;
        answer = match run.wire.get(&url).await {
            Ok(answer) => answer,
            Err(why) => return sheet.note("login.page", Verdict::Breaks, why),
        };
    }
    let page = String::from_utf8_lossy(answer.0.body());
    let unavailable = page.contains(UNAVAILABLE);
    let kind = match has_password_form(&page) {
        _ if unavailable => "the page says that it is unavailable",
        true => "a form for name and password, as the classic pages have it",
        false => "a page without a plain form, as managed login is",
    };
    let text = format!("{} answers {}: {kind}", url.path(), answer.status());
    sheet.judge("login.page", answer.is_good() && !unavailable, Verdict::Breaks, text);
}

/// A callback URL that nobody has registered.
async fn elsewhere(run: &AcceptanceRun<'_>, sheet: &mut AnswerSheet, url: &Url) -> Result<(), String> {
    let made_up = format!("{}/{MADE_UP}", run.options.urls.callback);
    let url = with_param(url, "redirect_uri", &made_up);
    let answer = run.wire.get(&url).await?;
    let to = answer.location(&url);
    let gets_there = to.as_ref().is_some_and(|to| to.as_str().starts_with(&made_up));
    let (verdict, text) = match refused(&url, &answer) {
        _ if gets_there => (Verdict::Breaks, "a redirect to the unregistered address".to_owned()),
        Some(why) => match to {
            Some(to) => (Verdict::AsExpected, format!("{} to {} with {why}", answer.status(), to.path())),
            None => (Verdict::AsExpected, why),
        },
        None => (Verdict::Breaks, "the sign-in page, as with a registered one".to_owned()),
    };
    sheet.note("authorize.redirect_uri", verdict, text);
    Ok(())
}

/// Errors at the callback, and whether prompt=none is one.
async fn errors(run: &AcceptanceRun<'_>, sheet: &mut AnswerSheet) -> Result<bool, String> {
    let scopes = format!("{} {MADE_UP}", run.config.provider.scopes.join(" "));
    let changes = [
        ("authorize.scope", None, Some(("scope", scopes.as_str()))),
        ("authorize.request", None, Some(("code_challenge_method", "plain"))),
        ("prompt.none.signed_out", Some("none"), None),
    ];
    let (mut without, mut with, mut knows_prompt) = (Vec::new(), 0, false);
    for (id, prompt, change) in changes {
        let (transaction, mut url) = run.begin(prompt).await?;
        if let Some((name, value)) = change {
            url = with_param(&url, name, value);
        }
        let (good, text) = match error_return(run, &url, &transaction.state()).await? {
            ErrorReturn::Callback { code, with_state } => {
                if with_state {
                    with += 1
                } else {
                    without.push(code.clone())
                }
                knows_prompt |= prompt.is_some();
                (true, format!("{code} at the callback, {} state", if with_state { "with" } else { "without" }))
            }
            ErrorReturn::Elsewhere(what) => (false, what),
        };
        sheet.judge(id, good, Verdict::Differs, text);
    }
    match (with, without.is_empty()) {
        (0, true) => sheet.skip(&["authorize.state"], "no error came back to the callback"),
        (_, true) => sheet.note("authorize.state", Verdict::AsExpected, format!("yes, with {with} errors")),
        _ => sheet.note("authorize.state", Verdict::Differs, format!("not with {}", without.join(", "))),
    }
    Ok(knows_prompt)
}

async fn error_return(run: &AcceptanceRun<'_>, url: &Url, state: &str) -> Result<ErrorReturn, String> {
    let answer = run.wire.get(url).await?;
    let landing = answer.location(url).and_then(|to| run.options.urls.landing(&to, None, Duration::ZERO));
    Ok(match landing.map(|landing| (landing.param("error"), landing.state())) {
        Some((Some(code), found)) => ErrorReturn::Callback {
            code: word(&code).unwrap_or_else(|| "an error".to_owned()),
            with_state: found.as_deref() == Some(state),
        },
        Some((None, _)) => ErrorReturn::Elsewhere("the callback, without an error".to_owned()),
        None => ErrorReturn::Elsewhere(match refused(url, &answer) {
            Some(why) => format!("an error elsewhere than at the callback ({why})"),
            None => "the sign-in page".to_owned(),
        }),
    })
}

async fn signs_out(run: &AcceptanceRun<'_>) -> bool {
    let after = run.options.urls.signed_out.as_str();
    let Some(url) = run.provider.logout_url(None, after).await else { return false };
    let Ok(answer) = run.wire.get(&url).await else { return false };
    answer.location(&url).is_some_and(|to| to.as_str().starts_with(after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newer_issuer_is_told_from_the_original_one() {
        for (host, original, kind) in [
            ("cognito-idp.eu-west-1.amazonaws.com", true, "the original one"),
            ("issuer-cognito-idp.eu-west-1.amazonaws.com", false, "the newer one"),
            ("cognito-idp.cn-north-1.amazonaws.com.cn", true, "the original one"),
            ("issuer-cognito-idp.example.com", true, "neither: not an issuer of AWS"),
        ] {
            assert_eq!(issuer_kind(&format!("https://{host}/eu-west-1_X")), (original, kind));
        }
    }
}
