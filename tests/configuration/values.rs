//! Single values: the defaults, what people write, what is refused.

use std::time::Duration;

use auth_api::config::{LogFormat, Profile, StoreUrl, Support};

use super::{KEY, KEY_2, good, one_problem, problems};

#[test]
fn defaults_are_those_of_the_contract() {
    let config = good(&[]);
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.server.ops_listen.unwrap().to_string(), "127.0.0.1:9090");
    assert!(config.server.tls().is_none());
    assert_eq!(config.provider.profile, Profile::Cognito);
    assert_eq!(config.provider.scopes, ["openid", "email", "profile"]);
    assert!(config.provider.client_secret.is_none());
    assert!(config.provider.accepted_clients.is_empty() && config.provider.trust_email_from.is_empty());
    assert_eq!(config.provider.timeout, Duration::from_secs(10));
    assert_eq!(config.session.store, StoreUrl::Redb("/etc/auth-api/auth-api.redb".into()));
    assert_eq!(config.session.max_age, Duration::from_secs(30 * 86_400));
    assert_eq!(config.session.idle, None);
    assert_eq!(config.session.refresh_margin, Duration::from_secs(300));
    assert_eq!(config.session.sign_in_timeout, Duration::from_secs(3_600));
    assert!(config.pages.support.is_none());
    assert_eq!((config.session.per_user, config.provider.requests_per_second), (Some(100), 100));
    assert_eq!(good(&[("session.per_user", "0")]).session.per_user, None);
    assert!(config.return_to.default.is_none());
    assert_eq!(config.return_hosts()[0].host, "example.com");
    assert_eq!((config.cookies.expose, config.gateway.forward_tokens), Default::default());
    assert_eq!((config.telemetry.log.as_str(), config.telemetry.format), ("info", LogFormat::Text));
    assert_eq!((config.telemetry.otlp_endpoint, config.telemetry.trace_ratio), (None, 1.0));
}

#[test]
fn trusted_proxies_are_addresses_or_networks_but_not_everybody() {
    assert!(good(&[]).server.trusted_proxies.is_empty());
    let fine = good(&[("server.trusted_proxies", "[\"10.0.0.0/8\", \"192.168.0.7\", \"fd00::/8\", \"::1\"]")]);
    let nets: Vec<_> = fine.server.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(nets, ["10.0.0.0/8", "192.168.0.7/32", "fd00::/8", "::1/128"]);
    for (proxy, words) in [
        ("0.0.0.0/0", "would let anybody claim any address"),
        ("::/0", "would let anybody claim any address"),
        ("10.1.2.3/0", "would let anybody claim any address"),
        ("10.1.2.3/8", "Write `10.0.0.0/8` for the network or `10.1.2.3` for the address"),
        ("::ffff:10.0.0.0/104", "would never fit"),
        ("10.0.0.0/33", "neither an IP address nor a network"),
        ("10.0.0.1:8080", "neither an IP address nor a network"),
        ("proxy.example.com", "neither an IP address nor a network"),
        ("*", "neither an IP address nor a network"),
        ("", "Item 1"),
    ] {
        one_problem(&[("server.trusted_proxies", &format!("[{proxy:?}]"))], "server.trusted_proxies", words);
    }
}

#[test]
fn a_sign_in_may_take_from_a_minute_to_a_day() {
    for (time, seconds) in [("1m", 60), ("10m", 600), ("24h", 86_400), ("1d", 86_400)] {
        let config = good(&[("session.sign_in_timeout", &format!("{time:?}"))]);
        assert_eq!(config.session.sign_in_timeout, Duration::from_secs(seconds));
    }
    for (time, words) in
        [("0s", "1h"), ("59s", "cut off"), ("25h", "what another one began"), ("60", "60"), ("", "empty")]
    {
        one_problem(&[("session.sign_in_timeout", &format!("{time:?}"))], "session.sign_in_timeout", words);
    }
}

