//! Sign-in begins (OIDC Core §3.1.2.1).
//!
//! 1. The target is judged; a bad one becomes the default.
//! 2. A live session that nothing is asked of goes straight there.
//! 3. Else a transaction begins and the browser goes to the provider. Nothing is stored for strangers:
//!    the transaction travels in a sealed cookie.

use super::{Error, RelyingParty};
use crate::domain::return_to::ReturnTo;
use crate::domain::transaction::Transaction;
use crate::provider::Hints;
use url::Url;

/// What a visitor asks for.
#[derive(Debug, Default)]
pub struct SignInRequest {
    /// Where to go afterwards, as it came.
    pub return_to: Option<String>,
    /// The identity provider to use.
    pub provider: Option<String>,
    /// Hints for the provider's page.
    pub hints: Hints,
}

/// Where the browser goes now.
#[derive(Debug)]
pub enum SignIn {
    /// It is signed in already.
    Already(ReturnTo),
    /// To the provider; the transaction must be in a cookie when it comes back.
    Begin(Transaction, Url),
}

impl RelyingParty {
    /// Begins a sign-in.
    ///
    /// # Errors
    /// [`Error::Provider`] while the provider was never reached.
    pub async fn sign_in(&self, request: SignInRequest, signed_in: bool) -> Result<SignIn, Error> {
        let return_to = self.return_to.choose(request.return_to.as_deref());
        if signed_in && request.provider.is_none() && request.hints.prompt.is_none() {
            return Ok(SignIn::Already(return_to));
        }
        let (transaction, location) = self.begin(return_to, request.provider, request.hints, false).await?;
        Ok(SignIn::Begin(transaction, location))
    }

    pub(super) async fn begin(
        &self,
        return_to: ReturnTo,
        provider: Option<String>,
        hints: Hints,
        retried: bool,
    ) -> Result<(Transaction, Url), Error> {
        let transaction = Transaction::begin(return_to, provider, retried, self.clock.now());
        let location = self.provider.authorize_url(&transaction, &hints).await?;
        Ok((transaction, location))
    }
}
