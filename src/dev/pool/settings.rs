//! What an administrator of a pool sets up: app clients, resource servers, users, the function of the Lambda triggers.

use super::triggers::{LambdaVersion, TriggerFunction};
use super::users::PoolUser;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use std::net::{Ipv4Addr, SocketAddr};

/// Everything a pool needs to start. `PoolSettings::default()` has users and app clients; see [`PoolSettings::for_service`].
#[derive(Clone, Debug)]
pub struct PoolSettings {
    /// Where to listen; port 0 picks a free one.
    pub listen: SocketAddr,
    /// The host name in the pool's own URLs. Never taken from a request.
    pub host: String,
    /// The pool's id, the last part of the issuer.
    pub pool_id: String,
    /// App clients.
    pub clients: Vec<AppClient>,
    /// Users.
    pub users: Vec<PoolUser>,
    /// Users of the pretended identity providers whom the pool does not have yet: made by [`PoolUser::federated`].
    pub newcomers: Vec<PoolUser>,
    /// The function that Lambda triggers call.
    pub triggers: Option<TriggerFunction>,
    /// Which event a pre-token trigger gets.
    pub token_event: LambdaVersion,
    /// Resource servers, for custom scopes.
    pub resource_servers: Vec<ResourceServer>,
    /// `UsernameConfiguration.CaseSensitive`. Without it, names of federated users are in small letters everywhere but in
    /// tokens.
    pub case_sensitive: bool,
    /// Whether people sign in with a second factor.
    pub mfa: MfaConfiguration,
    /// `AttributesRequireVerificationBeforeUpdate` for `email`: the old address stays until the new one is verified.
    pub attributes_require_verification: bool,
}

/// `MfaConfiguration` of a pool, with authenticator apps as the only second factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MfaConfiguration {
    /// Nobody has one.
    Off,
    /// Who has set one up is asked for it. The hosted UI does not offer to.
    Optional,
    /// Everybody who signs in with a password has to set one up.
    On,
}

impl Default for PoolSettings {
    fn default() -> Self {
        let orders = ResourceServer::new("https://api.example.com", &["orders.read", "orders.write", "users.read"]);
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            host: "127.0.0.1".to_owned(),
            pool_id: "eu-west-1_DevPool01".to_owned(),
            clients: vec![
                AppClient::web("dev-web-client", "dev-web-secret"),
                AppClient::machine(
                    "dev-machine-client",
                    "dev-machine-secret",
                    &[
                        "https://api.example.com/orders.read",
                        "https://api.example.com/orders.write",
                        "https://api.example.com/users.read",
                    ],
                ),
                AppClient::machine("dev-cms-client", "dev-cms-secret", &["cms/read", "cms/write"]),
            ],
            users: PoolUser::seeded(),
            newcomers: Vec::new(),
            triggers: None,
            token_event: LambdaVersion::V2,
            case_sensitive: false,
            resource_servers: vec![orders, ResourceServer::new("cms", &["read", "write"])],
            mfa: MfaConfiguration::Off,
            attributes_require_verification: false,
        }
    }
}

impl PoolSettings {
    /// The default, with the web client registered for a service at `public_url`, and for an acceptance run.
    pub fn for_service(public_url: &str) -> Self {
        let mut settings = Self::default();
        let base = public_url.trim_end_matches('/');
        for client in &mut settings.clients {
            if client.id == "dev-web-client" {
                client.callback_urls.push(format!("{base}/auth/signin/callback"));
                client.logout_urls.push(format!("{base}/auth/signout/callback"));
                client.callback_urls.push("http://localhost:8085/callback".to_owned());
                client.logout_urls.push("http://localhost:8085/signed-out".to_owned());
            }
        }
        settings
    }
}

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
        let same = |secret: &String| verify_slices_are_equal(secret.as_bytes(), presented.as_bytes()).is_ok();
        self.secret.as_ref().is_some_and(same)
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
