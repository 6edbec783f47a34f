//! The chain of one browser's visits: sign in, again without typing, with each prompt, out, and in again.

use super::browser::TestBrowser;
use super::codes::{self, SpentCode};
use super::landing::Landing;
use super::report::{AnswerSheet, Verdict};
use super::signed_out::{SignedOutFindings, login_after_logout};
use super::wire::claims;
use super::{AcceptanceRun, reason, verdict};
use crate::domain::transaction::Transaction;
use crate::provider::AuthenticatedUser;
use secrecy::ExposeSecret;

const CODES: [&str; 5] =
    ["prompt.none.signed_in", "code.client_secret", "code.reuse", "code.pkce", "code.redirect_uri"];
/// What only a pool with a session can be asked.
const IN_SESSION: [&str; 4] = ["prompt.none.signed_in", "prompt.login", "logout.form", "logout.session"];
const TYPED_AGAIN: [&str; 2] = ["prompt.login", "logout.form"];

/// Visits of one browser.
struct VisitChain<'r, 'a> {
    run: &'r AcceptanceRun<'a>,
    browser: &'r mut TestBrowser,
    found: &'r SignedOutFindings,
    sheet: &'r mut AnswerSheet,
    /// `auth_time` of the latest sign-in, if the pool keeps it while nobody types.
    typed_at: Option<i64>,
}

/// Goes through the chain; the user and the tokens of the first sign-in.
pub(super) async fn ask(
    run: &AcceptanceRun<'_>,
    browser: &mut TestBrowser,
    found: &SignedOutFindings,
    sheet: &mut AnswerSheet,
) -> Option<AuthenticatedUser> {
    let mut chain = VisitChain { run, browser, found, sheet, typed_at: None };
    let user = match chain.sign_in(None).await {
        Ok((_, user)) => user,
        Err(stop) => {
            chain.sheet.note("sign_in.tokens", stop.verdict, stop.why);
            return None;
        }
    };
    chain.sheet.note("sign_in.tokens", Verdict::AsExpected, "yes");
    if let Err(why) = chain.after(auth_time(&user)).await {
        let left = ["sign_in.again", "sign_in.auth_time", "logout.session"];
        chain.sheet.skip(&[&left[..], &CODES, &TYPED_AGAIN].concat(), &why);
    }
    Some(user)
}

/// Why a sign-in did not succeed, and whether that is the pool's answer.
struct FailedSignIn {
    why: String,
    verdict: Verdict,
}

impl From<String> for FailedSignIn {
    /// Nobody came back.
    fn from(why: String) -> Self {
        Self { why, verdict: Verdict::NotAsked }
    }
}

fn auth_time(user: &AuthenticatedUser) -> Option<i64> {
    claims(user.token_set.id.expose_secret()).get("auth_time")?.as_i64()
}

impl VisitChain<'_, '_> {
    async fn visit(&mut self, prompt: Option<&str>) -> Result<(Transaction, Landing), String> {
        let (transaction, url) = self.run.begin(prompt).await?;
        let landing = self.browser.visit(&url, Some(&transaction.state()), self.run.say).await?;
        landing.param("code").into_iter().for_each(|code| self.sheet.hide(&code));
        Ok((transaction, landing))
    }

    async fn sign_in(&mut self, prompt: Option<&str>) -> Result<(Landing, AuthenticatedUser), FailedSignIn> {
        let (transaction, landing) = self.visit(prompt).await?;
        let user = self.exchange(&transaction, &landing).await?;
        Ok((landing, user))
    }

    /// The product's way from a return to tokens.
    async fn exchange(
        &mut self,
        transaction: &Transaction,
        landing: &Landing,
    ) -> Result<AuthenticatedUser, FailedSignIn> {
        let refused = |why| FailedSignIn { why, verdict: Verdict::Breaks };
        let callback = self.run.accept(transaction, landing).await.map_err(refused)?;
        let failed = |error| FailedSignIn { why: reason(&error), verdict: verdict(&error, Verdict::Breaks) };
        let (user, _) = self.run.provider.exchange(callback).await.map_err(failed)?;
        let tokens = &user.token_set;
        for token in [&tokens.id, &tokens.access].into_iter().chain(&tokens.refresh) {
            self.sheet.hide(token.expose_secret());
        }
        Ok(user)
    }

    fn tell(&self, line: &str) {
        if self.browser.is_person() {
            (self.run.say)(line);
        }
    }

    /// Everything after the first sign-in; an error ends the chain.
    async fn after(&mut self, first: Option<i64>) -> Result<(), String> {
        let (landing, user) = self.sign_in(None).await.map_err(|stop| stop.why)?;
        let again = auth_time(&user);
        let page = landing.page_shown.unwrap_or(landing.took >= self.run.options.typing);
        let text = if page { "the pool shows its page again" } else { "yes" };
        self.sheet.judge("sign_in.again", !page, Verdict::Differs, text);
        let stays = first == again && !page;
        match (page, first, again) {
            (true, ..) => self.sheet.skip(&["sign_in.auth_time"], "no sign-in came without typing"),
            (_, Some(_), Some(_)) => {
                let text = if stays { "it stays" } else { "it is the time of the latest sign-in" };
                self.sheet.judge("sign_in.auth_time", stays, Verdict::Differs, text);
            }
            _ => self.sheet.note("sign_in.auth_time", Verdict::Differs, "there is none"),
        }
        if page {
            self.sheet.skip(&IN_SESSION, "nobody can tell: the pool shows its page at each sign-in");
            if self.browser.is_person() {
                self.sheet.skip(&CODES, "each code would need typing: the pool shows its page at each sign-in");
                return Ok(());
            }
            return self.codes().await;
        }
        self.codes().await?;
        if self.run.options.type_once && self.browser.is_person() {
            self.sheet.skip(&TYPED_AGAIN, "it needs typing once more, and --type-once spares it");
        } else {
            self.typed_at = again.filter(|_| stays);
            self.prompt_login().await?;
            self.logout_form().await?;
        }
        self.logout().await
    }

