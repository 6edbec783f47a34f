//! The function's environment, read once; every mistake is reported at once.
//!
//! | variable | default | |
//! |---|---|---|
//! | `AUTH_API__PROVIDER__…` | | as of the service: with them, bearer tokens are verified here |
//! | `AUTHORIZER_VALIDATE_URL` | | the service's `/validate`, for sessions, and for bearer tokens without the above |
//! | `AUTHORIZER_CREDENTIALS` | what can be judged | `bearer`, `cookie` |
//! | `AUTHORIZER_GROUPS`, `AUTHORIZER_EMAIL_DOMAINS`, `AUTHORIZER_ACR` | | required: any of these |
//! | `AUTHORIZER_SCOPES` | | required: all of these |
//! | `AUTHORIZER_MAX_AGE` | | required: an authentication of the last `5m` |
//! | `AUTHORIZER_TTL` | `0s` | how long API Gateway or AppSync may keep an answer, up to `1h` |
//! | `AUTHORIZER_TIMEOUT` | `3s` | how long a decision may take, 100 ms to 9 s |

use crate::config::{Config, Sources, load};
use crate::domain::authentication::AuthenticationRequirement;
use crate::domain::requirement::Requirement;
use crate::domain::seal::random;
use crate::variables::VariableReader;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use std::time::Duration;
use url::Url;

/// Our names begin so.
const OURS: [&str; 2] = ["AUTHORIZER_", "AUTH_API"];
const KNOWN: [&str; 16] = [
    PROFILE,
    ISSUER,
    "AUTH_API__PROVIDER__CLIENT_ID",
    "AUTH_API__PROVIDER__ACCEPTED_CLIENTS",
    "AUTH_API__PROVIDER__ACCEPTED_AUDIENCES",
    "AUTH_API__PROVIDER__GROUPS_CLAIM",
    JWKS,
    "AUTHORIZER_VALIDATE_URL",
    "AUTHORIZER_CREDENTIALS",
    "AUTHORIZER_GROUPS",
    "AUTHORIZER_SCOPES",
    "AUTHORIZER_EMAIL_DOMAINS",
    "AUTHORIZER_ACR",
    "AUTHORIZER_MAX_AGE",
    "AUTHORIZER_TTL",
    "AUTHORIZER_TIMEOUT",
];
const PROFILE: &str = "AUTH_API__PROVIDER__PROFILE";
const ISSUER: &str = "AUTH_API__PROVIDER__ISSUER";
const JWKS: &str = "AUTH_API__PROVIDER__JWKS_URI";
const HOUR: Duration = Duration::from_secs(3_600);

/// What the authorizer works with.
#[derive(Debug, Clone)]
pub struct AuthorizerSettings {
    /// With the provider whose tokens are verified here; of the rest nothing is used.
    pub provider: Option<Box<Config>>,
    /// The address of `/validate`.
    pub validate_url: Option<Url>,
    /// What is looked at.
    pub credentials: AcceptedCredentials,
    /// What the principal has to meet.
    pub requirement: Requirement,
    /// How long an answer may be kept.
    pub ttl: Duration,
    /// The longest that a decision takes.
    pub timeout: Duration,
    query: String,
}

/// Which credentials are looked at. An answer that is kept for a header must not depend on another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AcceptedCredentials {
    /// `Authorization: Bearer`.
    pub bearer: bool,
    /// Cookies.
    pub cookie: bool,
}