#[test]
fn whom_to_ask_is_an_address_that_fits_into_a_link() {
    let support = |text: &str| good(&[("pages.support", &format!("{text:?}"))]).pages.support.unwrap();
    for (text, mail) in [
        ("help@example.com", "help@example.com"),
        ("First.Last+x-y_z@Mail.Example.COM", "First.Last+x-y_z@mail.example.com"),
    ] {
        assert_eq!(support(text), Support::Mail(mail.into()));
    }
    for page in ["https://help.example.com/", "https://help.example.com/a?b=c#d", "http://localhost:3000/help"] {
        assert_eq!(support(page), Support::Page(page.parse().unwrap()));
    }
    for (text, words) in [
        ("", "empty"),
        ("help", "neither an e-mail address nor a web address"),
        ("help.example.com", "neither an e-mail address nor a web address"),
        ("mailto:help@example.com", "without `mailto:`"),
        ("@example.com", "fits into a link"),
        ("a b@example.com", "fits into a link"),
        ("a@b@example.com", "fits into a link"),
        ("a?cc=eve%40evil.test@example.com", "fits into a link"),
        ("a&b@example.com", "fits into a link"),
        (".a@example.com", "fits into a link"),
        ("Help <help@example.com>", "fits into a link"),
        ("help@localhost", "mail host"),
        ("help@[127.0.0.1]", "mail host"),
        ("help@exa mple.com", "host name"),
        ("http://help.example.com/", "plain http"),
        ("https://user:secret@help.example.com/", "user name or password"),
        ("javascript://help.example.com/%0aalert(1)", "https://"),
    ] {
        one_problem(&[("pages.support", &format!("{text:?}"))], "pages.support", words);
    }
}

#[test]
fn cookie_keys_are_long_different_and_random() {
    good(&[("cookies.keys", &format!("[\"{KEY}\", \"{KEY_2}\"]"))]);
    for (keys, words) in [
        ("[]".to_owned(), "empty"),
        ("[\"\"]".to_owned(), "Item 1"),
        ("[\"short\"]".to_owned(), "5 bytes"),
        (format!("[\"{}\"]", &KEY[1..]), "31 bytes"),
        (format!("[\"{}\"]", "a".repeat(40)), "fewer than eight"),
        (format!("[\"{KEY}\", \"{KEY}\"]"), "twice"),
    ] {
        one_problem(&[("cookies.keys", &keys)], "cookies.keys", words);
    }
}

#[test]
fn the_issuer_is_the_one_in_the_tokens() {
    for issuer in [
        "https://cognito-idp.us-gov-west-1.amazonaws.com/us-gov-west-1_AbCdEfGhI",
        "https://issuer-cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEfGhI",
        "https://cognito-idp.cn-north-1.amazonaws.com.cn/cn-north-1_AbCdEfGhI",
    ] {
        assert_eq!(good(&[("provider.issuer", &format!("{issuer:?}"))]).provider.issuer, issuer);
    }
    for (issuer, words) in [
        ("https://acme.auth.eu-west-1.amazoncognito.com", "hosted UI"),
        ("https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEfGhI/", "ends in a slash"),
        ("https://cognito-idp.eu-west-1.amazonaws.com/us-east-1_AbCdEfGhI", "is in region"),
        ("https://cognito-idp.eu-west-1.amazonaws.com/AbCdEfGhI", "not the id"),
        ("https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_", "not the id"),
        ("https://cognito-idp.eu-west-1.amazonaws.com", "not an issuer of Cognito"),
        ("https://login.example.com/", "ends in a slash"),
        ("https://login.example.com", "provider.profile to `oidc`"),
        (
            "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Ab/.well-known/jwks.json",
            "Write `https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Ab`",
        ),
        ("https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Ab?x", "query"),
        ("http://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Ab", "plain http"),
        ("eu-west-1_AbCdEfGhI", "not a web address"),
    ] {
        one_problem(&[("provider.issuer", &format!("{issuer:?}"))], "provider.issuer", words);
    }
    let oidc = ("provider.profile", "\"oidc\"");
    for issuer in ["https://login.example.com", "https://login.example.com/", "https://login.example.com/realms/main"] {
        assert_eq!(good(&[oidc, ("provider.issuer", &format!("{issuer:?}"))]).provider.issuer, issuer);
    }
    one_problem(
        &[oidc, ("provider.issuer", "\"https://acme.auth.eu-west-1.amazoncognito.com\"")],
        "provider.issuer",
        "hosted UI",
    );
}

