//! A person signs in with a browser of their own, which the run sends from page to page.

use super::{PASSWORD, USER, answer, configuration, edit_web, options, parsed, pool, with_verdict};
use crate::support::{Browser, free_port, param, until};
use auth_api::acceptance::{self, AcceptanceOptions, AcceptanceReport, LoopbackUrls, Verdict};
use auth_api::dev::pool::{Fault, PoolEndpoint, Rotation, UserPool};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::AsyncWriteExt;

/// A run that waits for a browser, and what it shows.
pub(crate) struct Waiting {
    pub(crate) pool: UserPool,
    pub(crate) options: AcceptanceOptions,
    shown: Arc<Mutex<Vec<String>>>,
}

/// What a person has seen.
#[derive(Default)]
struct Seen {
    typed: usize,
    codes: Vec<String>,
    page: String,
}

impl Waiting {
    pub(crate) async fn new(patience: Duration) -> Self {
        let pool = pool(Rotation::On { grace_seconds: 0 }).await;
        let urls = LoopbackUrls::new(&format!("http://localhost:{}/callback", free_port())).unwrap();
        edit_web(&pool, |client| {
            client.callback_urls.push(urls.callback.to_string());
            client.logout_urls.push(urls.signed_out.to_string());
        });
        let options = AcceptanceOptions { urls, user: None, patience, ..options() };
        Self { pool, options, shown: Arc::default() }
    }

    pub(crate) async fn report(&self) -> AcceptanceReport {
        let say = |line: &str| self.shown.lock().unwrap().push(line.to_owned());
        acceptance::run(&parsed(&configuration(&self.pool)), &self.options, &say).await.unwrap()
    }

    pub(crate) async fn address(&self) -> String {
        self.nth_address(0).await
    }

    async fn nth_address(&self, n: usize) -> String {
        let address = || {
            let shown = self.shown.lock().unwrap();
            let mut addresses = shown.iter().flat_map(|text| text.lines()).filter(|line| line.starts_with("http"));
            addresses.nth(n).map(str::to_owned)
        };
        until("an address is shown", async || {
            tokio::time::sleep(Duration::from_millis(5)).await;
            address().is_some()
        })
        .await;
        address().unwrap()
    }

    /// Opens the address and goes wherever the browser is sent, up to a page that asks for nothing.
    async fn person(&self) -> Seen {
        self.person_of("COGNITO").await
    }

    /// The same with an identity provider's button.
    async fn person_of(&self, provider: &str) -> Seen {
        self.go_on(&Browser::new(), self.address().await, provider).await
    }

    async fn go_on(&self, jane: &Browser, mut at: String, provider: &str) -> Seen {
        let mut seen = Seen::default();
        loop {
            let mut answer = jane.get(&at).await;
            if provider != "COGNITO" && answer.body.contains("cognitoSignInForm") {
                let button = answer.between(&format!("id=\"{provider}SignIn\" href=\""), "\"").replace("&#38;", "&");
                at = jane.get(&format!("{}{button}", self.pool.base_url())).await.location();
                let csrf = jane.get(&at).await.between("name=\"_csrf\" value=\"", "\"");
                self.pool.shift_clock(5);
                seen.typed += 1;
                answer = jane.post(&at, &[("_csrf", &csrf), ("identity", "108347000000000000001")]).await;
            } else if answer.body.contains("cognitoSignInForm") {
                // People take their time.
                self.pool.shift_clock(5);
                seen.typed += 1;
                let csrf = answer.between("name=\"_csrf\" value=\"", "\"");
                answer = jane.post(&at, &[("_csrf", &csrf), ("username", USER), ("password", PASSWORD)]).await;
            }
            if answer.header("location").is_none() {
                seen.page = answer.body;
                return seen;
            }
            at = answer.location();
            seen.codes.extend(param(&at, "code"));
        }
    }
}

#[tokio::test]
async fn a_person_signs_in_three_times_and_nothing_of_it_is_in_the_report() {
    let waiting = Waiting::new(Duration::from_secs(20)).await;
    let bodies = Arc::new(Mutex::new(String::new()));
    let copy = bodies.clone();
    waiting.pool.fault(
        PoolEndpoint::Token,
        Fault::rewrite(move |body| {
            copy.lock().unwrap().push_str(&body);
            body
        }),
    );
    let (report, seen) = tokio::join!(waiting.report(), waiting.person());
    assert_eq!(seen.typed, 3, "at first, for prompt=login, and after the sign-out");
    assert!(seen.page.contains("The run goes on in your terminal"), "{}", seen.page);
    assert_eq!(with_verdict(&report, Verdict::Breaks), Vec::<&str>::new(), "{report}");
    assert_eq!(with_verdict(&report, Verdict::Differs), ["machine.resource"], "{report}");
    for (id, text) in [
        ("sign_in.again", "yes"),
        ("sign_in.auth_time", "it stays"),
        ("prompt.none.signed_in", "a code"),
        ("prompt.login", "the page comes"),
        ("logout.session", "it comes back, and the session has ended"),
    ] {
        assert_eq!(answer(&report, id), (Verdict::AsExpected, text), "{id}");
    }
    // The address that was shown has neither.
    let said = format!("{report}{}{}", report.json(), waiting.shown.lock().unwrap().join("\n"));
    let bodies = bodies.lock().unwrap();
    let tokens: Vec<_> = bodies.split('"').filter(|text| text.len() > 40).collect();
    assert!(tokens.len() > 15 && seen.codes.len() > 5, "{} tokens, {} codes", tokens.len(), seen.codes.len());
    let user = ["jane", "example.com\"", "editors", PASSWORD, "dev-web-secret", "dev-machine-secret"];
    for secret in tokens.iter().copied().chain(seen.codes.iter().map(String::as_str)).chain(user) {
        assert!(!said.contains(secret), "{secret} is in {said}");
    }
}

