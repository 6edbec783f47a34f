//! `[provider]`: the OpenID Provider and our app client there.

use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::bearer_issuer::{BearerIssuerConfig, bearer_issuers};
use crate::config::diagnostic::{Diagnostic, Mistake};
use crate::config::reader::{ConfigReader, Field};
use crate::config::spec::{choice, count, duration, list, section, text};
use crate::config::values::issuer::{self, Profile};
use crate::config::values::{oauth, urls};

/// The scope without which Cognito's user pools API answers nobody.
pub(in crate::config) const ACCOUNT_SCOPE: &str = "aws.cognito.signin.user.admin";

section! {
    provider: "The OpenID Provider that people sign in at, and this service's app client there.\n\
     Access tokens of other issuers count as bearers too, where a rule for pages names the issuer or the caller of\n\
     /validate does. Each is a block of its own; what it does not list, the issuer cannot say:\n\
     \n\
     [[provider.bearer_issuer]]\n\
     issuer = \"https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_MaChInEs1\"\n\
     profile = \"cognito\"  # or \"oidc\"\n\
     accepted_clients = [\"2example34567890\"]  # whose tokens count; no client does by itself\n\
     accepted_audiences = []  # of tokens that were made for an API\n\
     kinds = [\"machine\"]  # \"user\" too: people's tokens count\n\
     scopes = [\"feed/read\"]  # that it may grant; others are left out of its tokens\n\
     groups = []  # that it may put people in; others are left out\n\
     groups_claim = \"realm_access.roles\"  # where they are; left out: where its profile has them\n\
     jwks_uri = \"https://keys.example.com/jwks.json\"  # left out: where its discovery document says";
    ProviderConfig / RawProvider

    /// Which provider's habits to expect: "cognito", or "oidc" for any other OpenID Provider.
    profile: Profile = choice(issuer::PROFILES, issuer::NO_PROFILE, issuer::PROFILE_ADVICE).default("cognito");

    /// The issuer, character by character as in the provider's tokens; a difference refuses every token.
    /// For Cognito it is made of region and user pool id, and is not the domain of the hosted UI.
    issuer: String = text(issuer::issuer)
        .required("https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEfGhI")
        .rule(|issuer| profile.valid().map_or(Ok(()), |profile| issuer::check(issuer, *profile)));

    /// Id of this service's app client.
    client_id: String = text(oauth::client_id).required("6o7hexampleclientid");

    /// Secret of that app client; none for a public client. If it is wrong, sign-in fails after the hosted UI.
    client_secret: Option<SecretString> = text(oauth::client_secret)
        .optional("the-secret-of-the-app-client")
        .or_file("/run/secrets/client-secret", "A file that holds the secret, instead of client_secret. One newline at its end is ignored.")
        .reloads();

    /// Scopes asked for at sign-in; `openid` has to be there. The app client must allow each of them, or the
    /// provider answers invalid_scope.
    scopes: Vec<String> = list(oauth::scope)
        .default("openid,email,profile")
        .rule(|scopes: &Vec<String>| {
            Mistake::unless(
                scopes.iter().any(|scope| scope == "openid"),
                "The scope `openid` is missing; without it the provider sends no ID token and nobody can be identified.",
                "Add `openid`, in lower case, to the list.",
            )
        });

    /// Ids of further app clients whose access tokens /validate accepts as a bearer.
    accepted_clients: Vec<String> = list(oauth::client_id).default("");

    /// Audiences (`aud`) of access tokens that /validate accepts beside client_id: of tokens made for an API, such as
    /// "https://orders.example.com". A token for any other audience is meant for somebody else and refused. Keycloak's
    /// default audience "account" needs no entry here.
    accepted_audiences: Vec<String> = list(oauth::audience).default("");

    /// APIs ("https://orders.example.com") for which a sign-in may ask for an access token: `/auth/signin?resource=…`
    /// (RFC 8707). At Cognito each is a resource server's identifier. The token then names the API as its audience.
    resources: Vec<String> = list(oauth::audience).default("");

    /// Parameters to send along when a browser goes to sign in, each as "name=value": "access_type=offline" for Google,
    /// "audience=https://orders.example.com", "prompt=login". The value is written plainly, not percent-encoded. They
    /// win over what a visitor asks for; what this service sends itself cannot be among them.
    authorize_parameters: Vec<(String, String)> = list(oauth::authorize_parameter).default("").rule(|parameters: &Vec<(String, String)>| oauth::each_once(parameters));

    /// The claim that holds a user's groups: an array of texts, a single text, or an object whose keys they are. Dots lead
    /// into objects. It may come from the ID token or from userinfo. Absent: `cognito:groups`, or `groups` with profile
    /// "oidc". Name no claim that people can write themselves: they would choose their groups.
    groups_claim: Option<String> = text(oauth::claim).optional("realm_access.roles");

    /// Identity providers ("Google") whose e-mail addresses count as verified though Cognito says they are not.
    /// Name only those that verify addresses themselves: others let people claim somebody else's.
    trust_email_from: Vec<String> = list(oauth::identity_provider).default("");

    /// Longest wait for one answer of the provider, from 1s to 60s. Browsers wait as long at sign-in.
    timeout: Duration = duration()
        .default("10s")
        .within(
            Duration::from_secs(1)..=Duration::from_secs(60),
            "Under one second healthy providers would be cut off; over a minute browsers give up before we do.",
            "Write a time from `1s` to `60s`; `10s` suits most.",
        );

    /// What all processes on one store together ask of the provider in a second, sign-ins and renewals; as many tokens
    /// for machines, and a quarter of it of the user pools API. Cognito allows 120 in an account and region, which other
    /// applications may share; beyond its quota it answers 429, and then nobody's tokens are renewed for a while.
    requests_per_second: u32 = count().default("100");

    /// The six addresses below replace what the provider's discovery document says; leave them out unless it is
    /// wrong or missing something. This one is where browsers sign in.
    authorization_endpoint: Option<Url> = text(urls::endpoint).optional("https://login.example.com/oauth2/authorize");

    /// Where codes and refresh tokens become tokens.
    token_endpoint: Option<Url> = text(urls::endpoint).optional("https://login.example.com/oauth2/token");

    /// Where a user's claims are read.
    userinfo_endpoint: Option<Url> = text(urls::endpoint).optional("https://login.example.com/oauth2/userInfo");

    /// Where refresh tokens are revoked at sign-out.
    revocation_endpoint: Option<Url> = text(urls::endpoint).optional("https://login.example.com/oauth2/revoke");

    /// Where a browser signs out at the provider; without it the provider would sign people straight back in.
    end_session_endpoint: Option<Url> = text(urls::endpoint).optional("https://login.example.com/logout");

    /// Where Cognito's user pools API is, if not beside the issuer.
    user_pools_endpoint: Option<Url> = text(urls::endpoint).optional("https://cognito-idp.eu-west-1.amazonaws.com/");

    /// Where the keys that sign tokens are published.
    jwks_uri: Option<Url> = text(urls::endpoint).optional("https://login.example.com/jwks.json");

    /// Further issuers whose access tokens count as bearers.
    bearer_issuer: Vec<BearerIssuerConfig> = bearer_issuers(&issuer);
}

impl ProviderConfig {
    /// What an operator should know about this configuration though it works as it is written.
    pub fn caution(&self) -> Option<Diagnostic> {
        if self.trust_email_from.is_empty() || !self.scopes.iter().any(|scope| scope == ACCOUNT_SCOPE) {
            return None;
        }
        let caution = Mistake::new(
            format!(
                "People can write another e-mail address at the user pool with an access token that has the scope \
                 `{ACCOUNT_SCOPE}`. This service believes only the address of the sign-in; siblings that read ID tokens \
                 themselves, or ask the pool, see the one that was written."
            ),
            format!("Leave the list empty, or take `{ACCOUNT_SCOPE}` out of provider.scopes."),
        );
        Some(caution.at("provider.trust_email_from"))
    }
}
