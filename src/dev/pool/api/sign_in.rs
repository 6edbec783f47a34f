//! Sign-in without a browser: a password, the challenges after it, and refresh tokens. The access tokens of a password
//! have one scope, `aws.cognito.signin.user.admin`.

use super::input;
use crate::dev::pool::challenges::Challenge;
use crate::dev::pool::data::UserAuthentication;
use crate::dev::pool::messages::{ApiError, required};
use crate::dev::pool::passwords;
use crate::dev::pool::settings::{AppClient, OAuthFlow, Rotation};
use crate::dev::pool::state::PoolState;
use crate::dev::pool::tokens;
use crate::dev::pool::users::PoolUser;
use serde_json::{Value, json};

/// What calls the trigger before tokens here, and at GetTokensFromRefreshToken too.
const AUTHENTICATION: &str = "TokenGeneration_Authentication";

pub(super) async fn initiate(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let parameters = &input["AuthParameters"];
    match required(input, "AuthFlow")? {
        "USER_PASSWORD_AUTH" => {
            let (username, password) = (required(parameters, "USERNAME")?, required(parameters, "PASSWORD")?);
            let client = input::client_of(pool, input, username, &parameters["SECRET_HASH"])?;
            if client.flow != OAuthFlow::Code {
                return Err(disabled_flow("USER_PASSWORD_AUTH"));
            }
            let user = passwords::authenticate(pool, &client.id, username, password).await?;
            next_step(pool, &client, &user).await
        }
        "REFRESH_TOKEN_AUTH" | "REFRESH_TOKEN" => {
            let client = input::client(pool, input)?;
            if client.rotation != Rotation::Off {
                return Err(disabled_flow("REFRESH_TOKEN_AUTH"));
            }
            let text = required(parameters, "REFRESH_TOKEN")?;
            let (user, authentication) = refreshed_user(pool, &client, text)?;
            input::client_of(pool, input, &user.username, &parameters["SECRET_HASH"])?;
            let authentication = before_tokens(pool, "TokenGeneration_RefreshTokens", &user, authentication).await?;
            Ok(result(pool, &client, &user, &authentication, None))
        }
        other => Err(disabled_flow(other)),
    }
}

fn disabled_flow(name: &str) -> ApiError {
    ApiError::invalid_parameter(format!("{name} flow not enabled for this client"))
}

pub(super) async fn respond(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let responses = &input["ChallengeResponses"];
    let typed = required(responses, "USERNAME")?;
    let client = input::client_of(pool, input, typed, &responses["SECRET_HASH"])?;
    let challenge = match required(input, "ChallengeName")? {
        "NEW_PASSWORD_REQUIRED" => Challenge::NewPassword,
        "SOFTWARE_TOKEN_MFA" => Challenge::SoftwareToken,
        "MFA_SETUP" => Challenge::SoftwareTokenReady,
        other => return Err(ApiError::invalid_parameter(format!("Challenge {other} is not supported."))),
    };
    let id = required(input, "Session")?;
    let now = pool.now();
    let user = {
        let data = pool.data();
        let expired = || ApiError::not_authorized("Invalid session for the user, session is expired.");
        let session = data.challenges.get(id, now).ok_or_else(expired)?;
        let user = data.native_user(typed).filter(|user| user.enabled && user.username == session.username);
        let user = user.filter(|_| session.client_id == client.id && session.challenge == challenge);
        user.cloned().ok_or_else(|| ApiError::not_authorized("Invalid session for the user."))?
    };
    let user = match challenge {
        Challenge::NewPassword => {
            let user = passwords::replace_temporary(pool, &user.username, required(responses, "NEW_PASSWORD")?)?;
            pool.data().challenges.close(id);
            return next_step(pool, &client, &user).await;
        }
        Challenge::SoftwareToken => {
            let code = required(responses, "SOFTWARE_TOKEN_MFA_CODE")?;
            let mut data = pool.data();
            let stored = data.user_mut(&user.username).ok_or_else(ApiError::user_not_found)?;
            stored.software_token.check(code, now)?;
            user
        }
        _ => user,
    };
    pool.data().challenges.close(id);
    signed_in(pool, &client, &user).await
}

/// The tokens, or the challenge that is left.
async fn next_step(pool: &PoolState, client: &AppClient, user: &PoolUser) -> Result<Value, ApiError> {
    let Some(challenge) = passwords::next_challenge(pool, user) else { return signed_in(pool, client, user).await };
    let mut parameters = json!({ "USER_ID_FOR_SRP": user.username });
    let name = match challenge {
        Challenge::ConfirmSignUp => return Err(ApiError::new("UserNotConfirmedException", "User is not confirmed.")),
        Challenge::NewPassword => {
            parameters["requiredAttributes"] = "[]".into();
            parameters["userAttributes"] = json!(user.attributes).to_string().into();
            "NEW_PASSWORD_REQUIRED"
        }
        Challenge::SoftwareTokenSetup => {
            parameters["MFAS_CAN_SETUP"] = r#"["SOFTWARE_TOKEN_MFA"]"#.into();
            "MFA_SETUP"
        }
        _ => "SOFTWARE_TOKEN_MFA",
    };
    let session = pool.data().challenges.open(&client.id, &user.username, challenge, pool.now());
    Ok(json!({ "ChallengeName": name, "Session": session, "ChallengeParameters": parameters }))
}

