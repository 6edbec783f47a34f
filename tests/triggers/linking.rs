//! A federated identity becomes a second way in for a native user, and for nobody else's.

use super::*;

fn pre_sign_up(username: &str, attributes: &[(&str, &str)]) -> Value {
    let mut told = json!({
        "email": "Jane@Example.com", "name": "Jane", "email_verified": "true",
        "cognito:email_alias": "", "cognito:phone_number_alias": "",
    });
    for (name, value) in attributes {
        told[*name] = (*value).into();
    }
    let response = json!({ "autoConfirmUser": false, "autoVerifyEmail": false, "autoVerifyPhone": false });
    event("PreSignUp_ExternalProvider", username, json!({ "userAttributes": told, "validationData": {} }), response)
}

fn user(username: &str, status: &str, email: &str, verified: &str) -> Value {
    let attributes = [("sub", username), ("email", email), ("email_verified", verified)];
    let attributes: Vec<Value> = attributes.iter().map(|(n, v)| json!({ "Name": n, "Value": v })).collect();
    json!({ "Username": username, "Attributes": attributes, "Enabled": true, "UserStatus": status, "UserCreateDate": 1.7e9 })
}

fn jane() -> Value {
    user("jane", "CONFIRMED", "jane@example.com", "true")
}

/// The identity that was linked, and to whom.
async fn linked(users: Vec<Value>, event: Value, more: &[(&str, &str)]) -> Option<(String, String, String)> {
    let (old, api) = (Old::knowing_nobody().await, Api::with_users(users).await);
    let answer = triggers(&old, &api, more).answer(event.clone()).await.unwrap();
    assert_eq!(answer, event, "the event passes unchanged");
    let links: Vec<Value> =
        api.calls().into_iter().filter(|(op, _)| op == "AdminLinkProviderForUser").map(|c| c.1).collect();
    assert!(links.len() <= 1);
    let link = links.first()?;
    assert_eq!(link["UserPoolId"], POOL);
    assert_eq!(link["SourceUser"]["ProviderAttributeName"], "Cognito_Subject");
    let text = |pointer: &str| link.pointer(pointer).unwrap().as_str().unwrap().to_owned();
    let destination = text("/DestinationUser/ProviderAttributeValue");
    Some((
        match text("/DestinationUser/ProviderName").as_str() {
            "Cognito" => destination,
            provider => format!("{destination} at {provider}"),
        },
        text("/SourceUser/ProviderName"),
        text("/SourceUser/ProviderAttributeValue"),
    ))
}

fn to_jane(provider: &str, id: &str) -> Option<(String, String, String)> {
    Some(("jane".into(), provider.into(), id.into()))
}

