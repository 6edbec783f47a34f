//! Tokens for programs, with the first configured upstream. Cognito bills each token that it gives: two or three,
//! and five if it gives tokens for scopes that it should refuse.

use super::report::{AnswerSheet, Verdict};
use super::wire::{WireAnswer, WireClient, claims};
use super::{AcceptanceRun, MADE_UP, reason, verdict};
use crate::domain::machine::{Scopes, TokenHolder, UpstreamRequest};
use serde_json::Value;

const QUESTIONS: [&str; 5] =
    ["machine.token", "machine.scope.unknown", "machine.scope.mixed", "machine.scope.openid", "machine.resource"];

pub(super) async fn ask(run: &AcceptanceRun<'_>, sheet: &mut AnswerSheet) {
    let Some((name, upstream)) = run.config.machine.upstreams().next() else {
        return sheet.skip(&QUESTIONS, "no machine.upstream is configured");
    };
    let everything = UpstreamRequest { scopes: Scopes::new(Vec::<String>::new()), resource: None };
    let holder = TokenHolder::Upstream { on_behalf_of: None };
    let token = match run.provider.client_credentials(upstream, everything, holder).await {
        Ok(token) => token,
        Err(error) => {
            let text = format!("machine.upstream {name}: {}", reason(&error));
            sheet.note("machine.token", verdict(&error, Verdict::Breaks), text);
            return sheet.skip(&QUESTIONS, "the pool gave no token");
        }
    };
    sheet.hide(token.expose());
    let granted = token.scopes.iter().count();
    let text = format!("yes (machine.upstream {name}): {granted} scopes where none was asked for");
    sheet.note("machine.token", Verdict::AsExpected, text);
    let client = WireClient { id: upstream.client_id.clone(), secret: Some(upstream.secret.clone()) };
    let good = token.scopes.iter().next().unwrap_or_default().to_owned();
    if let Err(why) = scopes(run, &client, &good, sheet).await {
        sheet.skip(&QUESTIONS, &why);
    }
}

async fn scopes(
    run: &AcceptanceRun<'_>,
    client: &WireClient,
    good: &str,
    sheet: &mut AnswerSheet,
) -> Result<(), String> {
    let unknown = format!("{MADE_UP}/no-such-scope");
    let answer = request(run, client, &unknown, None).await?;
    sheet.judge("machine.scope.unknown", !answer.is_good(), Verdict::Differs, outcome(&answer));
    let answer = request(run, client, "openid", None).await?;
    sheet.judge("machine.scope.openid", !answer.is_good(), Verdict::Differs, outcome(&answer));
    if good.is_empty() {
        sheet.skip(&["machine.scope.mixed", "machine.resource"], "the token has no scope to ask for");
        return Ok(());
    }
    let answer = request(run, client, &format!("{good} {unknown}"), None).await?;
    let has = |scope: &str| granted(&answer).split_whitespace().any(|found| found == scope);
    sheet.judge(
        "machine.scope.mixed",
        !has(&unknown),
        Verdict::Differs,
        match answer.is_good() {
            true if has(&unknown) => "a token that has it".to_owned(),
            true => "a token without it".to_owned(),
            false => answer.summary(),
        },
    );
    resource(run, client, good, sheet).await
}

async fn resource(
    run: &AcceptanceRun<'_>,
    client: &WireClient,
    scope: &str,
    sheet: &mut AnswerSheet,
) -> Result<(), String> {
    let clients = run.config.machine.read_clients().unwrap_or_default();
    let Some(resource) = clients.values().find_map(|client| client.resources.first().cloned()) else {
        sheet.skip(&["machine.resource"], "no machine.client is registered with a resource");
        return Ok(());
    };
    let answer = request(run, client, scope, Some(&resource)).await?;
    let token = claims(&answer.text("access_token").unwrap_or_default());
    let has = match token.get("aud") {
        Some(Value::Array(all)) => all.iter().any(|aud| aud == resource.as_str()),
        Some(one) => one == resource.as_str(),
        None => false,
    };
    let text = match (answer.is_good(), has) {
        (true, true) => "yes".to_owned(),
        (true, false) => "no".to_owned(),
        (false, _) => answer.summary(),
    };
    sheet.judge("machine.resource", has, Verdict::Differs, text);
    Ok(())
}

async fn request(
    run: &AcceptanceRun<'_>,
    client: &WireClient,
    scope: &str,
    resource: Option<&str>,
) -> Result<WireAnswer, String> {
    let mut form = vec![("grant_type", "client_credentials"), ("scope", scope)];
    form.extend(resource.map(|resource| ("resource", resource)));
    run.wire.token(client, &form).await
}

fn outcome(answer: &WireAnswer) -> String {
    if answer.is_good() { "a token".to_owned() } else { answer.summary() }
}

/// The scopes of a token.
fn granted(answer: &WireAnswer) -> String {
    let claims = claims(&answer.text("access_token").unwrap_or_default());
    claims.get("scope").and_then(Value::as_str).unwrap_or_default().to_owned()
}
