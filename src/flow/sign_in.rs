//! Sign-in begins (OIDC Core §3.1.2.1).
//!
//! 1. The target is judged; a bad one becomes the default.
//! 2. A live session that nothing is asked of goes straight there.
//! 3. Who wants to choose another account first leaves the provider's own session, where its pages may not ask
//!    otherwise.
//! 4. Else a transaction begins and the browser goes to the provider. Nothing is stored for strangers:
//!    the transaction travels in a sealed cookie.

use super::{Error, RelyingParty};
use crate::domain::return_to::ReturnTo;
use crate::domain::transaction::{SignInIntent, Transaction};
use crate::provider::AuthorizationHints;
use url::Url;

/// What a visitor asks for.
#[derive(Debug, Default)]
pub struct SignInRequest {
    /// Where to go afterwards, as it came.
    pub return_to: Option<String>,
    /// The identity provider to use.
    pub provider: Option<String>,
    /// Hints for the provider's page.
    pub hints: AuthorizationHints,
}

/// Where the browser goes now.
#[derive(Debug)]
pub enum SignIn {
    /// It is signed in already.
    Already(ReturnTo),
    /// To the provider; the transaction must be in a cookie when it comes back.
    Begin(Transaction, Url),
    /// To the provider's logout first; the intent must be in a cookie when the browser comes back from there, for
    /// [`RelyingParty::begin_again`].
    LogOutFirst(SignInIntent, Url),
}

impl RelyingParty {
    /// Begins a sign-in. `after_logout` is where the provider's logout returns.
    ///
    /// # Errors
    /// [`Error::Provider`] while the provider was never reached.
    pub async fn sign_in(&self, request: SignInRequest, signed_in: bool, after_logout: &str) -> Result<SignIn, Error> {
        let return_to = self.return_to.choose(request.return_to.as_deref());
        if signed_in && request.provider.is_none() && request.hints.prompt.is_none() {
            return Ok(SignIn::Already(return_to));
        }
        if request.hints.wants_account_choice()
            && let Some(logout) = self.provider.logout_before_account_choice(after_logout).await
        {
            return Ok(SignIn::LogOutFirst(intent(return_to, request.provider, &request.hints), logout));
        }
        let (transaction, location) = self.begin(return_to, request.provider, request.hints, false).await?;
        Ok(SignIn::Begin(transaction, location))
    }

    /// Goes on with a sign-in that was to leave the provider's session first.
    ///
    /// # Errors
    /// [`Error::Provider`] while the provider was never reached.
    pub async fn begin_again(&self, intent: SignInIntent) -> Result<(Transaction, Url), Error> {
        let SignInIntent { return_to, provider, prompt, lang } = intent;
        self.begin(return_to, provider, AuthorizationHints { prompt, lang, login_hint: None }, false).await
    }

    pub(super) async fn begin(
        &self,
        return_to: ReturnTo,
        provider: Option<String>,
        hints: AuthorizationHints,
        retried: bool,
    ) -> Result<(Transaction, Url), Error> {
        let transaction = Transaction::begin(intent(return_to, provider, &hints), retried, self.clock.now());
        let location = self.provider.authorize_url(&transaction, &hints).await?;
        Ok((transaction, location))
    }
}

fn intent(return_to: ReturnTo, provider: Option<String>, hints: &AuthorizationHints) -> SignInIntent {
    SignInIntent { return_to, provider, prompt: hints.prompt.clone(), lang: hints.lang.clone() }
}