impl AuthorizerSettings {
    /// Reads environment variables; those of others are passed over, and empty ones are none.
    ///
    /// # Errors
    /// A sentence for every mistake.
    pub fn read(variables: impl IntoIterator<Item = (String, String)>) -> Result<Self, Vec<String>> {
        let mut reader = VariableReader::new(variables, &OURS, &KNOWN);
        let provider = reader.provider();
        let validate_url = reader.validate_url("AUTHORIZER_VALIDATE_URL");
        let max_age = reader.text("AUTHORIZER_MAX_AGE").map(|_| {
            let advice = "Write a time such as 300s or 5m, up to 365d";
            reader.duration("AUTHORIZER_MAX_AGE", HOUR, Duration::from_secs(1)..=365 * 24 * HOUR, advice)
        });
        let advice = "API Gateway and AppSync keep answers for up to 1h. Write a time such as 60s or 5m; 0s is never";
        let ttl = reader.duration("AUTHORIZER_TTL", Duration::ZERO, Duration::ZERO..=HOUR, advice);
        let advice = "AppSync waits ten seconds. Write 3s or 2500ms, 100ms to 9s";
        let range = Duration::from_millis(100)..=Duration::from_secs(9);
        let timeout = reader.duration("AUTHORIZER_TIMEOUT", Duration::from_secs(3), range, advice);
        let credentials = reader.credentials("AUTHORIZER_CREDENTIALS", validate_url.is_some());
        if !ttl.is_zero() && credentials.bearer && credentials.cookie {
            reader.mistakes.push(
                "AUTHORIZER_TTL keeps answers for the one header that is the identity source, and what was let in by \
                 a cookie would be kept for an Authorization header, or the reverse. Write AUTHORIZER_CREDENTIALS=bearer \
                 or AUTHORIZER_CREDENTIALS=cookie."
                    .to_owned(),
            );
        }
        let required =
            ["GROUPS", "SCOPES", "EMAIL_DOMAINS", "ACR"].map(|name| reader.list(&format!("AUTHORIZER_{name}")));
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, values) in ["group", "scope", "email_domain", "acr"].into_iter().zip(&required) {
            query.extend_pairs(values.iter().map(|value| (name, value)));
        }
        query.extend_pairs(max_age.map(|age| ("max_age", age.as_secs().to_string())));
        let query = query.finish();
        let [groups, scopes, email_domains, acr_values] = required;
        let authentication = AuthenticationRequirement { max_age, acr_values };
        let requirement = Requirement::new(groups, scopes, email_domains).with_authentication(authentication);
        reader.finish(Self { provider, validate_url, credentials, requirement, ttl, timeout, query })
    }

    /// The address of `/validate` with the requirements.
    pub(super) fn validate_address(&self) -> String {
        let mut url = self.validate_url.clone().map(String::from).unwrap_or_default();
        if !self.query.is_empty() {
            url.push('?');
            url.push_str(&self.query);
        }
        url
    }
}

impl VariableReader {
    /// The service's own configuration of a provider, judged as there.
    fn provider(&mut self) -> Option<Box<Config>> {
        let read = |name: &&str| Some(((*name).to_owned(), self.text(name)?));
        let mut env: Vec<_> = KNOWN.iter().filter(|name| name.starts_with("AUTH_API__")).filter_map(read).collect();
        if env.is_empty() {
            return None;
        }
        let cognito = self.text(PROFILE).is_none_or(|profile| profile == "cognito");
        // Of a user pool the address of the keys is known, and one without a hosted UI has no discovery document.
        let jwks = self.text(JWKS).or_else(|| {
            let issuer = self.text(ISSUER).filter(|_| cognito)?;
            Some(format!("{issuer}/.well-known/jwks.json"))
        });
        let endpoints = jwks.into_iter().flat_map(|jwks| {
            let unused = || "https://authorizer.invalid/".to_owned();
            let endpoint = |name: &str, url| (format!("AUTH_API__PROVIDER__{name}"), url);
            let keys = endpoint("JWKS_URI", jwks);
            [keys, endpoint("AUTHORIZATION_ENDPOINT", unused()), endpoint("TOKEN_ENDPOINT", unused())]
        });
        // What a configuration cannot be without, and this function never uses.
        let unused = [
            ("AUTH_API__SERVER__PUBLIC_URL", "http://localhost:1".to_owned()),
            ("AUTH_API__COOKIES__KEYS", BASE64_URL_SAFE_NO_PAD.encode(random::<32>())),
            ("AUTH_API__SESSION__STORE", "memory:".to_owned()),
        ];
        env.extend(endpoints);
        env.extend(unused.map(|(name, value)| (name.to_owned(), value)));
        match load(Sources { file: None, env }) {
            Ok(config) => Some(Box::new(config)),
            Err(diagnostics) => {
                self.mistakes.extend(diagnostics.iter().map(ToString::to_string));
                None
            }
        }
    }

    fn validate_url(&mut self, name: &str) -> Option<Url> {
        let url = self.internal_url(name, "cookies and tokens are sent there")?;
        if !url.path().ends_with("/validate") || url.query().is_some() || url.fragment().is_some() {
            self.mistakes.push(format!("{name} has to end in /validate; requirements have variables of their own."));
        }
        Some(url)
    }

    fn credentials(&mut self, name: &str, validate: bool) -> AcceptedCredentials {
        let provider = self.text(ISSUER).is_some();
        if !provider && !validate {
            self.mistakes.push(format!(
                "{ISSUER} and AUTHORIZER_VALIDATE_URL are both missing: nothing can be judged. Write the one to verify \
                 bearer tokens here, the other to ask the service."
            ));
        }
        let list = self.list(name);
        for one in list.iter().filter(|one| !["bearer", "cookie"].contains(&one.as_str())) {
            self.mistakes.push(format!("{name} holds {one}. Write bearer, cookie, or both with a comma between."));
        }
        let named = |one: &str| list.iter().any(|name| name == one);
        if named("cookie") && !validate {
            self.mistakes.push(format!(
                "{name} holds cookie, and only /validate knows sessions: write AUTHORIZER_VALIDATE_URL."
            ));
        }
        AcceptedCredentials {
            bearer: list.is_empty() || named("bearer"),
            cookie: if list.is_empty() { validate } else { named("cookie") },
        }
    }
}