async fn signed_in(pool: &PoolState, client: &AppClient, user: &PoolUser) -> Result<Value, ApiError> {
    let called = pool.triggers.post_authentication(&client.id, user).await;
    called.map_err(|failure| failure.exception(ApiError::not_authorized("User is not allowed.")))?;
    let now = pool.now();
    let scopes = vec!["aws.cognito.signin.user.admin".to_owned()];
    let authentication = UserAuthentication::new(&client.id, &user.username, scopes, now);
    let authentication = before_tokens(pool, AUTHENTICATION, user, authentication).await?;
    let expires_at = now.saturating_add(client.refresh_token_seconds);
    let refresh_token = pool.data().issue_refresh_token(authentication.clone(), expires_at);
    Ok(result(pool, client, user, &authentication, Some(refresh_token)))
}

/// Asks the trigger before tokens.
async fn before_tokens(
    pool: &PoolState,
    source: &str,
    user: &PoolUser,
    authentication: UserAuthentication,
) -> Result<UserAuthentication, ApiError> {
    let UserAuthentication { client_id, scopes, .. } = &authentication;
    let overrides = pool.triggers.token_generation(source, client_id, user, scopes).await;
    let overrides = overrides.map_err(|failure| failure.exception(ApiError::not_authorized("User is not allowed.")))?;
    Ok(UserAuthentication { overrides, ..authentication })
}

fn result(
    pool: &PoolState,
    client: &AppClient,
    user: &PoolUser,
    authentication: &UserAuthentication,
    refresh_token: Option<String>,
) -> Value {
    let access_token = tokens::access_token(pool, client, user, authentication);
    let mut tokens = json!({
        "IdToken": tokens::id_token(pool, client, user, authentication, None, &access_token),
        "AccessToken": access_token,
        "ExpiresIn": client.access_token_seconds,
        "TokenType": "Bearer",
    });
    if let Some(refresh_token) = refresh_token {
        tokens["RefreshToken"] = refresh_token.into();
    }
    json!({ "AuthenticationResult": tokens, "ChallengeParameters": {} })
}

/// The owner of a refresh token of this client.
fn refreshed_user(
    pool: &PoolState,
    client: &AppClient,
    text: &str,
) -> Result<(PoolUser, UserAuthentication), ApiError> {
    let now = pool.now();
    let data = pool.data();
    if data.is_revoked(text) {
        return Err(ApiError::not_authorized("Refresh Token has been revoked"));
    }
    let invalid = || ApiError::not_authorized("Invalid Refresh Token");
    let token = data.refresh_token(text, now).ok_or_else(invalid)?;
    let authentication = Some(token.authentication).filter(|authentication| authentication.client_id == client.id);
    let authentication = authentication.ok_or_else(invalid)?;
    let user = data.user(&authentication.username).ok_or_else(invalid)?;
    if !user.enabled {
        return Err(ApiError::not_authorized("User is disabled."));
    }
    Ok((user.clone(), authentication))
}

/// With a new refresh token where the app client has rotation on.
pub(super) async fn tokens_from_refresh_token(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let client = client_with_secret(pool, input)?;
    let text = required(input, "RefreshToken")?;
    let now = pool.now();
    if pool.data().is_superseded(text, now) {
        return Err(ApiError::new("RefreshTokenReuseException", "Refresh token has been used already"));
    }
    let (user, authentication) = refreshed_user(pool, &client, text)?;
    let authentication = before_tokens(pool, AUTHENTICATION, &user, authentication).await?;
    let rotated = match client.rotation {
        Rotation::Off => None,
        Rotation::On { grace_seconds } => pool.data().rotate_refresh_token(text, now, grace_seconds),
    };
    let mut output = result(pool, &client, &user, &authentication, rotated);
    output.as_object_mut().map(|output| output.remove("ChallengeParameters"));
    Ok(output)
}

pub(super) fn revoke(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let client = client_with_secret(pool, input)?;
    let token = required(input, "Token")?;
    if !client.revocation {
        return Err(ApiError::new("UnsupportedOperationException", "Token revocation is not enabled for the client"));
    }
    // Three parts are a signed token; refresh tokens have five.
    if token.split('.').count() == 3 {
        return Err(ApiError::new("UnsupportedTokenTypeException", "Unsupported token type"));
    }
    pool.data().revoke(token, &client.id);
    Ok(json!({}))
}

/// These two operations take the secret itself.
fn client_with_secret(pool: &PoolState, input: &Value) -> Result<AppClient, ApiError> {
    let client = input::client(pool, input)?;
    let presented = input["ClientSecret"].as_str().unwrap_or_default();
    let proved = client.secret.is_none() || client.knows_secret(presented);
    proved.then_some(client).ok_or_else(|| ApiError::new("UnauthorizedException", "Invalid client secret"))
}
