//! Whether the client, its addresses and its scopes are registered, as far as a provider says before a sign-in.

use super::MADE_UP;
use crate::config::Profile;
use crate::domain::finding::Finding;
use crate::domain::return_to::ReturnTo;
use crate::domain::sign_in::SignInIntent;
use crate::domain::transaction::Transaction;
use crate::provider::Provider;
use http::header::LOCATION;
use url::Url;

/// What a browser would meet at an address.
#[derive(Debug, PartialEq, Eq)]
enum ProbeReaction {
    /// A page, or a way to one.
    GoesOn(Option<Url>),
    /// The provider's word for why not: an error code, or a status.
    Refused(String),
}

impl ProbeReaction {
    fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused(_))
    }
}

impl Provider {
    /// Begins a sign-in that nobody goes on with: the provider shows its page, or says what it does not take.
    pub(super) async fn probe_sign_in(&self, return_to: ReturnTo) -> Vec<Finding> {
        let transaction = Transaction::begin(SignInIntent::plain(return_to), self.clock.now());
        let url = match self.authorize_url(&transaction, None).await {
            Ok(url) => url,
            Err(error) => return vec![Finding::NotKnown(format!("whether a sign-in can begin: {error}"))],
        };
        match self.react(&url).await {
            Ok(ProbeReaction::GoesOn(_)) => {
                let elsewhere = format!("{}/{MADE_UP}", self.redirect_uri);
                let more = format!("{} {MADE_UP}-no-such-scope", self.scopes.join(" "));
                vec![
                    self.registered_callback(&with(&url, "redirect_uri", &elsewhere)).await,
                    self.registered_scopes(&with(&url, "scope", &more)).await,
                ]
            }
            Ok(ProbeReaction::Refused(code)) => vec![Finding::Bad(match code.as_str() {
                "redirect_mismatch" => self.unregistered("callback URL", &self.redirect_uri),
                "invalid_client" => {
                    format!(
                        "there is no client {} at the provider: is provider.client_id right?",
                        self.client_id.escape_debug()
                    )
                }
                status if status.bytes().all(|b| b.is_ascii_digit()) => format!(
                    "{}, or there is no client {} (the provider answers {status})",
                    self.unregistered("callback URL", &self.redirect_uri),
                    self.client_id.escape_debug()
                ),
                code => format!(
                    "the provider refuses a sign-in with `{}`: are provider.client_id and provider.scopes right?",
                    code.escape_debug()
                ),
            })],
            Err(why) => vec![Finding::NotKnown(format!("whether a sign-in can begin: {why}"))],
        }
    }

    /// `elsewhere` is the same sign-in with a callback URL that nobody has registered.
    async fn registered_callback(&self, elsewhere: &Url) -> Finding {
        match self.react(elsewhere).await {
            Ok(reaction) if reaction.is_refusal() => {
                Finding::Good("a sign-in can begin: the client and its callback URL are registered".into())
            }
            Ok(_) => Finding::NotKnown(format!(
                "whether the client and the callback URL {} are registered: the provider begins a sign-in with one \
                 that is made up, too, and judges later",
                self.redirect_uri
            )),
            Err(why) => Finding::NotKnown(format!("whether the callback URL is registered: {why}")),
        }
    }

    /// `more` is the same sign-in with a scope that does not exist.
    async fn registered_scopes(&self, more: &Url) -> Finding {
        match self.react(more).await {
            Ok(reaction) if reaction.is_refusal() => Finding::Good("the scopes are allowed to the client".into()),
            Ok(_) => Finding::NotKnown(
                "whether the scopes are allowed to the client: the provider says nothing to one that is made up".into(),
            ),
            Err(why) => Finding::NotKnown(format!("whether the scopes are allowed: {why}")),
        }
    }

