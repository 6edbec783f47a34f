//! People get a new password at the hosted UI.

use super::*;

#[tokio::test]
async fn who_forgot_the_password_sets_a_new_one_with_a_code() {
    let (function, events) = recording();
    let visit = Visit::with(|settings| settings.triggers = Some(function)).await;
    let page = visit.login_page().await;
    assert!(visit.text(&page).await.contains("Forgot your password?"));
    let confirmation = visit.follow(&neighbour(&page, "/forgotPassword"), &[("username", "jane@example.com")]).await;
    assert_eq!(confirmation.path(), "/confirmForgotPassword");
    let code = visit.pool.last_code_for("jane@example.com").unwrap();
    let new = |code, password, again| [("code", code), ("password", password), ("again", again)];
    for (code, password, again, text) in [
        (code.as_str(), "N3wPassw0rd!", "another", "The two passwords are not the same."),
        (&code, "weak", "weak", "Password did not conform with policy: Password not long enough"),
        ("x", "N3wPassw0rd!", "N3wPassw0rd!", "Invalid verification code provided, please try again."),
    ] {
        let html = visit.stay(&confirmation, &new(code, password, again)).await;
        assert!(html.contains(text), "{text}: {html}");
    }
    let html = visit.stay(&confirmation, &new(&code, "N3wPassw0rd!", "N3wPassw0rd!")).await;
    assert!(html.contains("Your password has been changed.") && html.contains("value=\"jane@example.com\""), "{html}");
    let events: Vec<_> = events.lock().unwrap().drain(..).collect();
    assert_eq!(events, [("PostConfirmation_ConfirmForgotPassword".to_owned(), "jane".to_owned())]);

    let html = visit.stay(&page, &[("username", "jane"), ("password", "Passw0rd!")]).await;
    assert!(html.contains("Incorrect username or password."), "{html}");
    visit.follow(&page, &[("username", "jane"), ("password", "N3wPassw0rd!")]).await;
}

#[tokio::test]
async fn a_code_for_a_password_is_good_for_an_hour() {
    let visit = Visit::start().await;
    let page = neighbour(&visit.login_page().await, "/forgotPassword");
    let confirmation = visit.follow(&page, &[("username", "jane")]).await;
    let code = visit.pool.last_code_for("jane@example.com").unwrap();
    visit.pool.shift_clock(3_600);
    let form = [("code", code.as_str()), ("password", "N3wPassw0rd!"), ("again", "N3wPassw0rd!")];
    let html = visit.stay(&confirmation, &form).await;
    assert!(html.contains("Invalid code provided, please request a code again."), "{html}");
}

#[tokio::test]
async fn nobody_learns_who_has_an_account() {
    let visit = Visit::start().await;
    visit.pool.edit_user("erin", |erin| erin.enabled = false);
    let page = neighbour(&visit.login_page().await, "/forgotPassword");
    let mut seen = Vec::new();
    for username in ["jane", "nobody", "erin", "Google_108347000000000000001"] {
        let confirmation = visit.follow(&page, &[("username", username)]).await;
        let html = visit.text(&confirmation).await;
        let csrf = between(&html, "name=\"_csrf\" value=\"", "\"").to_owned();
        seen.push((confirmation, html.replace(&csrf, "")));
    }
    assert!(seen.iter().all(|one| *one == seen[0]), "{seen:?}");
    assert_eq!(visit.pool.sent_codes().len(), 1);
}

#[tokio::test]
async fn a_legacy_user_who_forgot_the_password_is_migrated() {
    let function = TriggerFunction::new(|mut event: Value| async move {
        if event["triggerSource"] == "UserMigration_ForgotPassword" {
            assert!(event["request"].get("password").is_none());
            if event["userName"] != "larry@example.com" {
                return Err(TriggerError { refused: true, message: "no user".to_owned() });
            }
            let attributes = json!({ "email": "larry@example.com", "email_verified": "true" });
            event["response"] = json!({ "userAttributes": attributes, "finalUserStatus": "CONFIRMED" });
        }
        Ok(event)
    });
    let visit = Visit::with(|settings| settings.triggers = Some(function)).await;
    let page = visit.login_page().await;
    let forgot = neighbour(&page, "/forgotPassword");
    visit.follow(&forgot, &[("username", "nobody@example.com")]).await;
    assert!(visit.pool.sent_codes().is_empty());
    let confirmation = visit.follow(&forgot, &[("username", "larry@example.com")]).await;
    let code = visit.pool.last_code_for("larry@example.com").unwrap();
    visit.stay(&confirmation, &[("code", &code), ("password", "N3wPassw0rd!"), ("again", "N3wPassw0rd!")]).await;
    visit.follow(&page, &[("username", "larry@example.com"), ("password", "N3wPassw0rd!")]).await;
}

#[tokio::test]
async fn a_migrated_user_who_is_not_confirmed_has_to_set_a_password() {
    let function = TriggerFunction::new(|mut event: Value| async move {
        let attributes = json!({ "email": "larry@example.com", "email_verified": "true" });
        event["response"] = json!({ "userAttributes": attributes });
        Ok::<_, TriggerError>(event)
    });
    let visit = Visit::with(|settings| settings.triggers = Some(function)).await;
    let page = visit.login_page().await;
    let html = visit.stay(&page, &[("username", "larry@example.com"), ("password", "0ldPassw0rd")]).await;
    assert!(html.contains("Password reset required for the user"), "{html}");
    visit.follow(&neighbour(&page, "/forgotPassword"), &[("username", "larry@example.com")]).await;
    assert!(visit.pool.last_code_for("larry@example.com").is_some());
}
