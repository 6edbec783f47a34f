//! Over https, as in production: the cookies' names and attributes are others than on loopback http.

use crate::support::{Browser, Site};

async fn start(folder: &std::path::Path) -> Site {
    Site::over_https(folder, &[("COOKIES__EXPOSE", "id_token"), ("RETURN_TO__DEFAULT", "https://cms.app.localhost/")])
        .await
}

fn attributes(cookie: &str) -> Vec<&str> {
    cookie.split("; ").skip(1).collect()
}

#[tokio::test]
async fn every_cookie_is_secure_and_prefixed_and_cleared_as_it_was_set() {
    let folder = tempfile::tempdir().unwrap();
    let site = start(folder.path()).await;
    let jane = Browser::trusting(folder.path());
    let begun = jane.get(&site.auth("/auth/signin")).await;
    let pending = begun.set_cookies("__Host-auth-signin-")[0].to_owned();
    for attribute in ["Secure", "HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=608400"] {
        assert!(attributes(&pending).contains(&attribute), "{attribute} in {pending}");
    }
    assert!(!pending.contains("Domain"), "a __Host- cookie has none");

    let callback = jane.log_in(&begun.location(), "jane").await;
    let landed = jane.get(&callback).await;
    assert_eq!((landed.status, landed.location().as_str()), (302, "https://cms.app.localhost/"));
    let cleared = landed.set_cookies("__Host-auth-signin-")[0];
    assert!(cleared.contains("Max-Age=0") && cleared.contains("Secure") && !cleared.contains("Domain"), "{cleared}");
    let shared = ["Secure", "HttpOnly", "SameSite=Lax", "Path=/", "Domain=app.localhost"];
    let session = landed.set_cookies("__Secure-auth=")[0].to_owned();
    let token = landed.set_cookies("__Secure-id_token=")[0].to_owned();
    for attribute in shared {
        assert!(attributes(&session).contains(&attribute), "{attribute} in {session}");
        assert!(attributes(&token).contains(&attribute), "{attribute} in {token}");
    }
    assert_eq!(jane.validate(&site).await.json()["username"], "jane");

    let out = jane.post(&site.auth("/auth/signout"), &[("return_to", "https://cms.app.localhost/")]).await;
    for name in ["__Secure-auth=;", "__Secure-id_token=;"] {
        let removals = out.set_cookies(name);
        assert_eq!(removals.len(), 1, "{name} {:?}", out.headers);
        // Browsers ignore a removal without Secure of a cookie with a __Secure- name.
        assert!(shared.iter().all(|a| attributes(removals[0]).contains(a)) && removals[0].contains("Max-Age=0"));
    }
    assert!(attributes(out.set_cookies("__Host-auth-signout=")[0]).contains(&"Secure"));
    assert_eq!(jane.validate(&site).await.status, 401);
}

#[tokio::test]
async fn browsers_come_back_over_https_only_where_tls_ends_here() {
    let folder = tempfile::tempdir().unwrap();
    let site = start(folder.path()).await;
    for path in ["/", "/validate", "/auth/signin", "/nowhere", "/token"] {
        let answer = Browser::trusting(folder.path()).get(&site.auth(path)).await;
        assert_eq!(answer.header("strict-transport-security"), Some("max-age=31536000"), "{path}");
    }
    let plain = Site::start().await;
    for path in ["/", "/validate"] {
        assert_eq!(Browser::new().get(&plain.auth(path)).await.header("strict-transport-security"), None, "{path}");
    }
}

#[tokio::test]
async fn a_name_that_only_decodes_to_the_session_cookies_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let site = start(folder.path()).await;
    let jane = Browser::trusting(folder.path());
    jane.sign_in(&site, "jane").await;
    let cookies = jane.cookies(&site.auth_url);
    let id = cookies.split("; ").find_map(|c| c.strip_prefix("__Secure-auth=")).unwrap();
    // Browsers guard the prefix as it is written; a page over plain http may set these.
    for name in ["%5F_Secure-auth", "__Secure%2Dauth", "__secure-auth", "__Secure-auth "] {
        let ask = async |path: &str| {
            let shape = |r: reqwest::RequestBuilder| r.header("cookie", format!("{name}={id}"));
            Browser::trusting(folder.path()).send(reqwest::Method::GET, &site.auth(path), shape).await.status
        };
        assert_eq!((ask("/auth/session").await, ask("/validate").await), (401, 401), "{name}");
    }
}

#[tokio::test]
async fn the_names_of_loopback_http_mean_nothing_here() {
    let folder = tempfile::tempdir().unwrap();
    let site = start(folder.path()).await;
    let jane = Browser::trusting(folder.path());
    jane.sign_in(&site, "jane").await;
    let session = jane.cookies(&site.auth_url);
    let id = session.split("; ").find_map(|c| c.strip_prefix("__Secure-auth=")).unwrap();
    let plain = Browser::trusting(folder.path());
    plain.plant(&site.auth_url, &format!("auth={id}; Path=/"));
    assert_eq!(plain.validate(&site).await.status, 401, "a sibling over plain http could have set that one");
}