    /// Cognito returns at once, or not at all.
    pub(super) async fn probe_cognito_sign_out(&self, signed_out: &str) -> Finding {
        let Some(url) = self.logout_url(None, signed_out).await else {
            return Finding::Bad("the provider has no sign-out page: people would be signed straight back in".into());
        };
        match self.react(&url).await {
            Ok(ProbeReaction::GoesOn(Some(to))) if to.as_str().starts_with(signed_out) => {
                Finding::Good("a sign-out comes back: its URL is registered".into())
            }
            Ok(_) => Finding::Bad(self.unregistered("sign-out URL", signed_out)),
            Err(why) => Finding::NotKnown(format!("whether a sign-out comes back: {why}")),
        }
    }

    /// RP-initiated logout with our `post_logout_redirect_uri`, with one that is made up, and with none.
    pub(super) async fn probe_sign_out(&self, signed_out: &str) -> Finding {
        let Some(ours) = self.logout_url(None, signed_out).await else {
            return Finding::NotKnown(
                "whether the provider's own session ends at a sign-out: it has no end_session_endpoint, so people may \
                 be signed straight back in"
                    .into(),
            );
        };
        let made_up = with(&ours, "post_logout_redirect_uri", &format!("{signed_out}/{MADE_UP}"));
        let none = without(&ours, "post_logout_redirect_uri");
        let answers = (self.react(&ours).await, self.react(&made_up).await, self.react(&none).await);
        let (Ok(ours), Ok(made_up), Ok(none)) = answers else {
            return Finding::NotKnown(
                "whether a sign-out comes back: the provider's sign-out page cannot be asked".into(),
            );
        };
        match (ours.is_refusal(), made_up.is_refusal(), none.is_refusal()) {
            (false, true, _) => Finding::Good("a sign-out comes back: its URL is registered".into()),
            (true, _, false) => Finding::Bad(self.unregistered("sign-out URL", signed_out)),
            _ => Finding::NotKnown(format!(
                "whether {signed_out} is registered as a post-logout redirect URI: without somebody's session the \
                 provider does not tell it from one that is made up"
            )),
        }
    }

    fn unregistered(&self, what: &str, url: &str) -> String {
        format!("the {what} {url} is not registered for the client, character by character")
    }

    async fn react(&self, url: &Url) -> Result<ProbeReaction, String> {
        let request = http::Request::get(url.as_str()).body(Vec::new()).map_err(|error| error.to_string())?;
        let response = self.http.call("probe", request).await.map_err(|error| error.to_string())?;
        let location = response.headers().get(LOCATION).and_then(|to| url.join(to.to_str().ok()?).ok());
        Ok(match (response.status().as_u16(), location) {
            (300..=399, Some(to)) => match error_in(&to) {
                Some(code) => ProbeReaction::Refused(code),
                None => ProbeReaction::GoesOn(Some(to)),
            },
            // Cognito sends a browser on to its page; a page at once is the one that says no.
            (200..=299, _) if self.profile == Profile::Oidc => ProbeReaction::GoesOn(None),
            (status, _) => ProbeReaction::Refused(status.to_string()),
        })
    }
}

/// The error that a browser is sent on with (RFC 6749 §4.1.2.1).
fn error_in(to: &Url) -> Option<String> {
    let pairs = |text: &str| {
        let mut pairs = url::form_urlencoded::parse(text.as_bytes());
        pairs.find(|(name, value)| name == "error" && !value.is_empty()).map(|(_, value)| value.into_owned())
    };
    to.query().and_then(pairs).or_else(|| to.fragment().and_then(pairs))
}

/// The address with another value for one of its parameters.
fn with(url: &Url, name: &str, value: &str) -> Url {
    let mut changed = without(url, name);
    changed.query_pairs_mut().append_pair(name, value);
    changed
}

fn without(url: &Url, name: &str) -> Url {
    let mut changed = url.clone();
    let others = url.query_pairs().filter(|(known, _)| known != name);
    changed.query_pairs_mut().clear().extend_pairs(others);
    changed
}
