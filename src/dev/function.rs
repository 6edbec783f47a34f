//! The triggers in place of a Lambda function, with the environment that one would have.

use super::legacy::LegacyLogin;
use super::pool::{self, TriggerError};
use crate::triggers::{TriggerSettings, Triggers};
use std::net::SocketAddr;
use std::sync::Arc;

/// The triggers for a pool at `pool`, whose users come from `legacy`, and the federated ones into groups.
///
/// # Errors
/// A sentence.
pub(super) fn triggers(
    pool: SocketAddr,
    legacy: &LegacyLogin,
    default_groups: &str,
) -> Result<pool::TriggerFunction, String> {
    let environment = [
        ("LEGACY_LOGIN_URL", legacy.url("/login")),
        ("LEGACY_LOOKUP_URL", legacy.url("/user")),
        ("LEGACY_API_KEY", super::legacy::KEY.to_owned()),
        ("ATTRIBUTE_MAP", "email=mail,email_verified=mailConfirmed,name=fullName,custom:legacy_id=id".to_owned()),
        ("DEFAULT_GROUPS", default_groups.to_owned()),
        ("AWS_REGION", "eu-west-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "dev".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "dev".to_owned()),
        ("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", format!("http://{pool}/")),
    ];
    let settings = TriggerSettings::read(environment.map(|(name, value)| (name.to_owned(), value)));
    let triggers = Arc::new(Triggers::new(settings.map_err(|wrong| wrong.join(" "))?)?);
    Ok(pool::TriggerFunction::new(move |event| {
        let triggers = triggers.clone();
        async move {
            let answer = triggers.answer(event).await;
            answer.map_err(|refusal| TriggerError { refused: refusal.is_no(), message: refusal.to_string() })
        }
    }))
}
