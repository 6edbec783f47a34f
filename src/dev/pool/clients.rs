//! App clients and resource servers.

/// One app client of the pool, as the console would show it.
#[derive(Clone, Debug)]
pub struct AppClient {
    /// The `client_id`.
    pub id: String,
    /// The secret; `None` makes a public client.
    pub secret: Option<String>,
    /// Allowed callback URLs, compared byte for byte.
    pub callback_urls: Vec<String>,
    /// Allowed sign-out URLs, compared byte for byte.
    pub logout_urls: Vec<String>,
    /// Allowed scopes: standard ones and `<resource server>/<scope>`.
    pub scopes: Vec<String>,
    /// The one OAuth flow this client may use; Cognito refuses to mix `client_credentials` with the others.
    pub flow: OAuthFlow,
    /// Seconds an access token lives (300 to 86,400; Cognito's default 3,600).
    pub access_token_seconds: i64,
    /// Seconds an ID token lives (300 to 86,400; Cognito's default 3,600).
    pub id_token_seconds: i64,
    /// Seconds a refresh token lives, counted from the sign-in (Cognito's default 30 days).
    pub refresh_token_seconds: i64,
    /// Whether a refresh hands out a new refresh token.
    pub rotation: Rotation,
    /// `EnableTokenRevocation`: off, `/oauth2/revoke` answers `invalid_request`.
    pub revocation: bool,
    /// Names of the identity providers this client may use.
    pub identity_providers: Vec<String>,
}

/// The OAuth flow an app client is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OAuthFlow {
    /// Authorization code (with refresh).
    Code,
    /// Client credentials.
    ClientCredentials,
}

/// Refresh token rotation of an app client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// No new refresh token; the old one stays good.
    Off,
    /// Every refresh hands out a new one.
    On {
        /// How long the old one may still be used (`RetryGracePeriodSeconds`, 0 to 60).
        grace_seconds: i64,
    },
}

/// A resource server: an API and the scopes it defines.
#[derive(Clone, Debug)]
pub struct ResourceServer {
    /// Its identifier, often a URL.
    pub identifier: String,
    /// The names of its scopes, without the identifier.
    pub scopes: Vec<String>,
}

impl AppClient {
    /// A confidential web client for the code flow with every standard scope.
    pub fn web(id: &str, secret: &str) -> Self {
        Self {
            id: id.to_owned(),
            secret: Some(secret.to_owned()),
            callback_urls: Vec::new(),
            logout_urls: Vec::new(),
            scopes: owned(&["openid", "email", "profile", "phone", "aws.cognito.signin.user.admin"]),
            flow: OAuthFlow::Code,
            access_token_seconds: 3_600,
            id_token_seconds: 3_600,
            refresh_token_seconds: 30 * 86_400,
            rotation: Rotation::Off,
            revocation: true,
            identity_providers: owned(&["COGNITO", "Google", "Facebook"]),
        }
    }

    /// A machine client for `client_credentials`.
    pub fn machine(id: &str, secret: &str, scopes: &[&str]) -> Self {
        Self {
            scopes: owned(scopes),
            flow: OAuthFlow::ClientCredentials,
            identity_providers: Vec::new(),
            ..Self::web(id, secret)
        }
    }

    pub(super) fn knows_secret(&self, presented: &str) -> bool {
        self.secret.as_ref().is_some_and(|secret| {
            aws_lc_rs::constant_time::verify_slices_are_equal(secret.as_bytes(), presented.as_bytes()).is_ok()
        })
    }
}

impl ResourceServer {
    /// A resource server with these scopes.
    pub fn new(identifier: &str, scopes: &[&str]) -> Self {
        Self { identifier: identifier.to_owned(), scopes: owned(scopes) }
    }

    pub(super) fn full_scopes(&self) -> impl Iterator<Item = String> + '_ {
        self.scopes.iter().map(|scope| format!("{}/{scope}", self.identifier))
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}