    /// Codes without typing, each spent otherwise.
    async fn codes(&mut self) -> Result<(), String> {
        let (transaction, landing) = self.visit(Some("none")).await?;
        let (good, text) = match (landing.param("code"), landing.page_shown) {
            (Some(_), Some(true)) => (false, "a code, after the pool's page".to_owned()),
            (Some(_), _) => (true, "a code".to_owned()),
            (None, _) => (false, self.run.accept(&transaction, &landing).await.err().unwrap_or_default()),
        };
        self.sheet.judge("prompt.none.signed_in", good, Verdict::Differs, text);
        let code = match landing.param("code") {
            Some(code) => SpentCode::new(self.run, &transaction, code),
            None => self.code().await?,
        };
        codes::client_secret_and_reuse(self.run, &code, self.sheet).await?;
        let code = self.code().await?;
        codes::pkce(self.run, &code, self.sheet).await?;
        let code = self.code().await?;
        codes::redirect_uri(self.run, &code, self.sheet).await
    }

    async fn code(&mut self) -> Result<SpentCode, String> {
        let (transaction, landing) = self.visit(None).await?;
        self.run.accept(&transaction, &landing).await?;
        Ok(SpentCode::new(self.run, &transaction, landing.param("code").unwrap_or_default()))
    }

    /// Whether somebody had to type. Of a person, that is only seen by the time that it took, and by `auth_time`.
    fn typed(&mut self, landing: &Landing, user: &AuthenticatedUser) -> bool {
        let before = self.typed_at;
        self.typed_at = before.and(auth_time(user));
        landing.page_shown.unwrap_or(before != self.typed_at || landing.took >= self.run.options.typing)
    }

    async fn prompt_login(&mut self) -> Result<(), String> {
        self.tell("Now prompt=login: the sign-in page should come again; sign in once more.");
        let (landing, user) = self.sign_in(Some("login")).await.map_err(|stop| stop.why)?;
        let page = self.typed(&landing, &user);
        let text = if page { "the page comes" } else { "no page: prompt is ignored" };
        self.sheet.judge("prompt.login", page, Verdict::Differs, text);
        if page && claims(user.token_set.id.expose_secret()).contains_key("identities") {
            self.sheet.note("federated.second_sign_in", Verdict::AsExpected, "yes, the test user could");
        }
        Ok(())
    }

    async fn logout_form(&mut self) -> Result<(), String> {
        let Some(end_session) = self.run.wire.endpoints.end_session.clone().filter(|_| self.found.logs_in_again) else {
            self.sheet.note("logout.form", Verdict::Differs, "no: it leads to no sign-in page");
            return Ok(());
        };
        self.tell("Now a sign-out that leads to the sign-in page: sign in a last time.");
        let (transaction, authorize) = self.run.begin(None).await?;
        let url = login_after_logout(&end_session, &authorize);
        let landing = self.browser.visit(&url, Some(&transaction.state()), self.run.say).await?;
        landing.param("code").into_iter().for_each(|code| self.sheet.hide(&code));
        let (good, text) = match self.exchange(&transaction, &landing).await {
            Ok(user) if self.typed(&landing, &user) => (true, "yes, and the sign-in keeps all three".to_owned()),
            Ok(_) => (false, "a code at once: nobody had to type".to_owned()),
            Err(stop) => (false, format!("the sign-in after it fails: {}", stop.why)),
        };
        self.sheet.judge("logout.form", good, Verdict::Differs, text);
        Ok(())
    }

    async fn logout(&mut self) -> Result<(), String> {
        const ID: &str = "logout.session";
        let after = &self.run.options.urls.signed_out;
        let url = self.run.provider.logout_url(None, after.as_str()).await.filter(|_| self.found.signs_out);
        let Some(url) = url else {
            let why = format!("{after} is not registered as a sign-out URL of the app client, or there is no /logout");
            self.sheet.skip(&[ID], &why);
            return Ok(());
        };
        let landing = self.browser.visit(&url, None, self.run.say).await?;
        if !landing.signed_out {
            self.sheet.note(ID, Verdict::Breaks, "it comes back to another address");
            return Ok(());
        }
        let prompt = self.found.knows_prompt.then_some("none");
        if prompt.is_none() && self.browser.is_person() {
            self.sheet.skip(&[ID], "it comes back; who knows whether the session ended: the pool ignores prompt=none");
            return Ok(());
        }
        let (_, landing) = self.visit(prompt).await?;
        let ended = landing.param("error").is_some() || landing.page_shown == Some(true);
        let text =
            if ended { "it comes back, and the session has ended" } else { "it comes back, and the session lives on" };
        self.sheet.judge(ID, ended, Verdict::Breaks, text);
        Ok(())
    }
}
