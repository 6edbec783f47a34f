//! Renewals: what is in them, rotation, and what is left after a revocation.

use super::report::{AnswerSheet, Verdict};
use super::wire::{WireAnswer, claims};
use super::{AcceptanceRun, reason, verdict};
use crate::domain::session::{Device, Session, SignInContext};
use crate::provider::AuthenticatedUser;
use secrecy::{ExposeSecret, SecretString};

/// Why the rest was not asked.
const NO_RENEWAL: &str = "no renewal succeeded";
const CLAIMS: [&str; 4] = ["refresh.nonce", "refresh.at_hash", "refresh.origin_jti", "refresh.auth_time"];
const AFTER: [&str; 6] =
    ["refresh.rotation", "refresh.reuse", "revoke.refresh_token", "revoke.again", "revoke.refresh", "revoke.userinfo"];

pub(super) async fn ask(run: &AcceptanceRun<'_>, user: AuthenticatedUser, sheet: &mut AnswerSheet) {
    let Some(first) = user.token_set.refresh.clone() else {
        sheet.skip(&[&["refresh.tokens"], &CLAIMS[..], &AFTER].concat(), "the sign-in gave no refresh token");
        return;
    };
    let failed = match renew(run, &first).await {
        Ok(answer) if answer.is_good() => {
            compare(&user, &answer, sheet);
            if let Err(why) = go_on(run, user, &first, answer, sheet).await {
                sheet.skip(&[&["refresh.tokens"], &AFTER[..]].concat(), &why);
            }
            return;
        }
        Ok(answer) => (Verdict::Breaks, answer.summary()),
        Err(why) => (Verdict::NotAsked, why),
    };
    sheet.note("refresh.tokens", failed.0, failed.1);
    sheet.skip(&[&CLAIMS[..], &AFTER].concat(), NO_RENEWAL);
}

async fn renew(run: &AcceptanceRun<'_>, refresh: &SecretString) -> Result<WireAnswer, String> {
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh.expose_secret())];
    run.wire.token(&run.wire.client, &form).await
}

/// The claims of a renewed ID token beside those of the sign-in.
fn compare(user: &AuthenticatedUser, answer: &WireAnswer, sheet: &mut AnswerSheet) {
    let Some(renewed) = answer.text("id_token") else {
        sheet.skip(&CLAIMS, "the renewal gives no ID token");
        return;
    };
    sheet.hide(&renewed);
    let (before, after) = (claims(user.token_set.id.expose_secret()), claims(&renewed));
    for (id, name) in CLAIMS.into_iter().zip(["nonce", "at_hash", "origin_jti", "auth_time"]) {
        let (old, new) = (before.get(name), after.get(name));
        let (verdict, text) = match (old, new) {
            (_, None) if name == "origin_jti" && old.is_some() => (Verdict::Differs, "no"),
            (_, None) => (Verdict::AsExpected, "no"),
            // It belongs to the new access token; the product compares the two.
            (_, Some(_)) if name == "at_hash" => (Verdict::AsExpected, "yes"),
            (Some(old), Some(new)) if old == new => (Verdict::AsExpected, "yes, the same one"),
            (_, Some(_)) if name == "nonce" => (Verdict::Breaks, "another one"),
            (_, Some(_)) => (Verdict::Differs, "another one"),
        };
        sheet.note(id, verdict, text);
    }
}

async fn go_on(
    run: &AcceptanceRun<'_>,
    mut user: AuthenticatedUser,
    first: &SecretString,
    answer: WireAnswer,
    sheet: &mut AnswerSheet,
) -> Result<(), String> {
    let rotated = answer.text("refresh_token").map(SecretString::from);
    let text = if rotated.is_some() { "yes: rotation is on" } else { "no: rotation is off, and the old one stays" };
    sheet.note("refresh.rotation", Verdict::AsExpected, text);
    if let Some(rotated) = &rotated {
        sheet.hide(rotated.expose_secret());
        user.token_set.refresh = Some(rotated.clone());
    }
    let (mut access, mut refresh) = (user.token_set.access.clone(), user.token_set.refresh.clone());
    let token_set = user.token_set.clone();
    match run.provider.refresh(&session(run, user), &token_set).await {
        Ok(renewed) => {
            sheet.note("refresh.tokens", Verdict::AsExpected, "yes");
            (access, refresh) = (renewed.token_set.access, renewed.token_set.refresh);
        }
        Err(failure) => {
            let error = &failure.error;
            sheet.note("refresh.tokens", verdict(error, Verdict::Breaks), reason(error));
            refresh = failure.rotated.or(refresh);
        }
    }
    for token in [Some(&access), refresh.as_ref()].into_iter().flatten() {
        sheet.hide(token.expose_secret());
    }
    let mut newest = refresh.unwrap_or_else(|| first.clone());
    match rotated {
        Some(_) => newest = reuse(run, first, newest, sheet).await?,
        None => sheet.skip(&["refresh.reuse"], "rotation is off"),
    }
    revoke(run, &newest, &access, sheet).await
}

