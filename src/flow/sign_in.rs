//! Sign-in begins (OIDC Core §3.1.2.1).
//!
//! 1. The target is judged; a bad one becomes the default.
//! 2. A live session of which nothing is asked goes straight there.
//! 3. A browser whose session was ended from elsewhere has to authenticate again.
//! 4. Who wants to choose another account first leaves the provider's own session, where its pages may not ask
//!    otherwise.
//! 5. Else a transaction begins and the browser goes to the provider. Nothing is stored for strangers:
//!    the transaction travels in a sealed cookie.

use super::{Error, RelyingParty};
use crate::domain::return_to::ReturnTo;
use crate::domain::session::SessionId;
use crate::domain::sign_in::SignInIntent;
use crate::domain::transaction::Transaction;
use crate::telemetry::traces::TARGET;
use tracing::instrument;
use url::Url;

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
    /// Begins a sign-in of a browser that sent `ids`. `login_hint` pre-fills the provider's page; `after_logout` is where
    /// the provider's logout returns.
    ///
    /// # Errors
    /// [`Error::Provider`] while the provider was never reached; [`Error::Store`]; [`Error::Audit`]; [`Error::InvalidTarget`]
    /// for an API that is not in `provider.resources`.
    #[instrument(target = TARGET, name = "sign-in", skip_all)]
    pub async fn sign_in(
        &self,
        intent: SignInIntent,
        login_hint: Option<&str>,
        ids: &[SessionId],
        signed_in: bool,
        after_logout: &str,
    ) -> Result<SignIn, Error> {
        if intent.resource.as_ref().is_some_and(|resource| !self.config.provider.resources.contains(resource)) {
            return Err(Error::InvalidTarget);
        }
        if signed_in && intent.is_met_by_a_session() {
            return Ok(SignIn::Already(intent.return_to));
        }
        // Nobody is sent to type a password for a sign-in that could not be recorded.
        self.audit.check()?;
        let reauthenticate = self.sessions.was_ended_remotely(ids).await?;
        if intent.wants_account_choice()
            && !reauthenticate
            && let Some(logout) = self.provider.logout_before_account_choice(after_logout).await
        {
            return Ok(SignIn::LogOutFirst(intent, logout));
        }
        let mut transaction = Transaction::begin(intent, self.clock.now());
        transaction.reauthenticate = reauthenticate;
        let location = self.provider.authorize_url(&transaction, login_hint).await?;
        Ok(SignIn::Begin(transaction, location))
    }

    /// Goes on with a sign-in that was to leave the provider's session first.
    ///
    /// # Errors
    /// [`Error::Provider`] while the provider was never reached.
    pub async fn begin_again(&self, intent: SignInIntent) -> Result<(Transaction, Url), Error> {
        let transaction = Transaction::begin(intent, self.clock.now());
        let location = self.provider.authorize_url(&transaction, None).await?;
        Ok((transaction, location))
    }
}
