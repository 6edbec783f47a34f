//! Lambda triggers: the function that Cognito calls in the middle of a sign-in, with an event for each trigger.
//!
//! | trigger | when |
//! |---|---|
//! | `UserMigration_Authentication` | a user name that the pool does not have signs in with a password |
//! | `UserMigration_ForgotPassword` | a user name that the pool does not have has forgotten the password |
//! | `PreSignUp_ExternalProvider` | an identity that the pool does not have comes from an identity provider |
//! | `PreSignUp_SignUp`, `PreSignUp_AdminCreateUser` | somebody signs up, or is created by an administrator |
//! | `PostConfirmation_ConfirmSignUp` | that identity has become a user; a code has confirmed a sign-up |
//! | `PostConfirmation_ConfirmForgotPassword` | a code has set a new password |
//! | `PostAuthentication_Authentication` | a federated user signs in again, so not at the first time; a native one at the API |
//!
//! Those before tokens are in `token_trigger`.

use super::messages::ApiError;
use super::random;
use super::users::{PoolUser, UserStatus};
use serde_json::{Map, Value, json};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// How long Cognito waits for a function.
const TIMEOUT: Duration = Duration::from_secs(5);

type TriggerFuture = Pin<Box<dyn Future<Output = Result<Value, TriggerError>> + Send>>;

/// The function behind all triggers: an event in, the event back with its `response` filled in.
#[derive(Clone)]
pub struct TriggerFunction(Arc<dyn Fn(Value) -> TriggerFuture + Send + Sync>);

/// What a function fails with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TriggerError {
    /// Whether it means "no such user, or another password" rather than "I do not know".
    pub refused: bool,
    /// Its text.
    pub message: String,
}

impl TriggerFunction {
    /// Events go to `call`.
    pub fn new<F, A>(call: F) -> Self
    where
        F: Fn(Value) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Value, TriggerError>> + Send + 'static,
    {
        Self(Arc::new(move |event| Box::pin(call(event))))
    }
}

impl fmt::Debug for TriggerFunction {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("TriggerFunction")
    }
}

/// Why a trigger ends a sign-in.
pub(super) enum InvocationError {
    /// The function refused the user.
    Refused,
    /// It failed: Cognito's words around the function's.
    Failed(String),
}

impl InvocationError {
    /// What the user reads, with words of the caller's for a refusal.
    pub(super) fn message(self, refusal: &str) -> String {
        match self {
            Self::Refused => refusal.to_owned(),
            Self::Failed(message) => message,
        }
    }

    /// The exception of the API, with one of the caller's for a refusal.
    pub(super) fn exception(self, refusal: ApiError) -> ApiError {
        match self {
            Self::Refused => refusal,
            Self::Failed(message) => ApiError::new("UserLambdaValidationException", message),
        }
    }
}

/// `LambdaVersion` of a pre-token trigger: the version of its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LambdaVersion {
    /// Changes the ID token.
    V1,
    /// Changes both tokens.
    V2,
    /// The same, and the tokens of machines.
    V3,
}

/// The triggers of one pool.
pub(super) struct LambdaTriggers {
    pub(super) pool_id: String,
    pub(super) token_event: LambdaVersion,
    /// Without one, nobody migrates and everybody else may sign in.
    pub(super) function: Option<TriggerFunction>,
}

impl LambdaTriggers {
    /// The user whom the function knows by this name and password; without a password, by the name.
    pub(super) async fn user_migration(
        &self,
        client_id: &str,
        username: &str,
        password: Option<&str>,
    ) -> Result<PoolUser, InvocationError> {
        let mut request = json!({ "validationData": null, "userAttributes": null });
        let source = match password {
            Some(password) => {
                request["password"] = password.into();
                "UserMigration_Authentication"
            }
            None => "UserMigration_ForgotPassword",
        };
        let unset = json!({
            "userAttributes": null,
            "forceAliasCreation": null,
            "finalUserStatus": null,
            "messageAction": null,
            "desiredDeliveryMediums": null,
        });
        let event = self.call(source, client_id, username, request, unset).await?;
        let response = &event["response"];
        let attributes = response["userAttributes"].as_object().filter(|attributes| !attributes.is_empty());
        // Nobody knows the password of a user who has forgotten it.
        let password = password.map_or_else(|| random::text(32), str::to_owned);
        let mut user = PoolUser::native(username, &password, &random::uuid());
        for (name, value) in attributes.ok_or(InvocationError::Refused)? {
            let value = value.as_str().unwrap_or_default().to_owned();
            match name.as_str() {
                "username" => user.username = value,
                name => drop(user.attributes.insert(name.to_owned(), value)),
            }
        }
        let confirmed = response["finalUserStatus"] == "CONFIRMED";
        user.status = if confirmed { UserStatus::Confirmed } else { UserStatus::ResetRequired };
        Ok(user)
    }

