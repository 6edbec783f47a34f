//! What the provider's sign-in page is told to ask (`prompt`, OIDC Core §3.1.2.1), and what if it does not heed that.

use super::Provider;
use crate::domain::clock::Timestamp;
use crate::domain::sign_in::SignInScreen;
use crate::domain::transaction::Transaction;
use http::header::LOCATION;
use std::time::Duration;
use tokio::sync::Mutex;
use url::Url;

/// How long an answer counts: somebody may switch between the classic hosted UI and managed login.
const ANSWER_TTL: Duration = Duration::from_secs(3_600);
/// How long none is asked for again.
const FAILURE_PAUSE: Duration = Duration::from_secs(60);

/// Whether the sign-in page heeds `prompt`, and until when that counts. Held across the question.
pub(super) type PromptSupport = Mutex<Option<(bool, Timestamp)>>;

impl Provider {
    /// The `prompt` of a sign-in.
    pub(super) fn prompt(&self, transaction: &Transaction) -> Option<String> {
        let intent = &transaction.intent;
        let asked = match intent.prompt.as_deref() {
            _ if transaction.reauthenticate => Some(self.profile.reauthentication(&self.rules.issuer_host)),
            None if intent.screen == SignInScreen::SignUp => self.profile.sign_up_prompt(),
            asked => asked,
        };
        let consent = "consent";
        // Refresh tokens for long are given only with consent (OIDC Core §11). `none` stands alone.
        match asked {
            _ if !self.profile.asks_consent_for(&self.scopes) => asked.map(str::to_owned),
            None => Some(consent.to_owned()),
            Some(asked) if asked.split(' ').any(|word| word == "none" || word == consent) => Some(asked.to_owned()),
            Some(asked) => Some(format!("{asked} {consent}")),
        }
    }

    /// The address that ends the provider's session before an account can be chosen, if it takes that.
    pub async fn logout_before_account_choice(&self, after: &str) -> Option<Url> {
        if self.profile.heeds_prompt() { None } else { self.logout_url(None, after).await }
    }

    /// The `prompt` that lets people choose another account.
    pub fn account_choice(&self) -> &'static str {
        self.profile.account_choice(&self.rules.issuer_host)
    }

    /// Where a sign-in begins that must not be silent: at `authorize`, unless that ignores `prompt`. Cognito's logout
    /// with the parameters of a sign-in ends its own session and shows the sign-in page (AWS: the managed login sign-out
    /// endpoint).
    pub(super) async fn reauthentication_url(&self, authorize: Url, end_session: Option<&Url>) -> Url {
        match end_session {
            Some(end_session) if !self.heeds_prompt(&authorize).await => {
                let mut url = end_session.clone();
                url.set_query(authorize.query());
                url
            }
            _ => authorize,
        }
    }

    /// Whether the sign-in page heeds `prompt`. Nothing in Cognito's metadata tells managed login, which does, from the
    /// classic hosted UI, which does not: the answer to `prompt=none` from nobody tells.
    async fn heeds_prompt(&self, authorize: &Url) -> bool {
        if self.profile.heeds_prompt() {
            return true;
        }
        let (now, mut known) = (self.clock.now(), self.prompt_support.lock().await);
        if let Some((heeds, until)) = *known
            && now < until
        {
            return heeds;
        }
        let answer = self.refuses_silence(authorize).await;
        *known = Some(match answer {
            Some(heeds) => (heeds, now + ANSWER_TTL),
            None => (false, now + FAILURE_PAUSE),
        });
        answer.unwrap_or(false)
    }

    /// Whether a sign-in without a session that may show no page is refused; `None` if nobody answers.
    async fn refuses_silence(&self, authorize: &Url) -> Option<bool> {
        let mut silent = authorize.clone();
        let others = authorize.query_pairs().filter(|(name, _)| name != "prompt");
        silent.query_pairs_mut().clear().extend_pairs(others).append_pair("prompt", "none");
        let request = http::Request::get(silent.as_str()).body(Vec::new()).ok()?;
        let response = self.http.call("prompt", request).await.ok()?;
        let to = silent.join(response.headers().get(LOCATION)?.to_str().ok()?).ok()?;
        Some(to.query_pairs().any(|(name, value)| name == "error" && value == "login_required"))
    }
}
