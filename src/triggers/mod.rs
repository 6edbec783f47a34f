//! What a Cognito user pool asks us in the middle of a sign-in, through its Lambda triggers: event in, event out.
//!
//! | trigger source | does | if something is away |
//! |---|---|---|
//! | `UserMigration_Authentication` | lets the legacy system judge the password, hands over its user | the sign-in fails, and says so |
//! | `UserMigration_ForgotPassword` | hands over a user with a verified address, or refuses | the same |
//! | `PreSignUp_ExternalProvider` | links a federated identity to the one user with its e-mail address | the sign-up fails: who has signed up once can never be linked |
//! | `PreSignUp_SignUp` | refuses an address that a federated user has, if it is set up so | the sign-up fails |
//! | `PostConfirmation_ConfirmSignUp`, `PostAuthentication_Authentication` | gives a federated user the legacy id and the default groups | logged, and let through |
//! | `TokenGeneration_HostedAuth` | puts both into the token of a first sign-in, where the pool has not read them yet | logged, and let through |
//! | `TokenGeneration_…` of a user | puts the e-mail address into the access token, if it is set up so | |
//! | any other | nothing: the event comes back as it came | |
//!
//! Cognito waits five seconds and may ask again: everything ends within [`TriggerSettings::timeout`], and doing it twice is
//! doing it once. Events are JSON values, not structs, since keys that nobody knows yet must come back too.
//!
//! - [`TriggerSettings`]: what is read from the function's environment, once
//! - [`migrate`], [`link`], [`enrol`], [`token`]: what is decided, as functions without I/O
//! - `legacy`, `user_pools`: the edges
//!
//! The Lambda runtime is in `src/bin/cognito-triggers.rs`; the dev user pool is given the same [`Triggers::answer`].

mod directory;
pub mod enrol;
mod legacy;
pub mod link;
pub mod migrate;
mod refusal;
mod settings;
pub mod token;
mod users_by_email;

pub use crate::outbound::user_pools::UserPools;
pub use legacy::LegacyDirectory;
pub use refusal::TriggerFailure;
pub use settings::{DirectorySettings, TriggerSettings};

use crate::domain::untrusted::UntrustedText;
use crate::domain::user::User;
use crate::outbound::OutboundClient;
use serde_json::{Value, json};
use std::time::Duration;

/// A function sleeps between events, and what is between it and others forgets connections meanwhile.
const IDLE: Duration = Duration::from_secs(10);

/// All triggers of a user pool.
#[derive(Debug)]
pub struct Triggers {
    settings: TriggerSettings,
    http: OutboundClient,
    legacy: LegacyDirectory,
    pools: UserPools,
}

impl Triggers {
    /// Ready for events.
    ///
    /// # Errors
    /// A sentence if the TLS set-up of this machine cannot be loaded.
    pub fn new(settings: TriggerSettings) -> Result<Self, String> {
        let http = OutboundClient::new("auth-api-triggers", settings.timeout, IDLE)?;
        let legacy = LegacyDirectory::new(http.clone(), &settings);
        let pools = UserPools::with_keys(http.clone(), &settings.endpoint, &settings.region, &settings.credentials);
        Ok(Self { settings, http, legacy, pools })
    }

    /// Answers an event with the whole event, its `response` filled in.
    ///
    /// # Errors
    /// [`TriggerFailure`], whose text Cognito shows to the user.
    pub async fn answer(&self, event: Value) -> Result<Value, TriggerFailure> {
        if !event.is_object() {
            return Err(TriggerFailure::Event("it is no object"));
        }
        let source = event.get("triggerSource").and_then(Value::as_str).unwrap_or_default();
        let timeout = self.settings.timeout;
        let late = |_| TriggerFailure::Unavailable(format!("{source}: not done within {timeout:?}"));
        let tell = async {
            if let Some(settings) = &self.settings.directory {
                directory::tell(&self.http, settings, source, &event).await;
            }
        };
        let (answered, ()) = tokio::join!(tokio::time::timeout(timeout, self.answer_to(source, &event)), tell);
        match answered.map_err(late).flatten().inspect_err(log) {
            // Whatever it was: an error here fails the login.
            Err(_) if ["Post", "TokenGeneration_"].iter().any(|kind| source.starts_with(kind)) => Ok(event),
            answered => Ok(answered?.unwrap_or(event)),
        }
    }

    /// The event with its `response`; `None` if it goes back as it came.
    async fn answer_to(&self, source: &str, event: &Value) -> Result<Option<Value>, TriggerFailure> {
        match source {
            "UserMigration_Authentication" => self.migrate_at_sign_in(event).await.map(Some),
            "UserMigration_ForgotPassword" => self.migrate_who_forgot(event).await.map(Some),
            "PreSignUp_ExternalProvider" => self.link(event).await.map(|()| None),
            "PreSignUp_SignUp" if self.settings.refuses_duplicates => self.refuse_duplicate(event).await.map(|()| None),
            "PostAuthentication_Authentication" | "PostConfirmation_ConfirmSignUp" => {
                self.enrol(event).await.map(|()| None)
            }
            "TokenGeneration_ClientCredentials" => Ok(None),
            "TokenGeneration_HostedAuth" => self.complete_token(source, event).await,
            _ if source.starts_with("TokenGeneration_") && self.settings.email_in_access_token => {
                self.complete_token(source, event).await
            }
            _ => Ok(None),
        }
    }

    async fn migrate_at_sign_in(&self, event: &Value) -> Result<Value, TriggerFailure> {
        let (username, password) = migrate::credentials(event)?;
        let found = self.legacy.log_in(username, password).await?.ok_or(TriggerFailure::WrongPassword)?;
        let answer = migrate::accept(event, migrate::attributes(&found, &self.settings)?)?;
        tracing::info!(username = UntrustedText::new(username).as_str(), "user migrated");
        Ok(answer)
    }

