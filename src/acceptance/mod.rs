//! The acceptance run: a test user signs in at a real pool, and the pool answers what Cognito's manual leaves open.
//!
//! What the product hides, statuses and bodies, is asked over the wire; whether it would work is judged by the product's
//! own [`Provider`]. So that no question gets lost, the report has all of [`QUESTIONS`], with an answer or without.
//!
//! | files | what they ask |
//! |---|---|
//! | `question`, `report` | the questions; the answers, for a terminal and as JSON |
//! | `wire` | requests whose statuses and bodies are the answer |
//! | `landing`, `loopback`, `password_form`, `browser` | who signs in, a person or this program at a plain form, and comes back |
//! | `signed_out` | what is asked before anybody signs in |
//! | `visits` | the chain of sign-ins and sign-outs of one browser |
//! | `codes`, `first_tokens`, `renewal`, `apis`, `machine` | what is asked with the codes and tokens of these |

mod apis;
mod browser;
mod codes;
mod first_tokens;
mod landing;
mod loopback;
mod machine;
mod password_form;
mod question;
mod renewal;
mod report;
mod signed_out;
mod visits;
mod wire;

pub use landing::LoopbackUrls;
pub use question::{QUESTIONS, Question};
pub use report::{AcceptanceReport, QuestionAnswer, Verdict};

use crate::config::{Config, Profile};
use crate::domain::clock::{Clock, SystemClock};
use crate::domain::sign_in::SignInIntent;
use crate::domain::transaction::{CallbackError, CallbackParams, Transaction, VerifiedCallback};
use crate::outbound::OutboundClient;
use crate::provider::{self, HttpClient, Provider};
use browser::TestBrowser;
use landing::Landing;
use loopback::PersonsBrowser;
use password_form::FormBrowser;
use report::AnswerSheet;
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;
use std::time::Duration;
use url::Url;
use wire::Wire;

/// What nobody has registered, and nobody was given.
const MADE_UP: &str = "auth-api-check";
/// How long connections are kept that nobody uses.
const IDLE: Duration = Duration::from_secs(30);

/// How a run goes.
#[derive(Debug)]
pub struct AcceptanceOptions {
    /// Where browsers come back to.
    pub urls: LoopbackUrls,
    /// Name and password of the test user, where the pool's page is a plain form. `None`: a person signs in.
    pub user: Option<(String, SecretString)>,
    /// How long to wait for a person at each page.
    pub patience: Duration,
    /// Whether a person is spared what needs typing once more.
    pub type_once: bool,
    /// A person who needed less has not typed a password; a pool needs less for two redirects.
    pub typing: Duration,
    /// When a rotated refresh token is tried again: Cognito's longest grace period is 60 s.
    pub grace: Duration,
}

/// One run.
struct AcceptanceRun<'a> {
    config: &'a Config,
    options: &'a AcceptanceOptions,
    provider: Provider,
    wire: Wire,
    clock: Arc<dyn Clock>,
    say: &'a (dyn Fn(&str) + Sync),
}

/// Asks the pool that `config` names everything. `say` shows a person what to do.
///
/// # Errors
/// A sentence, if no sign-in can begin.
pub async fn run(
    config: &Config,
    options: &AcceptanceOptions,
    say: &(dyn Fn(&str) + Sync),
) -> Result<AcceptanceReport, String> {
    if config.provider.profile != Profile::Cognito {
        return Err("these questions are about Cognito user pools, and provider.profile is another".to_owned());
    }
    let timeout = config.provider.timeout;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let http = HttpClient::new(timeout, Arc::default()).map_err(|error| error.to_string())?;
    let provider = Provider::new(http, config, options.urls.callback.to_string(), clock.clone());
    let endpoints = provider.endpoints().await.map_err(|error| error.to_string())?;
    let http = OutboundClient::new("auth-api-check", timeout, IDLE)?;
    let wire = Wire::new(http.clone(), endpoints, &config.provider);
    let run = AcceptanceRun { config, options, provider, wire, clock, say };

    let mut sheet = AnswerSheet::default();
    run.hide_configured(&mut sheet);
    let found = signed_out::ask(&run, &mut sheet).await?;
    let urls = options.urls.clone();
    let mut browser = match &options.user {
        None => TestBrowser::Person(PersonsBrowser::listen(urls, options.patience).await?),
        Some((name, password)) => TestBrowser::Form(FormBrowser::new(http, urls, name.clone(), password.clone())),
    };
    let user = visits::ask(&run, &mut browser, &found, &mut sheet).await;
    browser.finish();
    if let Some(user) = user {
        first_tokens::ask(&run, &user, &mut sheet).await;
        apis::ask(&run, &user, &mut sheet).await;
        renewal::ask(&run, user, &mut sheet).await;
    }
    machine::ask(&run, &mut sheet).await;
    let unreached = "the run did not come this far: see sign_in.tokens";
    Ok(sheet.report(&config.provider.issuer, &config.provider.client_id, run.clock.now(), unreached))
}

impl AcceptanceRun<'_> {
    fn hide_configured(&self, sheet: &mut AnswerSheet) {
        let provider = &self.config.provider;
        let upstreams = self.config.machine.upstreams().map(|(_, upstream)| &upstream.secret);
        let user = self.options.user.as_ref().map(|(_, password)| password);
        for secret in upstreams.chain(&provider.client_secret).chain(user) {
            sheet.hide(secret.expose_secret());
        }
    }

    /// Begins a sign-in: its transaction, and where a browser has to go.
    async fn begin(&self, prompt: Option<&str>) -> Result<(Transaction, Url), String> {
        let plain = SignInIntent::plain(self.config.return_to_policy().choose(None));
        let intent = SignInIntent { prompt: prompt.map(str::to_owned), ..plain };
        let transaction = Transaction::begin(intent, self.clock.now());
        let url = self.provider.authorize_url(&transaction, None).await.map_err(|error| reason(&error))?;
        Ok((transaction, url))
    }

    /// Judges a return as the product does.
    async fn accept(&self, transaction: &Transaction, landing: &Landing) -> Result<VerifiedCallback, String> {
        let expected = self.provider.expected_issuer().await.map_err(|error| reason(&error))?;
        let timeout = self.options.patience + Duration::from_secs(60);
        let accepted = CallbackParams::parse(&landing.query)
            .and_then(|params| transaction.clone().accept(params, expected, timeout, self.clock.now()));
        accepted.map_err(|error| match error {
            CallbackError::Provider(refusal) => match wire::word(&refusal.code) {
                Some(code) => format!("the callback has the error {code}"),
                None => "the callback has an error".to_owned(),
            },
            other => other.to_string(),
        })
    }
}

/// An error without its free text, which may be about the user.
fn reason(error: &provider::Error) -> String {
    match error {
        provider::Error::Refused { code, .. } => {
            format!("refused with {}", wire::word(code).unwrap_or_else(|| "no code".to_owned()))
        }
        other => other.to_string(),
    }
}

/// What an error means: nothing is known of a provider that did not answer.
fn verdict(error: &provider::Error, otherwise: Verdict) -> Verdict {
    if matches!(error, provider::Error::Unavailable { .. }) { Verdict::NotAsked } else { otherwise }
}

/// The address with another value for one of its parameters.
fn with_param(url: &Url, name: &str, value: &str) -> Url {
    let mut changed = url.clone();
    let others = url.query_pairs().filter(|(key, _)| key != name);
    changed.query_pairs_mut().clear().extend_pairs(others).append_pair(name, value);
    changed
}