/// A session as the product would have it.
fn session(run: &AcceptanceRun<'_>, user: AuthenticatedUser) -> Session {
    let now = run.clock.now();
    let return_to = run.config.return_to_policy().choose(None);
    Session {
        principal: user.principal,
        tokens: user.tokens,
        sign_in: SignInContext { tag: String::new(), return_to, device: Device::default() },
        started: now,
        renewed: now,
        ends: now + run.config.session.max_age,
        version: 0,
        refresh_version: 0,
    }
}

/// A rotated token once more, at once and after the grace period; the newest that is known to live.
async fn reuse(
    run: &AcceptanceRun<'_>,
    used: &SecretString,
    newest: SecretString,
    sheet: &mut AnswerSheet,
) -> Result<SecretString, String> {
    let mut answer = renew(run, used).await?;
    let mut text = answer.summary();
    if answer.is_good() {
        let wait = run.options.grace;
        (run.say)(&format!("Waiting {} s for the grace period of the rotation to end.", wait.as_secs()));
        tokio::time::sleep(wait).await;
        answer = renew(run, used).await?;
        text = format!("tokens within the grace period; after {} s {}", wait.as_secs(), answer.summary());
    }
    let (mut good, mut alive) = (answer.error().as_deref() == Some("invalid_grant"), newest.clone());
    match renew(run, &newest).await? {
        after if after.is_good() => {
            text += "; the newest one goes on";
            if let Some(rotated) = after.text("refresh_token") {
                sheet.hide(&rotated);
                alive = rotated.into();
            }
        }
        after => {
            good = false;
            text += &format!("; the newest one is dead, too ({})", after.summary());
        }
    }
    sheet.judge("refresh.reuse", good, Verdict::Differs, text);
    Ok(alive)
}

async fn revoke(
    run: &AcceptanceRun<'_>,
    refresh: &SecretString,
    access: &SecretString,
    sheet: &mut AnswerSheet,
) -> Result<(), String> {
    let Some(first) = run.wire.revoke(refresh.expose_secret()).await else {
        let left = ["revoke.refresh_token", "revoke.again", "revoke.refresh", "revoke.userinfo"];
        sheet.skip(&left, "the provider has no revocation endpoint");
        return Ok(());
    };
    let first = first?;
    sheet.judge("revoke.refresh_token", first.status() == 200, Verdict::Breaks, first.summary());
    if !first.is_good() {
        sheet.skip(&["revoke.again", "revoke.refresh", "revoke.userinfo"], "nothing was revoked");
        return Ok(());
    }
    if let Some(again) = run.wire.revoke(refresh.expose_secret()).await {
        let again = again?;
        sheet.judge("revoke.again", again.status() == 200, Verdict::Differs, again.summary());
    }
    let renewed = renew(run, refresh).await?;
    let verdict = if renewed.is_good() { Verdict::Breaks } else { Verdict::Differs };
    sheet.judge("revoke.refresh", renewed.error().as_deref() == Some("invalid_grant"), verdict, renewed.summary());
    match run.wire.userinfo(access).await {
        Some(answer) => {
            let answer = answer?;
            let text = if answer.is_good() { "it still answers".to_owned() } else { answer.summary() };
            sheet.judge("revoke.userinfo", !answer.is_good(), Verdict::Differs, text);
        }
        None => sheet.skip(&["revoke.userinfo"], "the provider has no userinfo endpoint"),
    }
    Ok(())
}