#[test]
fn other_values_are_refused_with_a_remedy() {
    for (key, value, words) in [
        ("server.validate_timeout", "\"50ms\"", "`3s` suits most"),
        ("server.validate_timeout", "\"2m\"", "Write a time from"),
        ("server.listen", "\":8080\"", "Write `127.0.0.1:8080`"),
        ("server.listen", "\"localhost:8080\"", "IP address and a port"),
        ("server.listen", "\"0.0.0.0\"", "IP address and a port"),
        ("server.listen", "8080", "type integer"),
        ("server.ops_listen", "\"127.0.0.1:8080\"", "same port"),
        ("server.ops_listen", "\"0.0.0.0:8080\"", "same port"),
        ("server.ops_listen", "\"[::]:8080\"", "same port"),
        ("server.ops_listen", "false", "type boolean"),
        ("provider.profile", "\"Cognito\"", "lower case"),
        ("provider.client_id", "\"six seven\"", "cannot be a client id"),
        ("provider.client_id", "\"…\"", "cannot be a client id"),
        ("provider.client_secret", "\"\"", "empty"),
        ("provider.scopes", "[\"email\"]", "`openid` is missing"),
        ("provider.scopes", "[\"OpenID\"]", "`openid` is missing"),
        ("provider.scopes", "[]", "`openid` is missing"),
        ("provider.scopes", "[\"openid email\"]", "item of its own"),
        ("provider.scopes", "[\"openid\", \"\"]", "Item 2"),
        ("provider.scopes", "[\"openid\", \"a\\\"b\"]", "cannot have"),
        ("provider.scopes", "\"openid\"", "in brackets"),
        ("provider.scopes", "[\"openid\", 1]", "other things than strings"),
        ("provider.accepted_clients", "[\"a b\"]", "client id"),
        ("provider.trust_email_from", "[\"*\"]", "no wildcard"),
        ("provider.trust_email_from", "[\"Sign in\"]", "never match"),
        ("provider.accepted_audiences", "[\"*\"]", "no wildcard"),
        ("provider.accepted_audiences", "[\"a b\"]", "cannot be an audience"),
        ("provider.groups_claim", "\"my groups\"", "name of a claim"),
        ("provider.authorize_parameters", "[\"access_type\"]", "with its value"),
        ("provider.authorize_parameters", "[\"=x\"]", "cannot be a parameter"),
        ("provider.authorize_parameters", "[\"a&state=x\"]", "cannot be a parameter"),
        ("provider.authorize_parameters", "[\"a=1\", \"b=1\", \"a=2\"]", "twice"),
        ("provider.authorize_parameters", "[\"scope=openid\"]", "provider.scopes"),
        ("provider.authorize_parameters", "[\"state=x\"]", "sends `state` itself"),
        ("provider.authorize_parameters", "[\"request_uri=urn:x\"]", "itself"),
        ("provider.authorize_parameters", "[\"redirect_uri=https://evil.test\"]", "itself"),
        ("provider.timeout", "\"0s\"", "Under one second"),
        ("provider.timeout", "\"2m\"", "Under one second"),
        ("provider.timeout", "10", "type integer"),
        ("provider.timeout", "\"10\"", "no unit"),
        ("provider.timeout", "\"1h30m\"", "not a duration"),
        ("provider.timeout", "\"-5s\"", "not a duration"),
        ("provider.timeout", "\"10 s\"", "not a duration"),
        ("provider.timeout", "\"s\"", "not a duration"),
        ("provider.timeout", "\"99999999999999999999d\"", "hundred years"),
        ("provider.token_endpoint", "\"http://login.example.com/token\"", "plain http"),
        ("provider.jwks_uri", "\"https://login.example.com/jwks#x\"", "fragment"),
        ("cookies.expose", "[\"refresh_token\"]", "never leaves"),
        ("cookies.expose", "[\"id\"]", "not a token"),
        ("gateway.forward_tokens", "[\"ID_TOKEN\"]", "lower case"),
        ("session.store", "\"memory\"", "`memory:`"),
        ("session.store", "\"redb:\"", "names no file"),
        ("session.store", "\"redb://var/lib/a.redb\"", "plain path"),
        ("session.max_age", "\"0s\"", "the moment it starts"),
        ("session.max_age", "\"500d\"", "400 days"),
        ("session.idle", "\"30d\"", "never end a session"),
        ("session.idle", "\"30s\"", "end sessions that are in use"),
        ("session.refresh_margin", "\"1h\"", "call to the provider"),
        ("session.per_user", "-1", "whole number"),
        ("session.per_user", "1000001", "whole number"),
        ("provider.requests_per_second", "0", "whole number"),
        ("telemetry.log", "\"inof\"", "not a log level"),
        ("telemetry.log", "\"auth_api=loud\"", "not a log filter"),
        ("telemetry.log", "\"auth_api[request]=debug\"", "not a log filter"),
        ("telemetry.format", "\"JSON\"", "lower case"),
        ("telemetry.otlp_endpoint", "\"127.0.0.1:4318\"", "not a web address"),
        ("telemetry.otlp_endpoint", "\"http://user:pass@localhost:4318\"", "a user name or password"),
        ("telemetry.otlp_endpoint", "\"http://localhost:4318/?key=x\"", "a query"),
        ("telemetry.otlp_endpoint", "\"http://localhost:4318/v1/traces/\"", "which is added"),
        ("telemetry.trace_ratio", "1.5", "not a share"),
        ("telemetry.trace_ratio", "-0.1", "not a share"),
        ("telemetry.trace_ratio", "nan", "not a share"),
    ] {
        one_problem(&[(key, value)], key, words);
    }
    one_problem(&[("session.max_age", "\"4m\"")], "session.refresh_margin", "shorter than session.max_age");
}

