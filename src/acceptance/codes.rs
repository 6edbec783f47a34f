//! What the token endpoint answers to a code that is not used as it should be.

use super::report::{AnswerSheet, Verdict};
use super::wire::{WireAnswer, WireClient};
use super::{AcceptanceRun, MADE_UP};
use crate::domain::machine::new_secret;
use crate::domain::transaction::Transaction;
use secrecy::{ExposeSecret, SecretString};

/// A code, and what belongs to it.
#[derive(Debug)]
pub(super) struct SpentCode {
    code: SecretString,
    verifier: SecretString,
    redirect_uri: String,
}

impl SpentCode {
    pub(super) fn new(run: &AcceptanceRun<'_>, transaction: &Transaction, code: String) -> Self {
        let redirect_uri = run.options.urls.callback.to_string();
        Self { code: code.into(), verifier: transaction.verifier(), redirect_uri }
    }

    async fn spend(&self, run: &AcceptanceRun<'_>, client: &WireClient) -> Result<WireAnswer, String> {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", self.code.expose_secret()),
            ("redirect_uri", self.redirect_uri.as_str()),
            ("code_verifier", self.verifier.expose_secret()),
        ];
        run.wire.token(client, &form).await
    }
}

/// Spends a code in the right way, after the wrong one met `wrong`.
async fn outcome(
    run: &AcceptanceRun<'_>,
    code: &SpentCode,
    wrong: &WireAnswer,
) -> Result<(bool, String, Option<String>), String> {
    if wrong.is_good() {
        return Ok((false, format!("{}: tokens", wrong.status()), wrong.text("refresh_token")));
    }
    let right = code.spend(run, &run.wire.client).await?;
    let spent = if right.is_good() { "the code is not spent" } else { "the code is spent" };
    Ok((true, format!("{}; {spent}", wrong.summary()), right.text("refresh_token")))
}

pub(super) async fn client_secret_and_reuse(
    run: &AcceptanceRun<'_>,
    code: &SpentCode,
    sheet: &mut AnswerSheet,
) -> Result<(), String> {
    let own = &run.wire.client;
    let refresh = match &own.secret {
        Some(_) => {
            let stranger = WireClient { secret: Some(new_secret()), ..own.clone() };
            let wrong = code.spend(run, &stranger).await?;
            let (good, text, refresh) = outcome(run, code, &wrong).await?;
            sheet.judge("code.client_secret", good, Verdict::Breaks, text);
            refresh
        }
        None => {
            sheet.skip(&["code.client_secret"], "the app client is configured without a secret");
            code.spend(run, own).await?.text("refresh_token")
        }
    };
    basic(run, sheet).await?;
    let again = code.spend(run, own).await?;
    let mut text = again.summary();
    if let Some(refresh) = refresh.filter(|_| !again.is_good()) {
        sheet.hide(&refresh);
        let form = [("grant_type", "refresh_token"), ("refresh_token", refresh.as_str())];
        let alive = run.wire.token(own, &form).await?.is_good();
        text += if alive { "; the tokens of its first use go on" } else { "; the tokens of its first use are revoked" };
    }
    sheet.judge("code.reuse", !again.is_good(), Verdict::Breaks, text);
    Ok(())
}

pub(super) async fn pkce(run: &AcceptanceRun<'_>, code: &SpentCode, sheet: &mut AnswerSheet) -> Result<(), String> {
    let verifier = "a".repeat(43).into();
    let altered = SpentCode { code: code.code.clone(), verifier, redirect_uri: code.redirect_uri.clone() };
    let wrong = altered.spend(run, &run.wire.client).await?;
    let (good, text, _) = outcome(run, code, &wrong).await?;
    sheet.judge("code.pkce", good, Verdict::Breaks, text);
    Ok(())
}

pub(super) async fn redirect_uri(
    run: &AcceptanceRun<'_>,
    code: &SpentCode,
    sheet: &mut AnswerSheet,
) -> Result<(), String> {
    let redirect_uri = format!("{}/{MADE_UP}", code.redirect_uri);
    let altered = SpentCode { code: code.code.clone(), verifier: code.verifier.clone(), redirect_uri };
    let wrong = altered.spend(run, &run.wire.client).await?;
    let (good, text, _) = outcome(run, code, &wrong).await?;
    sheet.judge("code.redirect_uri", good, Verdict::Breaks, text);
    Ok(())
}

/// The pair in HTTP Basic as it is, and percent-encoded. A code that nobody was given is enough: the client is judged
/// first.
async fn basic(run: &AcceptanceRun<'_>, sheet: &mut AnswerSheet) -> Result<(), String> {
    const ID: &str = "client.basic";
    let WireClient { id, secret: Some(secret) } = &run.wire.client else {
        sheet.skip(&[ID], "the app client is configured without a secret");
        return Ok(());
    };
    let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let (plain, encoded) =
        (format!("{id}:{}", secret.expose_secret()), format!("{}:{}", encode(id), encode(secret.expose_secret())));
    if plain == encoded {
        sheet.skip(&[ID], "id and secret have no character that the encoding changes");
        return Ok(());
    }
    let form =
        [("grant_type", "authorization_code"), ("code", MADE_UP), ("redirect_uri", run.options.urls.callback.as_str())];
    let takes = async |pair: &str| -> Result<bool, String> {
        let answer = run.wire.token_with_basic(pair, &form).await?;
        Ok(answer.error().as_deref() != Some("invalid_client") && answer.status() != 401)
    };
    let text = match (takes(&plain).await?, takes(&encoded).await?) {
        (true, true) => "it takes both spellings",
        (true, false) => "no: it takes only the plain spelling",
        (false, true) => "yes: it takes only the encoded spelling",
        (false, false) => "it takes no Basic at all",
    };
    sheet.note(ID, Verdict::AsExpected, text);
    Ok(())
}
