//! `auth-api dev --callback URL`: another program has the dev pool for its Cognito.

use super::Dev;
use crate::real::{component, installed};
use crate::support::process::run;
use crate::support::{Browser, free_port, param, until};
use openidconnect::core::{CoreAuthenticationFlow, CoreClient, CoreProviderMetadata, CoreUserInfoClaims};
use openidconnect::{
    AuthorizationCode, ClientId, ClientSecret, CsrfToken, HttpRequest, HttpResponse, IssuerUrl, Nonce,
    OAuth2TokenResponse, PkceCodeChallenge, RedirectUrl, Scope, TokenResponse,
};
use std::process::{Child, Command};

const CALLBACK: &str = "http://localhost:3000/callback";

/// How the other program sends its requests.
async fn send(request: HttpRequest) -> Result<HttpResponse, std::io::Error> {
    let (head, body) = request.into_parts();
    let (browser, url) = (Browser::new(), head.uri.to_string());
    let answer = browser.send(head.method, &url, |call| call.headers(head.headers).body(body)).await;
    let mut response = http::Response::builder().status(answer.status);
    response.headers_mut().unwrap().extend(answer.headers);
    Ok(response.body(answer.body.into_bytes()).unwrap())
}

/// openidconnect in the hands of somebody who knows the banner only.
#[tokio::test]
async fn a_program_with_a_library_of_its_own_signs_people_in() {
    let folder = tempfile::tempdir().unwrap();
    let signed_out = "http://localhost:3000/bye";
    let dev = Dev::start(folder.path(), &["--callback", CALLBACK, "--signout", signed_out], &[]);
    let issuer = dev.line("issuer").to_owned();
    assert!(issuer.starts_with("http://127.0.0.1:"), "every program finds it: {issuer}");
    assert_eq!(dev.line("called back"), CALLBACK);

    let provider = CoreProviderMetadata::discover_async(IssuerUrl::new(issuer).unwrap(), &send).await.unwrap();
    let id = ClientId::new(dev.line("client id").to_owned());
    let secret = ClientSecret::new(dev.line("client secret").to_owned());
    let client = CoreClient::from_provider_metadata(provider, id, Some(secret))
        .set_redirect_uri(RedirectUrl::new(CALLBACK.to_owned()).unwrap());
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let flow = CoreAuthenticationFlow::AuthorizationCode;
    let request = client.authorize_url(flow, CsrfToken::new_random, Nonce::new_random);
    let scopes = ["email", "profile"].map(|scope| Scope::new(scope.to_owned()));
    let (url, state, nonce) = request.add_scopes(scopes).set_pkce_challenge(challenge).url();

    let browser = Browser::new();
    let page = browser.get(url.as_str()).await.location();
    let csrf = browser.get(&page).await.between("name=\"_csrf\" value=\"", "\"");
    let form = [("_csrf", csrf.as_str()), ("username", "jane"), ("password", "Passw0rd!")];
    let back = browser.post(&page, &form).await.location();
    assert!(back.starts_with(CALLBACK), "{back}");
    assert_eq!(param(&back, "state").as_ref(), Some(state.secret()));

    let code = AuthorizationCode::new(param(&back, "code").unwrap());
    let tokens = client.exchange_code(code).unwrap().set_pkce_verifier(verifier).request_async(&send).await.unwrap();
    let claims = tokens.id_token().unwrap().claims(&client.id_token_verifier(), &nonce).unwrap();
    assert_eq!(claims.email().map(|email| email.as_str()), Some("jane@example.com"));
    let told: CoreUserInfoClaims = client
        .user_info(tokens.access_token().clone(), Some(claims.subject().clone()))
        .unwrap()
        .request_async(&send)
        .await
        .unwrap();
    assert_eq!(told.email_verified(), Some(true));
    let refresh = client.exchange_refresh_token(tokens.refresh_token().unwrap()).unwrap();
    assert!(refresh.request_async(&send).await.unwrap().id_token().is_some());

    // Not OpenID Connect's sign-out, but Cognito's; and the service beside it works as ever.
    let bye = browser.get(dev.line("sign-out")).await;
    assert_eq!(bye.location(), signed_out);
    assert_eq!(dev.sign_in("erin").await.1, 302);
}

/// The program in the guide.
#[tokio::test]
#[ignore = "needs openid-client"]
async fn the_example_of_the_guide_greets_jane() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port().to_string();
    let callback = CALLBACK.replace("3000", &port);
    let dev = Dev::start(folder.path(), &["--callback", &callback], &[]);
    let module = installed("openid-client", "openid-client/node_modules/openid-client");
    let guide = include_str!("../../src/guide/dev-pool.md");
    let example = guide.split("```js\n").nth(1).unwrap().split("```").next().unwrap();
    assert!(example.contains("http://127.0.0.1:8082/eu-west-1_DevPool01") && example.contains("listen(3000)"));
    let example =
        example.replace("3000", &port).replace("http://127.0.0.1:8082/eu-west-1_DevPool01", dev.line("issuer"));
    let mut node = Command::new(component("node"));
    node.env_clear().current_dir(module.ancestors().nth(2).unwrap()).args(["--input-type=module", "-e", &example]);
    let _node = Program(node.spawn().unwrap());

    let browser = Browser::new();
    let page = format!("http://localhost:{port}/");
    until("the program listens", async || browser.try_get(&page).await.is_some()).await;
    let back = browser.log_in(&browser.get(&page).await.location(), "jane").await;
    assert_eq!(browser.get(&back).await.body, "Hello, jane@example.com");
}

/// Killed when the test is over.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn urls_are_taken_as_cognito_takes_them() {
    let folder = tempfile::tempdir().unwrap();
    for (url, why) in [
        ("http://myapp.test/callback", "http for localhost"),
        ("http://localhost.evil.test/", "http for localhost"),
        ("http://127.0.0.2/", "http for localhost"),
        ("https://myapp.test/#done", "no fragment"),
        ("/callback", "not an absolute URL"),
        ("javascript:alert(1)", "nothing can be sent"),
        ("https://myapp.test/a b", "without spaces"),
    ] {
        let output = run(folder.path(), &["dev", "--port", "0", "--callback", url]);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{url}");
        assert!(told.contains(why), "{url}: {told}");
    }
    let alone = run(folder.path(), &["dev", "--signout", "https://myapp.test/"]);
    assert!(String::from_utf8(alone.stderr).unwrap().contains("--callback"));
    let urls = ["https://myapp.test/a", "http://[::1]:3000/", "http://127.0.0.1/", "myapp://callback"];
    let flags: Vec<&str> = urls.iter().flat_map(|url| ["--callback", url]).collect();
    let dev = Dev::start(folder.path(), &flags, &[]);
    assert_eq!(dev.line("called back"), urls.join(" "));
}