#[cfg(unix)]
#[test]
fn a_unix_socket_is_an_absolute_path_without_tls() {
    let socket = |path: &str| ("server.listen", format!("\"unix:{path}\""));
    let (key, listen) = socket("/run/auth-api/auth-api.sock");
    assert_eq!(good(&[(key, &listen)]).server.listen.to_string(), "unix:/run/auth-api/auth-api.sock");
    let long = |bytes: usize| format!("/{}", "x".repeat(bytes - 1));
    good(&[(key, &socket(&long(90)).1)]);
    for (path, words) in [
        ("", "depend on who starts"),
        ("auth-api.sock", "Write an absolute path in a folder that this service may write to, `unix:/run/auth-api/"),
        ("@auth-api", "depend on who starts"),
        ("/", "names a folder"),
        ("/run/auth-api/", "names a folder"),
        ("/run/..", "names a folder"),
        (&long(108), "its path has 108 bytes, and 90 is the most"),
    ] {
        one_problem(&[(key, &socket(path).1)], key, words);
    }
    one_problem(
        &[("server.ops_listen", "\"unix:/run/auth-api/ops.sock\"")],
        "server.ops_listen",
        "IP address and a port",
    );

    // Its proxies need no name, and speak no TLS.
    let rule = ("policy.site", "[{ host = \"wiki.example.com\" }]");
    good(&[(key, &listen), rule]);
    one_problem(&[rule], rule.0, "trusted_proxies");
    let folder = tempfile::tempdir().unwrap();
    crate::support::certificate(folder.path());
    let pem = |name: &str| format!("\"{}\"", folder.path().join(name).display());
    let tls = [("server.tls_cert_file", pem("cert.pem")), ("server.tls_key_file", pem("key.pem"))];
    let tls = tls.each_ref().map(|(key, path)| (*key, path.as_str()));
    good(&tls);
    let found = problems(&[&tls[..], &[(key, &listen)]].concat());
    assert!(found.iter().map(|problem| problem.key.as_str()).eq(tls.map(|(key, _)| key)), "{found:#?}");
    assert!(found[0].to_string().contains("server.listen is a Unix socket"), "{}", found[0]);
}

#[test]
fn other_values_that_people_write_are_accepted() {
    let config = good(&[
        ("server.ops_listen", "\"\""),
        ("server.listen", "\"[::]:80\""),
        ("cookies.expose", "[\"access_token\"]"),
        ("gateway.forward_tokens", "[\"id_token\", \"access_token\"]"),
        ("session.idle", "\"12h\""),
        ("session.store", "\"redb:/var/lib/auth-api/sessions.redb\""),
        ("provider.token_endpoint", "\"http://127.0.0.1:9000/token\""),
        ("provider.client_secret", "\"hunter2hunter2\""),
        ("telemetry.log", "\"warn, auth_api=debug\""),
        ("provider.accepted_audiences", "[\"account\", \"https://orders.example.com\"]"),
        ("provider.groups_claim", "\"https://example.com/groups\""),
        ("provider.authorize_parameters", "[\"access_type=offline\", \"claims={\\\"a\\\":1}\", \"hint=a=b\", \"x=\"]"),
    ]);
    let pairs = [("access_type", "offline"), ("claims", "{\"a\":1}"), ("hint", "a=b"), ("x", "")];
    assert_eq!(config.provider.authorize_parameters, pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert!(config.groups_matter() && !good(&[]).groups_matter());
    assert_eq!(config.server.ops_listen, None);
    assert!(config.cookies.expose.access_token && !config.cookies.expose.id_token);
    assert!(config.gateway.forward_tokens.id_token);
    assert_eq!(config.session.idle, Some(Duration::from_secs(12 * 3_600)));
    assert_eq!(config.session.store, StoreUrl::Redb("/var/lib/auth-api/sessions.redb".into()));
    assert_eq!(config.provider.token_endpoint.unwrap().as_str(), "http://127.0.0.1:9000/token");
    good(&[("server.listen", "\"127.0.0.1:0\""), ("server.ops_listen", "\"127.0.0.1:0\"")]);
}