    /// Whether somebody may become a user. The answer is the `response` of the event.
    pub(super) async fn pre_sign_up(
        &self,
        source: &str,
        client_id: &str,
        user: &PoolUser,
    ) -> Result<Value, InvocationError> {
        let mut attributes = json!(user.attributes);
        attributes["cognito:email_alias"] = "".into();
        attributes["cognito:phone_number_alias"] = "".into();
        let request = json!({ "userAttributes": attributes, "validationData": {} });
        let unset = json!({ "autoConfirmUser": false, "autoVerifyEmail": false, "autoVerifyPhone": false });
        let event = self.call(source, client_id, &user.username, request, unset).await?;
        Ok(event["response"].clone())
    }

    /// After a sign-up, and after a new password.
    pub(super) async fn post_confirmation(
        &self,
        source: &str,
        client_id: &str,
        user: &PoolUser,
    ) -> Result<(), InvocationError> {
        let request = json!({ "userAttributes": event_attributes(user) });
        self.call(source, client_id, &user.username, request, json!({})).await.map(drop)
    }

    /// After every later sign-in of a federated user, and every sign-in at the API.
    pub(super) async fn post_authentication(&self, client_id: &str, user: &PoolUser) -> Result<(), InvocationError> {
        let request = json!({ "userAttributes": event_attributes(user), "newDeviceUsed": false });
        self.call("PostAuthentication_Authentication", client_id, &user.username, request, json!({})).await.map(drop)
    }

    /// The event as the function returns it; as it was sent, where there is no function.
    pub(super) async fn call(
        &self,
        source: &str,
        client_id: &str,
        username: &str,
        request: Value,
        response: Value,
    ) -> Result<Value, InvocationError> {
        let before_tokens = source.starts_with("TokenGeneration_");
        let version = match self.token_event {
            LambdaVersion::V2 if before_tokens => "2",
            LambdaVersion::V3 if before_tokens => "3",
            _ => "1",
        };
        let event = json!({
            "version": version,
            "triggerSource": source,
            "region": self.pool_id.split('_').next(),
            "userPoolId": self.pool_id,
            "userName": username,
            "callerContext": { "awsSdkVersion": "aws-sdk-unknown-unknown", "clientId": client_id },
            "request": request,
            "response": response,
        });
        let Some(TriggerFunction(function)) = &self.function else { return Ok(event) };
        let trigger = if before_tokens { "PreTokenGeneration" } else { source.split('_').next().unwrap_or_default() };
        let failed = |message: &str| InvocationError::Failed(format!("{trigger} failed with error {message}."));
        match tokio::time::timeout(TIMEOUT, function(event)).await {
            Ok(Ok(event)) if event["response"].is_object() => Ok(event),
            Ok(Ok(_)) => Err(InvocationError::Failed("Unrecognizable lambda output".to_owned())),
            Ok(Err(error)) if error.refused => Err(InvocationError::Refused),
            Ok(Err(error)) => Err(failed(&error.message)),
            Err(_) => Err(failed("the function timed out")),
        }
    }
}

pub(super) fn event_attributes(user: &PoolUser) -> Map<String, Value> {
    let status = ("cognito:user_status", user.user_status().to_owned());
    user.all_attributes().chain([status]).map(|(name, value)| (name.to_owned(), value.into())).collect()
}
