//! A real browser, driven over WebDriver, and the few things a person does with it.

use super::component;
use crate::support::Site;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use thirtyfour::common::command::ExtensionCommand;
use thirtyfour::extensions::query::ElementPollerWithTimeout;
use thirtyfour::prelude::*;
use thirtyfour::{ChromeCapabilities, ChromiumLikeCapabilities, LoggingPrefsLogLevel};

/// Long enough for a machine that compiles something else meanwhile.
const PATIENCE: Duration = Duration::from_secs(30);

/// The password of the pool's native users.
pub(super) const PASSWORD: &str = "Passw0rd!";

/// A browser with a profile of its own.
pub(super) struct Chromium {
    pub(super) driver: WebDriver,
    _program: Program,
    _profile: TempDir,
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // Where a test fails, WebDriver would wait two minutes for a connection of the runtime that it blocks.
        let _ = self.driver.clone().leak();
    }
}

/// ChromeDriver on a port of its own choice.
struct Program {
    child: Child,
    url: String,
    // It may write to its standard output later on.
    _output: BufReader<ChildStdout>,
}

impl Drop for Program {
    fn drop(&mut self) {
        // The whole group: a browser outlives its driver.
        let _ = Command::new("sh").arg("-c").arg(format!("kill -KILL -{}", self.child.id())).status();
        let _ = self.child.wait();
    }
}

impl Program {
    /// It asks for a port of IPv4 and then for the same of IPv6, which somebody else may have by then: then it ends.
    fn start(chromedriver: &Path) -> Self {
        let started = (0..5).find_map(|_| Self::try_start(chromedriver));
        started.unwrap_or_else(|| panic!("chromedriver ended before it listened, each time"))
    }

    fn try_start(chromedriver: &Path) -> Option<Self> {
        let mut child = Command::new(chromedriver)
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        let port = loop {
            line.clear();
            if output.read_line(&mut line).unwrap() == 0 {
                let _ = child.wait();
                return None;
            }
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                break port.trim_end().trim_end_matches('.').to_owned();
            }
        };
        Some(Self { child, url: format!("http://127.0.0.1:{port}"), _output: output })
    }
}

impl Chromium {
    pub(super) async fn start() -> Self {
        Self::wanting(|_| {}).await
    }

    /// For sites with a certificate of the test's own.
    pub(super) async fn start_trusting_any_certificate() -> Self {
        Self::wanting(|wanted| wanted.accept_insecure_certs(true).unwrap()).await
    }

    async fn wanting(shape: impl FnOnce(&mut ChromeCapabilities)) -> Self {
        let (chromium, chromedriver) = (component("chromium"), component("chromedriver"));
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let program = tokio::task::spawn_blocking(move || Program::start(&chromedriver)).await.unwrap();
        let profile = TempDir::new().unwrap();
        let mut wanted = DesiredCapabilities::chrome();
        wanted.set_binary(chromium.to_str().unwrap()).unwrap();
        // Without the last four it looks for hosts that no test may need.
        for flag in [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--window-size=1280,900",
            "--no-first-run",
            "--disable-quic",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ] {
            wanted.add_arg(flag).unwrap();
        }
        wanted.add_arg(&format!("--user-data-dir={}", profile.path().display())).unwrap();
        wanted.set_browser_log_level(LoggingPrefsLogLevel::All).unwrap();
        wanted.set_logging_prefs("performance", LoggingPrefsLogLevel::All).unwrap();
        shape(&mut wanted);
        let driver = WebDriver::builder(&program.url, wanted)
            .poller(Arc::new(ElementPollerWithTimeout::new(PATIENCE, Duration::from_millis(50))))
            .await
            .unwrap();
        Self { driver, _program: program, _profile: profile }
    }

    pub(super) async fn go(&self, url: &str) {
        self.driver.goto(url).await.unwrap();
    }

    pub(super) async fn click(&self, css: &str) {
        self.on(By::Css(css), WebElement::click).await;
    }

    /// What a person reads there.
    pub(super) async fn text(&self, css: &str) -> String {
        self.on(By::Css(css), WebElement::text).await
    }

    /// Does something with an element. The page may be replaced by the next one between finding it and that:
    /// then nothing was done, and it is looked for again.
    async fn on<T>(&self, by: By, act: impl AsyncFn(&WebElement) -> WebDriverResult<T>) -> T {
        let done = tokio::time::timeout(PATIENCE, async {
            loop {
                match act(&self.element(by.clone()).await).await {
                    Ok(done) => break done,
                    Err(error) if is_of_a_page_that_is_gone(&error) => {}
                    Err(error) => panic!("{by:?} at {}: {error}", self.url().await),
                }
            }
        });
        done.await.unwrap_or_else(|_| panic!("{by:?} never stays"))
    }

    /// Follows the link that says so.
    pub(super) async fn follow(&self, words: &str) {
        self.on(By::LinkText(words), WebElement::click).await;
    }

    pub(super) async fn has(&self, css: &str) -> bool {
        self.driver.query(By::Css(css)).nowait().exists().await.unwrap()
    }

    async fn element(&self, by: By) -> WebElement {
        match self.driver.query(by.clone()).first().await {
            Ok(element) => element,
            Err(_) => panic!("no {by:?} at {}:\n{}", self.url().await, self.source().await),
        }
    }

    async fn source(&self) -> String {
        self.driver.source().await.unwrap()
    }

