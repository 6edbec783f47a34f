//! People sign up at the hosted UI, and confirm with the code of the mail.

use super::*;

const FORM: [(&str, &str); 4] =
    [("username", ""), ("email", "nora@example.com"), ("name", "Nora New"), ("password", "Passw0rd!")];

/// The form with other values.
fn form<'a>(other: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut fields = FORM.to_vec();
    fields.retain(|(name, _)| !other.iter().any(|(changed, _)| changed == name));
    fields.extend(other);
    fields
}

#[tokio::test]
async fn a_new_user_signs_up_and_is_signed_in() {
    let (function, events) = recording();
    let visit = Visit::with(|settings| settings.triggers = Some(function)).await;
    let page = visit.login_page().await;
    assert!(visit.text(&page).await.contains("/signup?"), "the sign-in page links to it");
    let confirmation = visit.follow(&neighbour(&page, "/signup"), &form(&[])).await;
    assert_eq!(confirmation.path(), "/confirmUser");
    let html = visit.text(&confirmation).await;
    assert!(html.contains("n***@e***") && !html.contains("nora@"), "{html}");
    let sent = visit.pool.sent_codes();
    assert_eq!((sent.len(), &sent[0].purpose, sent[0].code.len()), (1, &CodePurpose::SignUp, 6));

    let wrong = if sent[0].code == "000000" { "000001" } else { "000000" };
    let html = visit.stay(&confirmation, &[("code", wrong)]).await;
    assert!(html.contains("Invalid verification code provided, please try again."), "{html}");
    let html = visit.stay(&confirmation, &[("resend", "true")]).await;
    assert!(html.contains("A new code has been sent."), "{html}");
    let code = visit.pool.last_code_for("nora@example.com").unwrap();
    let callback = visit.follow(&confirmation, &[("code", &code)]).await;
    assert!(callback.as_str().starts_with(CALLBACK), "{callback}");
    assert_eq!(query(&callback, "state").as_deref(), Some("st-1"));
    let (_, tokens) = visit.redeem(&query(&callback, "code").unwrap()).await;
    let id = claims(&tokens["id_token"]);
    assert_eq!((&id["cognito:username"], &id["name"]), (&json!("nora@example.com"), &json!("Nora New")));
    assert_eq!(id["email_verified"], true);
    let events: Vec<_> = events.lock().unwrap().drain(..).map(|(source, _)| source).collect();
    assert_eq!(events, ["PreSignUp_SignUp", "PostConfirmation_ConfirmSignUp", "TokenGeneration_Authentication"]);

    let page = visit.login_page().await;
    let html = visit.stay(&neighbour(&page, "/signup"), &form(&[])).await;
    assert!(html.contains("User already exists"), "{html}");
}

#[tokio::test]
async fn the_form_says_what_is_wrong() {
    let visit = Visit::start().await;
    let page = neighbour(&visit.login_page().await, "/signup");
    for (name, value, text) in [
        ("password", "Sh0rt!", "Password did not conform with policy: Password not long enough"),
        ("password", "lowercase0!", "Password must have uppercase characters"),
        ("password", "UPPERCASE0!", "Password must have lowercase characters"),
        ("password", "NoNumbers!", "Password must have numeric characters"),
        ("password", "NoSymbol00", "Password must have symbol characters"),
        ("email", "nowhere", "Invalid email address format."),
        ("username", "jane", "User already exists"),
        ("username", "a b", "failed to satisfy constraint"),
    ] {
        let html = visit.stay(&page, &form(&[(name, value)])).await;
        assert!(html.contains(text) && html.contains("Nora New"), "{text}: {html}");
    }
    assert!(visit.pool.sent_codes().is_empty());
    let forged = visit.browser.post(page).form(&form(&[("_csrf", "forged")])).send().await.unwrap();
    assert_eq!(forged.status(), 403);
}

#[tokio::test]
async fn who_has_not_confirmed_is_led_to_it_and_codes_end_after_a_day() {
    let visit = Visit::start().await;
    let page = visit.login_page().await;
    visit.follow(&neighbour(&page, "/signup"), &form(&[("username", "nora")])).await;
    let first = visit.pool.last_code_for("nora@example.com").unwrap();
    visit.pool.shift_clock(24 * 3_600);

    let later = Visit { pool: visit.pool.clone(), browser: browser() };
    let page = later.login_page().await;
    let html = later.stay(&neighbour(&page, "/confirmUser"), &[("code", &first)]).await;
    assert!(html.contains("Invalid session for the user, session is expired."), "{html}");
    let html = later.stay(&page, &[("username", "nora"), ("password", "wrong")]).await;
    assert!(html.contains("Incorrect username or password."), "{html}");
    let confirmation = later.follow(&page, &[("username", "nora"), ("password", "Passw0rd!")]).await;
    assert_eq!(confirmation.path(), "/confirmUser");
    let html = later.stay(&confirmation, &[("code", &first)]).await;
    assert!(html.contains("Invalid code provided, please request a code again."), "{html}");
    later.stay(&confirmation, &[("resend", "true")]).await;
    let code = later.pool.last_code_for("nora@example.com").unwrap();
    let callback = later.follow(&confirmation, &[("code", &code)]).await;
    assert!(query(&callback, "code").is_some(), "{callback}");
}

#[tokio::test]
async fn an_address_that_somebody_has_verified_cannot_be_confirmed_again() {
    let visit = Visit::start().await;
    let page = visit.login_page().await;
    let more = [("username", "impostor"), ("email", "jane@example.com")];
    let confirmation = visit.follow(&neighbour(&page, "/signup"), &form(&more)).await;
    let code = visit.pool.last_code_for("jane@example.com").unwrap();
    let html = visit.stay(&confirmation, &[("code", &code)]).await;
    assert!(html.contains("An account with the email already exists."), "{html}");
}

#[tokio::test]
async fn the_pre_sign_up_trigger_refuses_or_confirms() {
    let function = TriggerFunction::new(|mut event: Value| async move {
        if event["request"]["userAttributes"]["email"] == "nora@example.com" {
            event["response"] = json!({ "autoConfirmUser": true, "autoVerifyEmail": true });
            return Ok(event);
        }
        Err(TriggerError { refused: false, message: "only Nora".to_owned() })
    });
    let visit = Visit::with(|settings| settings.triggers = Some(function)).await;
    let page = neighbour(&visit.login_page().await, "/signup");
    let html = visit.stay(&page, &form(&[("email", "olaf@example.com")])).await;
    assert!(html.contains("PreSignUp failed with error only Nora."), "{html}");
    let callback = visit.follow(&page, &form(&[])).await;
    assert!(query(&callback, "code").is_some(), "{callback}");
    assert!(visit.pool.sent_codes().is_empty());
}
