//! Lambda triggers: whom the pool asks in the middle of a sign-in, in Cognito's order and with its patience.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::admin;
use super::random;
use super::state::PoolState;
use super::users::PoolUser;

/// How long Cognito waits.
const PATIENCE: Duration = Duration::from_secs(5);

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

/// What the user sees when a trigger fails.
pub(super) enum TriggerFailure {
    /// The usual words for a wrong password.
    Refused,
    /// Cognito's own words around the function's.
    Because(String),
}

/// A user nobody here knows signs in with a password. The name of the user who exists from now on.
pub(super) async fn migrate(
    pool: &PoolState,
    client_id: &str,
    typed: &str,
    password: &str,
) -> Result<String, TriggerFailure> {
    if pool.triggers.is_none() {
        return Err(TriggerFailure::Refused);
    }
    let request = json!({ "password": password, "validationData": null, "userAttributes": null });
    let unset = json!({
        "userAttributes": null,
        "forceAliasCreation": null,
        "finalUserStatus": null,
        "messageAction": null,
        "desiredDeliveryMediums": null,
    });
    let answer = call(pool, "UserMigration_Authentication", client_id, typed, request, unset).await?;
    let told = answer.pointer("/response/userAttributes").and_then(Value::as_object).filter(|told| !told.is_empty());
    let Some(told) = told else { return Err(TriggerFailure::Refused) };
    let mut user = PoolUser::native(typed, password, &random::uuid());
    for (name, value) in told {
        let value = value.as_str().unwrap_or_default();
        match name.as_str() {
            "username" => value.clone_into(&mut user.username),
            name => drop(user.attributes.insert(name.to_owned(), value.to_owned())),
        }
    }
    user.confirmed = answer.pointer("/response/finalUserStatus").is_some_and(|status| status == "CONFIRMED");
    let mut world = pool.world();
    let name = user.username.clone();
    if world.user(&name).is_none() {
        world.users.push(user);
    }
    Ok(name)
}

/// Somebody whom a provider knows, and the pool does not, signs in. The name of the user to sign in as: the one whom
/// a trigger has linked the identity to, or a new one.
pub(super) async fn sign_up(pool: &PoolState, client_id: &str, newcomer: PoolUser) -> Result<String, TriggerFailure> {
    let mut attributes = json!(newcomer.attributes);
    attributes["cognito:email_alias"] = "".into();
    attributes["cognito:phone_number_alias"] = "".into();
    let request = json!({ "userAttributes": attributes, "validationData": {} });
    let unset = json!({ "autoConfirmUser": false, "autoVerifyEmail": false, "autoVerifyPhone": false });
    call(pool, "PreSignUp_ExternalProvider", client_id, &newcomer.username, request, unset).await?;
    let username = newcomer.username.clone();
    let request = json!({ "userAttributes": admin::told_to_triggers(&newcomer) });
    if let Some(linked) = pool.world().sign_up(newcomer) {
        return Ok(linked);
    }
    call(pool, "PostConfirmation_ConfirmSignUp", client_id, &username, request, json!({})).await?;
    Ok(username)
}

/// A federated user signs in again.
pub(super) async fn signed_in(pool: &PoolState, client_id: &str, username: &str) -> Result<(), TriggerFailure> {
    let attributes = pool.world().user(username).map(admin::told_to_triggers).unwrap_or_default();
    let request = json!({ "userAttributes": attributes, "newDeviceUsed": false });
    call(pool, "PostAuthentication_Authentication", client_id, username, request, json!({})).await.map(drop)
}

async fn call(
    pool: &PoolState,
    source: &str,
    client_id: &str,
    username: &str,
    request: Value,
    response: Value,
) -> Result<Value, TriggerFailure> {
    let event = json!({
        "version": "1",
        "triggerSource": source,
        "region": pool.pool_id.split('_').next(),
        "userPoolId": pool.pool_id,
        "userName": username,
        "callerContext": { "awsSdkVersion": "aws-sdk-unknown-unknown", "clientId": client_id },
        "request": request,
        "response": response,
    });
    let Some(TriggerFunction(function)) = &pool.triggers else { return Ok(event) };
    let trigger = source.split('_').next().unwrap_or_default();
    let because = |message: &str| TriggerFailure::Because(format!("{trigger} failed with error {message}."));
    match tokio::time::timeout(PATIENCE, function(event)).await {
        Ok(Ok(answer)) if answer.get("response").is_some_and(Value::is_object) => Ok(answer),
        Ok(Ok(_)) => Err(TriggerFailure::Because("Unrecognizable lambda output".to_owned())),
        Ok(Err(error)) if error.refused => Err(TriggerFailure::Refused),
        Ok(Err(error)) => Err(because(&error.message)),
        Err(_) => Err(because("the function timed out")),
    }
}
