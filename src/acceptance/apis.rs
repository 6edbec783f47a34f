//! What else the tokens of a sign-in open: userinfo, the user pools API, the identity pool.

use super::report::{AnswerSheet, Verdict};
use super::{AcceptanceRun, reason, verdict};
use crate::provider::{AuthenticatedUser, USER_POOLS_SCOPE};
use serde_json::Value;

pub(super) async fn ask(run: &AcceptanceRun<'_>, user: &AuthenticatedUser, sheet: &mut AnswerSheet) {
    userinfo(run, user, sheet).await;
    let (id, scopes) = ("get_user", &user.principal.scopes);
    if scopes.iter().any(|scope| scope == USER_POOLS_SCOPE) {
        match run.provider.get_user(&user.token_set.access).await {
            Ok(_) => sheet.note(id, Verdict::AsExpected, "yes"),
            Err(error) => sheet.note(id, verdict(&error, Verdict::Differs), reason(&error)),
        }
    } else {
        sheet.skip(&[id], &format!("{USER_POOLS_SCOPE} is not in provider.scopes, or was not granted"));
    }
    let id = "identity_pool.login";
    if !run.provider.has_identity_pool() {
        return sheet.skip(&[id], "aws.identity_pool is not configured");
    }
    match run.provider.identity_id(Some(&user.token_set.id)).await {
        Ok(_) => sheet.note(id, Verdict::AsExpected, "yes"),
        Err(error) => sheet.note(id, verdict(&error, Verdict::Breaks), reason(&error)),
    }
}

async fn userinfo(run: &AcceptanceRun<'_>, user: &AuthenticatedUser, sheet: &mut AnswerSheet) {
    const ID: &str = "userinfo.email_verified";
    let answer = match run.wire.userinfo(&user.token_set.access).await {
        None => return sheet.skip(&[ID], "the provider has no userinfo endpoint"),
        Some(Err(why)) => return sheet.skip(&[ID], &why),
        Some(Ok(answer)) => answer,
    };
    let (verdict, text) = match answer.json().filter(|_| answer.is_good()) {
        None => (Verdict::Differs, answer.summary()),
        Some(claims) => match claims.get("email_verified") {
            None => (Verdict::AsExpected, "it is absent".to_owned()),
            Some(Value::String(_)) => (Verdict::AsExpected, "a text".to_owned()),
            Some(Value::Bool(_)) => (Verdict::AsExpected, "a boolean".to_owned()),
            Some(_) => (Verdict::Differs, "neither".to_owned()),
        },
    };
    sheet.note(ID, verdict, text);
}
