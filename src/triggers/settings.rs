//! The function's environment, read once; every mistake is told at once.
//!
//! | variable | default | |
//! |---|---|---|
//! | `LEGACY_LOGIN_URL` | | where the legacy system judges a password |
//! | `LEGACY_LOOKUP_URL` | | where it knows a user by name or e-mail address |
//! | `LEGACY_API_KEY` | | a secret that goes along |
//! | `LEGACY_API_KEY_HEADER` | `x-api-key` | the header that it goes in |
//! | `LEGACY_VERIFIES` | | which addresses it has verified: `email`, `phone_number` |
//! | `ATTRIBUTE_MAP` | `email=email,name=name,custom:legacy_id=id` | attribute of the pool = field of the answer |
//! | `DEFAULT_GROUPS` | | groups of federated users of a named provider |
//! | `LINK_PROVIDERS` | | names of OpenID Connect and SAML providers whose users may be linked and enrolled |
//! | `LINK_TRUSTED_PROVIDERS` | | those whose e-mail addresses count without `email_verified` |
//! | `SIGN_UP_DUPLICATES` | `allow` | `refuse`: nobody signs up with the address of a federated user |
//! | `ACCESS_TOKEN_EMAIL` | `false` | `true`: access tokens have the e-mail address |
//! | `TRIGGER_TIMEOUT` | `3s` | how long an answer may take, 100 ms to 4500 ms |
//! | `DIRECTORY_URL` | | auth-api, which is told of who signs in |
//! | `DIRECTORY_KEY` | | the key that signs that, 32 bytes or more |
//! | `AWS_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN` | | set by Lambda |
//! | `AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER` | AWS's | another address of the user pools API |

use crate::outbound::user_pools::AwsKeys;
use crate::variables::VariableReader;
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::time::Duration;
use url::Url;

/// Our names begin so; a misspelt one is told rather than passed over.
const OURS: [&str; 6] = ["LEGACY_", "LINK_", "TRIGGER_", "SIGN_UP_", "ACCESS_TOKEN_", "DIRECTORY_"];
/// What a wrong address would give away.
const DANGER: &str = "passwords are sent there";
const KNOWN: [&str; 14] = [
    "LEGACY_LOGIN_URL",
    "LEGACY_LOOKUP_URL",
    "LEGACY_API_KEY",
    "LEGACY_API_KEY_HEADER",
    "LEGACY_VERIFIES",
    "ATTRIBUTE_MAP",
    "DEFAULT_GROUPS",
    "LINK_PROVIDERS",
    "LINK_TRUSTED_PROVIDERS",
    "SIGN_UP_DUPLICATES",
    "ACCESS_TOKEN_EMAIL",
    "TRIGGER_TIMEOUT",
    "DIRECTORY_URL",
    "DIRECTORY_KEY",
];

/// What the triggers work with.
#[derive(Debug, Clone)]
pub struct TriggerSettings {
    /// Where the legacy system judges a password.
    pub login_url: Option<Url>,
    /// Where it looks users up.
    pub lookup_url: Option<Url>,
    /// The secret that it is shown.
    pub legacy_key: Option<SecretString>,
    /// The header for it.
    pub legacy_key_header: String,
    /// `email`, `phone_number`: what it verifies.
    pub verifies: Vec<String>,
    /// Attribute of the pool to field of the legacy system's answers.
    pub attributes: BTreeMap<String, String>,
    /// Groups of federated users.
    pub default_groups: Vec<String>,
    /// Further providers whose users may be linked.
    pub link_providers: Vec<String>,
    /// Providers whose e-mail addresses count as verified.
    pub trusted_providers: Vec<String>,
    /// Whether nobody signs up with the address of a federated user.
    pub refuses_duplicates: bool,
    /// Whether access tokens have the e-mail address.
    pub email_in_access_token: bool,
    /// Who is told of people.
    pub directory: Option<DirectorySettings>,
    /// The longest that an answer takes.
    pub timeout: Duration,
    /// The pool's region.
    pub region: String,
    /// Who the function is to AWS.
    pub credentials: AwsKeys,
    /// The address of the user pools API.
    pub endpoint: String,
}

/// The service that keeps a directory of people.
#[derive(Debug, Clone)]
pub struct DirectorySettings {
    /// Where it takes events of users.
    pub url: Url,
    /// Signs them.
    pub key: SecretString,
}

/// Cognito's own names of the providers that everybody may have.
const WELL_KNOWN_PROVIDERS: [&str; 4] = ["Google", "Facebook", "LoginWithAmazon", "SignInWithApple"];