    pub(super) async fn url(&self) -> String {
        self.driver.current_url().await.unwrap().into()
    }

    /// Waits until the browser is at this address, wherever it is redirected on the way.
    pub(super) async fn arrives_at(&self, url: &str) {
        self.arrives(|at| at == url, url).await;
    }

    /// Waits for the hosted UI's sign-in form.
    pub(super) async fn is_asked_to_sign_in(&self, site: &Site) {
        let login = format!("{}/login?", site.pool.base_url());
        self.arrives(|at| at.starts_with(&login), &login).await;
        self.element(By::Css("#signInFormUsername")).await;
    }

    pub(super) async fn arrives(&self, there: impl Fn(&str) -> bool, wanted: &str) {
        // Every round waits for the driver's answer, which itself waits for a page that is loading.
        let arrived = tokio::time::timeout(PATIENCE, async { while !there(&self.url().await) {} }).await;
        assert!(arrived.is_ok(), "wanted {wanted}, is at {}:\n{}", self.url().await, self.source().await);
    }

    /// Fills in the hosted UI's form.
    pub(super) async fn sign_in(&self, username: &str, password: &str) {
        self.on(By::Css("#signInFormUsername"), WebElement::clear).await;
        self.on(By::Css("#signInFormUsername"), async |field: &WebElement| field.send_keys(username).await).await;
        self.on(By::Css("#signInFormPassword"), async |field: &WebElement| field.send_keys(password).await).await;
        self.click("form[name=cognitoSignInForm] button").await;
    }

    /// Chooses a provider in the hosted UI and then the only account there.
    pub(super) async fn continue_with(&self, provider: &str) {
        self.click(&format!("#{provider}SignIn")).await;
        self.click("button[name=identity]").await;
    }

    /// A command of the Chrome DevTools Protocol.
    pub(super) async fn devtools(&self, method: &'static str, params: Value) -> Value {
        let command = Box::new(DevTools { method, params });
        let answer = self.driver.cmd(thirtyfour::common::command::Command::ExtensionCommand(command));
        answer.await.unwrap().value().unwrap()
    }

    /// Every cookie of the browser, whatever its host and path: WebDriver itself shows those of the page at hand.
    pub(super) async fn cookies(&self) -> Vec<Value> {
        self.devtools("Storage.getCookies", json!({})).await["cookies"].as_array().unwrap().clone()
    }

    /// What the screen shows, as a PNG.
    pub(super) async fn screenshot(&self) -> Vec<u8> {
        let shot = self.devtools("Page.captureScreenshot", json!({})).await;
        BASE64_STANDARD.decode(shot["data"].as_str().unwrap()).unwrap()
    }

    pub(super) async fn type_into(&self, css: &str, text: &str) {
        self.on(By::Css(css), async |field: &WebElement| field.send_keys(text).await).await;
    }

    pub(super) async fn press_tab(&self) {
        self.driver.action_chain().send_keys(Key::Tab).perform().await.unwrap();
    }

    /// What is typed into a field.
    pub(super) async fn value(&self, css: &str) -> String {
        self.on(By::Css(css), WebElement::value).await.unwrap_or_default()
    }

    /// The tab that a link of the page in `here` opens.
    pub(super) async fn other_tab(&self, here: &WindowHandle) -> WindowHandle {
        let opened = async {
            loop {
                let tabs = self.driver.windows().await.unwrap();
                if let Some(other) = tabs.into_iter().find(|tab| tab != here) {
                    break other;
                }
            }
        };
        tokio::time::timeout(PATIENCE, opened).await.expect("a second tab")
    }

    /// The addresses of documents that were asked for since the last look, redirects included.
    pub(super) async fn documents(&self) -> Vec<String> {
        let log = self.driver.get_log("performance").await.unwrap();
        let events = log.iter().map(|entry| serde_json::from_str::<Value>(&entry.message).unwrap());
        events
            .filter(|event| event["message"]["method"] == "Network.requestWillBeSent")
            .map(|event| event["message"]["params"].clone())
            .filter(|request| request["type"] == "Document")
            .map(|request| request["request"]["url"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Closes the browser. Nothing a page did may have gone wrong in it: a script, a policy, a missing file.
    pub(super) async fn close(self) {
        let log = self.driver.browser_log().await.unwrap();
        // A page that says no has a status that says so; the browser logs that too.
        let refusal = |message: &str| [" 400 ", " 403 ", " 404 "].iter().any(|status| message.contains(status));
        let wrong: Vec<&str> = log.iter().map(|entry| entry.message.as_str()).filter(|m| !refusal(m)).collect();
        assert!(wrong.is_empty(), "the browser complains: {wrong:#?}");
        self.driver.clone().quit().await.unwrap();
    }
}

#[derive(Debug)]
struct DevTools {
    method: &'static str,
    params: Value,
}

impl ExtensionCommand for DevTools {
    fn parameters_json(&self) -> Option<Value> {
        Some(json!({ "cmd": self.method, "params": self.params }))
    }

    fn method(&self) -> http::Method {
        http::Method::POST
    }

    fn endpoint(&self) -> Arc<str> {
        "/goog/cdp/execute".into()
    }
}

fn is_of_a_page_that_is_gone(error: &WebDriverError) -> bool {
    let text = error.to_string();
    text.contains("stale element") || text.contains("does not belong to the document")
}