    async fn migrate_who_forgot(&self, event: &Value) -> Result<Value, TriggerFailure> {
        let username = migrate::username(event)?;
        let found = self.legacy.look_up(username).await?.ok_or(TriggerFailure::NoUser)?;
        let attributes = migrate::attributes(&found, &self.settings)?;
        migrate::can_be_reached(&attributes)?;
        let answer = migrate::accept(event, attributes)?;
        tracing::info!(username = UntrustedText::new(username).as_str(), "user migrated: password reset required");
        Ok(answer)
    }

    async fn link(&self, event: &Value) -> Result<(), TriggerFailure> {
        let wanted = match link::wanted(event, &self.settings) {
            Ok(wanted) => wanted,
            Err(why) => {
                tracing::info!(reason = why, "identity not linked");
                return Ok(());
            }
        };
        let pool = pool_id(event)?;
        let users = self.pools.users_with_email(pool, &wanted.email).await?;
        let Some(user) = link::destination(&users, &wanted, &self.settings) else {
            let reason = "not exactly one confirmed user has this verified address";
            tracing::info!(reason, "identity not linked");
            return Ok(());
        };
        let linked = self.pools.call("AdminLinkProviderForUser", &link::request(pool, user, &wanted)).await;
        match linked {
            Ok(_) => tracing::info!(sub = user.sub, provider = wanted.provider, "identity linked"),
            Err(failure) if link::is_repeat(&failure) => {
                tracing::info!(sub = user.sub, provider = wanted.provider, "identity already linked");
            }
            Err(failure) => return Err(failure.into()),
        }
        Ok(())
    }

    async fn refuse_duplicate(&self, event: &Value) -> Result<(), TriggerFailure> {
        let user = User::from_trigger(event).map_err(|_| TriggerFailure::Event("it has no user"))?;
        let Some(email) = user.attribute("email") else { return Ok(()) };
        let users = self.pools.users_with_email(pool_id(event)?, email).await?;
        let provider = link::federated(&users, email, &self.settings).next().map(|user| user.provider().to_owned());
        provider.map_or(Ok(()), |provider| Err(TriggerFailure::AddressTaken(provider)))
    }

    async fn enrol(&self, event: &Value) -> Result<(), TriggerFailure> {
        let user = User::from_trigger(event).map_err(|_| TriggerFailure::Event("it has no user"))?;
        let Some(missing) = enrol::missing(&user, &self.settings) else { return Ok(()) };
        let pool = pool_id(event)?;
        let id = async {
            let Some(email) = &missing.legacy_id_of else { return Ok(()) };
            let Some(found) = self.legacy.look_up(email).await? else { return Ok(()) };
            let Some(id) = enrol::legacy_id(&found, email, &self.settings) else { return Ok(()) };
            self.pools.call("AdminUpdateUserAttributes", &enrol::with_id(pool, &user, &id)).await?;
            tracing::info!(sub = user.sub, id = UntrustedText::new(id).as_str(), "legacy id set");
            Ok::<_, TriggerFailure>(())
        };
        let groups = async {
            for group in &missing.groups {
                self.pools.call("AdminAddUserToGroup", &enrol::in_group(pool, &user, group)).await?;
            }
            Ok::<_, TriggerFailure>(())
        };
        // Both to their end: an outage of the one is no reason to go without the other.
        let (id, groups) = tokio::join!(id, groups);
        if let (Err(one), Err(_)) = (&id, &groups) {
            log(one);
        }
        groups.and(id)
    }

    async fn complete_token(&self, source: &str, event: &Value) -> Result<Option<Value>, TriggerFailure> {
        let user = User::from_trigger(event).map_err(|_| TriggerFailure::Event("it has no user"))?;
        let missing = enrol::missing(&user, &self.settings).filter(|_| source == "TokenGeneration_HostedAuth");
        let missing = missing.unwrap_or_default();
        let id = match &missing.legacy_id_of {
            // It was looked up at the same sign-in.
            Some(_) => {
                let input = json!({ "UserPoolId": pool_id(event)?, "Username": user.username });
                let answer = self.pools.call("AdminGetUser", &input).await?;
                let stored = User::from_api(&answer).map_err(|e| TriggerFailure::Unavailable(e.to_string()))?;
                stored.attribute(enrol::LEGACY_ID).map(str::to_owned)
            }
            None => None,
        };
        let email = self.settings.email_in_access_token.then_some(&user);
        Ok(token::with_claims(event, &missing.groups, id.as_deref(), email))
    }
}

fn pool_id(event: &Value) -> Result<&str, TriggerFailure> {
    event.get("userPoolId").and_then(Value::as_str).ok_or(TriggerFailure::Event("it names no user pool"))
}

/// Never with the user name: some people type their password there.
fn log(refusal: &TriggerFailure) {
    match refusal {
        TriggerFailure::Unavailable(why) => {
            tracing::error!(kind = refusal.kind(), reason = UntrustedText::up_to(300, why).as_str(), "trigger failed")
        }
        TriggerFailure::NotConfigured(_) | TriggerFailure::Event(_) => {
            tracing::error!(kind = refusal.kind(), reason = %refusal, "trigger failed")
        }
        other => tracing::info!(kind = other.kind(), reason = %other, "trigger refused"),
    }
}

/// The e-mail address if the pool calls it verified, or if its provider is one whose word is believed.
fn vouched_email<'a>(user: &'a User, provider: &str, trusted: &[String]) -> Option<&'a str> {
    let trusted = trusted.iter().any(|name| name == provider);
    user.verified_email().or_else(|| user.attribute("email").filter(|_| trusted))
}