impl TriggerSettings {
    /// Reads environment variables; those of others are passed over, and empty ones are none.
    ///
    /// # Errors
    /// A sentence for every mistake.
    pub fn read(variables: impl IntoIterator<Item = (String, String)>) -> Result<Self, Vec<String>> {
        let mut reader = VariableReader::new(variables, &OURS, &KNOWN);
        let region = reader.needed("AWS_REGION");
        let settings = Self {
            login_url: reader.url("LEGACY_LOGIN_URL", DANGER),
            lookup_url: reader.url("LEGACY_LOOKUP_URL", DANGER),
            legacy_key: reader.text("LEGACY_API_KEY").map(SecretString::from),
            legacy_key_header: reader.header("LEGACY_API_KEY_HEADER"),
            verifies: reader.addresses("LEGACY_VERIFIES"),
            attributes: reader.map("ATTRIBUTE_MAP"),
            default_groups: reader.list("DEFAULT_GROUPS"),
            link_providers: reader.list("LINK_PROVIDERS"),
            trusted_providers: reader.list("LINK_TRUSTED_PROVIDERS"),
            refuses_duplicates: reader.choice("SIGN_UP_DUPLICATES", ["allow", "refuse"]),
            email_in_access_token: reader.choice("ACCESS_TOKEN_EMAIL", ["false", "true"]),
            directory: reader.directory(),
            timeout: reader.duration(
                "TRIGGER_TIMEOUT",
                Duration::from_secs(3),
                Duration::from_millis(100)..=Duration::from_millis(4500),
                "Cognito waits five seconds. Write 3s or 2500ms, 100ms to 4500ms",
            ),
            credentials: AwsKeys {
                access_key_id: reader.needed("AWS_ACCESS_KEY_ID"),
                secret_access_key: reader.needed("AWS_SECRET_ACCESS_KEY").into(),
                session_token: reader.text("AWS_SESSION_TOKEN").map(SecretString::from),
            },
            endpoint: reader.endpoint("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", &region),
            region,
        };
        reader.finish(settings)
    }

    /// The providers whose users may be linked and enrolled.
    pub(super) fn providers(&self) -> impl Iterator<Item = &str> {
        let named = self.link_providers.iter().chain(&self.trusted_providers);
        WELL_KNOWN_PROVIDERS.into_iter().chain(named.map(String::as_str))
    }
}

impl VariableReader {
    fn directory(&mut self) -> Option<DirectorySettings> {
        let url = self.internal_url("DIRECTORY_URL", "names and addresses of people are sent there");
        let key = self.text("DIRECTORY_KEY");
        if key.as_ref().is_some_and(|key| key.len() < 32) {
            self.mistakes
                .push("DIRECTORY_KEY is shorter than 32 bytes: make one with `openssl rand -base64 32`.".to_owned());
        }
        match (url, key) {
            (Some(url), Some(key)) => Some(DirectorySettings { url: url.join("/users").ok()?, key: key.into() }),
            (None, None) => None,
            _ => {
                self.mistakes.push("DIRECTORY_URL and DIRECTORY_KEY need each other: set both or none.".to_owned());
                None
            }
        }
    }

    fn needed(&mut self, name: &str) -> String {
        self.text(name).unwrap_or_else(|| {
            self.mistakes.push(format!("{name} is missing. Lambda sets it; elsewhere, set it yourself."));
            String::new()
        })
    }

    /// Whether it is the second of two words; without it, the first holds.
    fn choice(&mut self, name: &str, [usual, other]: [&str; 2]) -> bool {
        let text = self.text(name).unwrap_or_else(|| usual.to_owned());
        if text != usual && text != other {
            self.mistakes.push(format!("{name} is {text}. Write {usual} or {other}."));
        }
        text == other
    }

    fn endpoint(&mut self, name: &str, region: &str) -> String {
        if self.text(name).is_some() {
            return self.url(name, DANGER).map(String::from).unwrap_or_default();
        }
        let china = if region.starts_with("cn-") { ".cn" } else { "" };
        format!("https://cognito-idp.{region}.amazonaws.com{china}/")
    }

    fn header(&mut self, name: &str) -> String {
        let header = self.text(name).unwrap_or_else(|| "x-api-key".to_owned());
        if http::HeaderName::try_from(header.as_str()).is_err() {
            self.mistakes.push(format!("{name} is not the name of a header: {header}."));
        }
        if self.text("LEGACY_API_KEY").is_some_and(|key| http::HeaderValue::try_from(key).is_err()) {
            self.mistakes.push("LEGACY_API_KEY cannot go into a header: there is a line break in it.".to_owned());
        }
        header
    }

    fn addresses(&mut self, name: &str) -> Vec<String> {
        let list = self.list(name);
        for one in list.iter().filter(|one| !["email", "phone_number"].contains(&one.as_str())) {
            self.mistakes.push(format!("{name} holds {one}. Only email and phone_number can be verified."));
        }
        list
    }

    fn map(&mut self, name: &str) -> BTreeMap<String, String> {
        let text = self.text(name).unwrap_or_else(|| "email=email,name=name,custom:legacy_id=id".to_owned());
        let mut map = BTreeMap::new();
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (attribute, field) = pair.split_once('=').unwrap_or_default();
            let (attribute, field) = (attribute.trim(), field.trim());
            if attribute.is_empty() || field.is_empty() {
                self.mistakes.push(format!("{name} holds {pair}. Write attribute=field."));
            } else if attribute == "sub" || attribute == "identities" || attribute.starts_with("cognito:") {
                self.mistakes.push(format!("{name} sets {attribute}, which Cognito sets itself."));
            } else if map.insert(attribute.to_owned(), field.to_owned()).is_some() {
                self.mistakes.push(format!("{name} sets {attribute} twice."));
            }
        }
        map
    }
}