#[tokio::test]
async fn an_identity_is_linked_to_the_one_user_with_its_address() {
    for username in ["Google_108", "google_108"] {
        for event in [pre_sign_up(username, &[]), of_tomorrow(&pre_sign_up(username, &[]))] {
            assert_eq!(linked(vec![jane()], event, &[]).await, to_jane("Google", "108"));
        }
    }
    let (old, api) = (Old::knowing_nobody().await, Api::with_users(vec![jane()]).await);
    triggers(&old, &api, &[]).answer(pre_sign_up("Google_108", &[])).await.unwrap();
    // Filters may mind capital letters.
    let filters: Vec<Value> =
        api.calls().iter().filter(|c| c.0 == "ListUsers").map(|c| c.1["Filter"].clone()).collect();
    assert_eq!(filters, [r#"email = "Jane@Example.com""#, r#"email = "jane@example.com""#]);
}

#[tokio::test]
async fn underscores_in_names_and_ids_confuse_nobody() {
    let link = async |username: &str, providers: &str| {
        linked(vec![jane()], pre_sign_up(username, &[]), &[("LINK_PROVIDERS", providers)]).await
    };
    assert_eq!(link("Acme_SSO_ab", "Acme_SSO").await, to_jane("Acme_SSO", "ab"));
    assert_eq!(link("Acme_SSO_ab", "Acme_SSO,Other").await, to_jane("Acme_SSO", "ab"));
    // It could be `b` at Acme_SSO_a, which nobody named.
    assert_eq!(link("Acme_SSO_a_b", "Acme_SSO").await, None);
    let apart = r#"[{"userId":"a_b","providerName":"Acme_SSO"}]"#;
    let apart = pre_sign_up("Acme_SSO_a_b", &[("identities", apart)]);
    assert_eq!(linked(vec![jane()], apart, &[("LINK_PROVIDERS", "Acme_SSO")]).await, to_jane("Acme_SSO", "a_b"));
    // Either `SSO_a` at Acme or `a` at Acme_SSO.
    assert_eq!(link("Acme_SSO_a", "Acme_SSO,Acme").await, None);
    assert_eq!(link("Acme_SSO_a", "").await, None);
    // Is it `SSO_a` at Acme, or `a` at Acme_SSO, which nobody named?
    assert_eq!(link("Acme_SSO_a", "Acme").await, None);
    assert_eq!(link("Google_SSO_1", "").await, None);
    assert_eq!(link("Acme_", "Acme").await, None);
    assert_eq!(link("Google", "").await, None);
    // The id has lost its capital letters too, perhaps.
    assert_eq!(link("acme_abc", "Acme").await, None);
    assert_eq!(link("Acme_abc", "Acme").await, to_jane("Acme", "abc"));
    let identities = r#"[{"userId":"SSO_a","providerName":"Acme"}]"#;
    let told = pre_sign_up("Acme_SSO_a", &[("identities", identities)]);
    let both = [("LINK_PROVIDERS", "Acme_SSO,Acme")];
    assert_eq!(linked(vec![jane()], told.clone(), &both).await, to_jane("Acme", "SSO_a"));
    // Nobody named it, or only one that the name fits by chance.
    for providers in ["", "Acme_SSO"] {
        assert_eq!(linked(vec![jane()], told.clone(), &[("LINK_PROVIDERS", providers)]).await, None, "{providers}");
    }
}

/// Names of users in a pool that does not mind capitals are in small letters.
#[tokio::test]
async fn a_mapped_subject_says_how_an_id_is_spelled() {
    let link = async |username: &str, subject: &str, providers: &str| {
        let event = pre_sign_up(username, &[("custom:provider_subject", subject)]);
        linked(vec![jane()], event, &[("LINK_PROVIDERS", providers)]).await
    };
    assert_eq!(link("acme_00u1abcd", "00u1AbCd", "Acme").await, to_jane("Acme", "00u1AbCd"));
    assert_eq!(link("signinwithapple_001.ab.02", "001.ab.02", "").await, to_jane("SignInWithApple", "001.ab.02"));
    // It tells `SSO_a` at Acme from `a` at Acme_SSO.
    assert_eq!(link("acme_sso_a", "SSO_a", "Acme_SSO,Acme").await, to_jane("Acme", "SSO_a"));
    assert_eq!(link("acme_sso_a", "A", "Acme_SSO,Acme").await, to_jane("Acme_SSO", "A"));
    // Another person's.
    assert_eq!(link("acme_00u1abcd", "00u1AbCe", "Acme").await, None);
    assert_eq!(link("acme_00u1abcd", "Acme_00u1abcd", "Acme").await, None);
    assert_eq!(link("acme_00u1abcd", "00u1AbCd", "Other").await, None);
}

#[tokio::test]
async fn an_address_that_nobody_vouches_for_links_nothing() {
    for verified in ["false", "", "TRUE", "1"] {
        let event = || pre_sign_up("Google_108", &[("email_verified", verified)]);
        assert_eq!(linked(vec![jane()], event(), &[]).await, None, "{verified}");
        assert_eq!(linked(vec![jane()], event(), &[("LINK_TRUSTED_PROVIDERS", "Facebook")]).await, None);
        assert!(linked(vec![jane()], event(), &[("LINK_TRUSTED_PROVIDERS", "Google")]).await.is_some());
    }
    assert_eq!(linked(vec![jane()], pre_sign_up("Google_108", &[("email", "")]), &[]).await, None);
}

/// Somebody who came from a provider, `jane@example.com` at it.
fn federated(provider: &str, id: &str, verified: &str) -> Value {
    let mut user =
        user(&format!("{}_{id}", provider.to_lowercase()), "EXTERNAL_PROVIDER", "Jane@example.com", verified);
    let identities = json!([{ "userId": id, "providerName": provider, "primary": true }]).to_string();
    user["Attributes"].as_array_mut().unwrap().push(json!({ "Name": "identities", "Value": identities }));
    user
}

#[tokio::test]
async fn only_one_confirmed_native_user_whose_address_is_verified_is_linked_to() {
    let mut dressed_up = federated("Facebook", "7", "true");
    dressed_up["UserStatus"] = "CONFIRMED".into();
    let event = || pre_sign_up("Google_108", &[]);
    for users in [
        vec![],
        vec![jane(), user("jane2", "CONFIRMED", "JANE@example.com", "true")],
        vec![jane(), user("jane2", "CONFIRMED", "JANE@example.com", "true"), federated("Facebook", "7", "true")],
        vec![user("jane", "UNCONFIRMED", "jane@example.com", "true")],
        vec![user("jane", "FORCE_CHANGE_PASSWORD", "jane@example.com", "true")],
        vec![user("jane", "CONFIRMED", "jane@example.com", "false")],
        vec![user("mallory", "CONFIRMED", "mallory@example.com", "true")],
        vec![user("kelvin", "CONFIRMED", "jane@example.com\u{212a}", "true")],
        vec![dressed_up],
    ] {
        assert_eq!(linked(users.clone(), event(), &[]).await, None, "{users:?}");
    }
    let facebook = federated("Facebook", "7", "true");
    let others = vec![facebook, user("mallory", "CONFIRMED", "jane@example.com", "false"), jane()];
    assert_eq!(linked(others, event(), &[]).await, to_jane("Google", "108"));
}

/// An identity that has signed in can never be linked; but another one can be linked to its user.
#[tokio::test]
async fn without_a_native_user_the_one_federated_user_is_linked_to() {
    let event = || pre_sign_up("Google_108", &[]);
    let to_facebook = Some(("7A at Facebook".to_owned(), "Google".to_owned(), "108".to_owned()));
    let facebook = || federated("Facebook", "7A", "true");
    assert_eq!(linked(vec![facebook()], event(), &[]).await, to_facebook);
    // Whoever signs up natively with the address and does not confirm it is nobody.
    let squatter = user("squatter", "UNCONFIRMED", "jane@example.com", "false");
    assert_eq!(linked(vec![squatter, facebook()], event(), &[]).await, to_facebook);
    for users in [
        // Which one?
        vec![facebook(), federated("SignInWithApple", "8", "true")],
        // Nobody vouches for the address.
        vec![federated("Facebook", "7A", "false")],
        // Nobody has named the provider, which may claim any address.
        vec![federated("Acme", "7A", "true")],
        // Google has given the address to another person.
        vec![federated("Google", "107", "true")],
    ] {
        assert_eq!(linked(users.clone(), event(), &[]).await, None, "{users:?}");
    }
    let trusted = [("LINK_TRUSTED_PROVIDERS", "Facebook")];
    assert_eq!(linked(vec![federated("Facebook", "7A", "false")], event(), &trusted).await, to_facebook);
}

#[tokio::test]
async fn a_native_sign_up_is_refused_only_where_it_is_set_up_so() {
    let old = Old::knowing_nobody().await;
    let told = json!({ "email": "JANE@example.com" });
    let sign_up =
        event("PreSignUp_SignUp", "jane", json!({ "userAttributes": told, "validationData": null }), json!({}));
    for (users, setting, refused) in [
        (vec![federated("Google", "7", "true")], "allow", false),
        (vec![federated("Google", "7", "true")], "refuse", true),
        (vec![federated("Google", "7", "false")], "refuse", false),
        (vec![federated("Acme", "7", "true")], "refuse", false),
        // Cognito itself refuses the address when it is to be confirmed.
        (vec![jane()], "refuse", false),
        (vec![], "refuse", false),
    ] {
        let api = Api::with_users(users.clone()).await;
        let answer = triggers(&old, &api, &[("SIGN_UP_DUPLICATES", setting)]).answer(sign_up.clone()).await;
        match answer {
            Ok(answer) => assert!(!refused && answer == sign_up, "{users:?}"),
            Err(refusal) => {
                assert!(refused && refusal.kind() == "AddressTaken", "{users:?}");
                assert_eq!(
                    refusal.to_string(),
                    "There is an account with this e-mail address already: sign in with Google"
                );
            }
        }
        assert_eq!(api.calls().is_empty(), setting == "allow");
    }
    let by_phone = event("PreSignUp_SignUp", "jane", json!({ "userAttributes": {} }), json!({}));
    let api = Api::empty().await;
    assert_eq!(triggers(&old, &api, &[("SIGN_UP_DUPLICATES", "refuse")]).answer(by_phone.clone()).await, Ok(by_phone));
}

#[tokio::test]
async fn a_quotation_mark_in_an_address_finds_nobody_else() {
    let (old, api) = (Old::knowing_nobody().await, Api::with_users(vec![jane()]).await);
    let email = r#"x" or email ^= "\"#;
    triggers(&old, &api, &[]).answer(pre_sign_up("Google_108", &[("email", email)])).await.unwrap();
    let calls = api.calls();
    assert_eq!(calls.len(), 1, "{calls:?}");
    assert_eq!(calls[0].1["Filter"], r#"email = "x\" or email ^= \"\\""#);
}

#[tokio::test]
async fn every_page_of_users_is_read() {
    let old = Old::knowing_nobody().await;
    let paged = |more: bool| {
        Api::scripted(move |operation, input| {
            let second = input.get("PaginationToken").is_some();
            let users = if second { user("jane2", "CONFIRMED", "jane@example.com", "true") } else { jane() };
            let token = (more || !second).then_some("next");
            let page = json!({ "Users": [users], "PaginationToken": token });
            Some((200, if operation == "ListUsers" { page } else { json!({}) }))
        })
    };
    let api = paged(false).await;
    triggers(&old, &api, &[]).answer(pre_sign_up("Google_108", &[("email", "jane@example.com")])).await.unwrap();
    assert_eq!(api.operations(), ["ListUsers", "ListUsers"]);
    let api = paged(true).await;
    let refusal = triggers(&old, &api, &[]).answer(pre_sign_up("Google_108", &[])).await.unwrap_err();
    assert_eq!(refusal.kind(), "Unavailable");
}

#[tokio::test]
async fn what_was_linked_before_is_fine_and_what_cannot_be_known_is_not() {
    let old = Old::knowing_nobody().await;
    let failing = |at: &'static str, kind: &'static str, message: &'static str| {
        Api::scripted(move |operation, _| {
            if operation == at {
                return (kind != "silence").then(|| (400, json!({ "__type": kind, "message": message })));
            }
            Some((200, json!({ "Users": [jane()] })))
        })
    };
    let (list, link) = ("ListUsers", "AdminLinkProviderForUser");
    for (at, kind, message, fine) in [
        (link, "AliasExistsException", "", true),
        (link, "InvalidParameterException", "SourceUser is already linked to DestinationUser", true),
        (link, "InvalidParameterException", "Invalid SourceUser", false),
        (link, "AccessDeniedException", "", false),
        (list, "TooManyRequestsException", "", false),
        (list, "silence", "", false),
    ] {
        let api = failing(at, kind, message).await;
        let triggers = triggers(&old, &api, &[("TRIGGER_TIMEOUT", box_for(kind == "silence"))]);
        let event = pre_sign_up("Google_108", &[]);
        match triggers.answer(event.clone()).await {
            Ok(answer) => assert!(fine && answer == event, "{kind}"),
            Err(refusal) => assert!(!fine && refusal.kind() == "Unavailable", "{kind}"),
        }
    }
}
