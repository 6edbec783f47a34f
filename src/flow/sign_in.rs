//! Sign-in begins (OIDC Core §3.1.2.1).
//!
//! 1. The target is judged; a bad one becomes the default.
//! 2. A live session that nothing is asked of goes straight there.
//! 3. A browser whose session was ended from elsewhere has to authenticate again.
//! 4. Who wants to choose another account first leaves the provider's own session, where its pages may not ask
//!    otherwise.
//! 5. Else a transaction begins and the browser goes to the provider. Nothing is stored for strangers:
//!    the transaction travels in a sealed cookie.

use super::{Error, RelyingParty};
use crate::domain::return_to::ReturnTo;
use crate::domain::session::SessionId;
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
    /// Begins a sign-in of a browser that sent `ids`. `after_logout` is where the provider's logout returns.
    ///
    /// # Errors
    /// [`Error::Provider`] while the provider was never reached; [`Error::Store`].
    pub async fn sign_in(
        &self,
        request: SignInRequest,
        ids: &[SessionId],
        signed_in: bool,
        after_logout: &str,
    ) -> Result<SignIn, Error> {
        let SignInRequest { return_to, provider, hints } = request;
        let return_to = self.return_to.choose(return_to.as_deref());
        if signed_in && provider.is_none() && hints.prompt.is_none() {
            return Ok(SignIn::Already(return_to));
        }
        let reauthenticate = self.sessions.was_ended_remotely(ids).await?;
        let intent = SignInIntent { return_to, provider, prompt: hints.prompt.clone(), lang: hints.lang.clone() };
        if hints.wants_account_choice()
            && !reauthenticate
            && let Some(logout) = self.provider.logout_before_account_choice(after_logout).await
        {
            return Ok(SignIn::LogOutFirst(intent, logout));
        }
        let mut transaction = Transaction::begin(intent, self.clock.now());
        transaction.reauthenticate = reauthenticate;
        let location = self.provider.authorize_url(&transaction, &hints).await?;
        Ok(SignIn::Begin(transaction, location))
    }

    /// Goes on with a sign-in that was to leave the provider's session first.
    ///
    /// # Errors
    /// [`Error::Provider`] while the provider was never reached.
    pub async fn begin_again(&self, intent: SignInIntent) -> Result<(Transaction, Url), Error> {
        let hints = AuthorizationHints { prompt: intent.prompt.clone(), lang: intent.lang.clone(), login_hint: None };
        let transaction = Transaction::begin(intent, self.clock.now());
        let location = self.provider.authorize_url(&transaction, &hints).await?;
        Ok((transaction, location))
    }
}