#[tokio::test]
async fn a_federated_user_shows_whether_a_second_sign_in_succeeds() {
    let waiting = Waiting::new(Duration::from_secs(20)).await;
    let (report, seen) = tokio::join!(waiting.report(), waiting.person_of("Google"));
    assert_eq!((seen.typed, with_verdict(&report, Verdict::Breaks)), (3, vec![]), "{report}");
    let expected = (Verdict::AsExpected, "yes, the test user could");
    assert_eq!(answer(&report, "federated.second_sign_in"), expected);
}

#[tokio::test]
async fn whoever_types_once_is_asked_no_more() {
    let mut waiting = Waiting::new(Duration::from_secs(20)).await;
    waiting.options.type_once = true;
    let (report, seen) = tokio::join!(waiting.report(), waiting.person());
    assert_eq!(seen.typed, 1);
    for id in ["prompt.login", "logout.form"] {
        assert_eq!(answer(&report, id).0, Verdict::NotAsked, "{id}");
    }
    assert_eq!(answer(&report, "logout.session").0, Verdict::AsExpected);
}

#[tokio::test]
async fn a_person_is_not_left_at_a_page_where_the_pool_ignores_prompts() {
    let waiting = Waiting::new(Duration::from_secs(20)).await;
    waiting.pool.ignores_prompt(true);
    let (report, seen) = tokio::join!(waiting.report(), waiting.person());
    assert_eq!(seen.typed, 2, "prompt=login asks for nothing");
    assert_eq!(answer(&report, "prompt.login").0, Verdict::Differs);
    let (verdict, text) = answer(&report, "logout.session");
    assert!(verdict == Verdict::NotAsked && text.starts_with("it comes back"), "{text}");
}

#[tokio::test]
async fn without_a_person_the_rest_is_asked_all_the_same() {
    let waiting = Waiting::new(Duration::from_millis(300)).await;
    let report = waiting.report().await;
    let why = "no browser came back within 0 s";
    assert_eq!(answer(&report, "sign_in.tokens"), (Verdict::NotAsked, why));
    assert!(!report.signed_in() && !report.breaks());
    assert_eq!(answer(&report, "refresh.nonce").0, Verdict::NotAsked);
    assert_eq!(answer(&report, "authorize.state").0, Verdict::AsExpected);
    assert_eq!(answer(&report, "machine.token").0, Verdict::AsExpected);
}

#[tokio::test]
async fn strangers_at_the_callback_disturb_nothing() {
    let waiting = Waiting::new(Duration::from_secs(20)).await;
    let callback = waiting.options.urls.callback.to_string();
    let person = async {
        waiting.address().await;
        let stranger = Browser::new();
        // A connection that nobody uses, as browsers open them.
        let _idle = tokio::net::TcpStream::connect(("127.0.0.1", waiting.options.urls.callback.port().unwrap())).await;
        for path in ["?code=forged&state=forged", "/elsewhere", "/../favicon.ico"] {
            let page = stranger.get(&format!("{callback}{path}")).await;
            assert!(page.status == 200 && page.body.contains("is over"), "{page:?}");
            assert_eq!(page.header("content-security-policy"), Some("default-src 'none'"));
        }
        assert_eq!(stranger.post(&callback, &[("code", "forged")]).await.status, 404);
        waiting.person().await
    };
    let (report, seen) = tokio::join!(waiting.report(), person);
    assert_eq!((seen.typed, with_verdict(&report, Verdict::Breaks)), (3, vec![]), "{report}");
}

#[tokio::test]
async fn a_browser_that_is_lost_can_be_replaced() {
    let waiting = Waiting::new(Duration::from_secs(20)).await;
    let person = async {
        let jane = Browser::new();
        let login = jane.get(&waiting.address().await).await.location();
        let csrf = jane.get(&login).await.between("name=\"_csrf\" value=\"", "\"");
        let callback =
            jane.post(&login, &[("_csrf", &csrf), ("username", USER), ("password", PASSWORD)]).await.location();
        // It comes back, and is closed before it reads where to go on.
        let port = waiting.options.urls.callback.port().unwrap();
        let mut closed = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let target = callback.split_once(&format!(":{port}")).unwrap().1;
        closed.write_all(format!("GET {target} HTTP/1.1\r\n\r\n").as_bytes()).await.unwrap();
        drop(closed);
        waiting.go_on(&jane, waiting.nth_address(1).await, "COGNITO").await
    };
    let (report, seen) = tokio::join!(waiting.report(), person);
    assert_eq!((seen.typed, with_verdict(&report, Verdict::Breaks)), (2, vec![]), "{report}");
    assert!(seen.page.contains("The run goes on in your terminal"), "{}", seen.page);
}
