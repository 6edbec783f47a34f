//! Load shedding: while work that is ready waits too long for a thread, requests that cost much to answer are refused,
//! new sign-ins first, so that the others are answered in time.

use super::fetch::{self, is_navigation};
use super::language::PageRequest;
use super::problem_page::Attempted;
use super::refusal::Refusal;
use super::request_id::RequestId;
use super::security_headers::private;
use super::{Web, error, problem_page};
use crate::telemetry::metrics::HttpRoute;
use axum::http::HeaderMap;
use axum::response::Response;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
#[cfg(unix)]
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::sleep_until,
};

/// How often the delay is measured.
const PERIOD: Duration = Duration::from_millis(20);
/// A delay that is nothing unusual, and the first from which requests are refused.
const TOLERATED: Duration = Duration::from_millis(25);
/// How long a delay has to last before the first request is refused: a pause of the machine is no overload.
const LASTING: Duration = Duration::from_millis(80);
/// The further delay over which the share of refused requests grows from none to [`MAX_SHARE`].
const SPAN: Duration = Duration::from_millis(30);
/// Some are always answered, so that there is no overload in which nobody gets on.
const MAX_SHARE: f64 = 15.0 / 16.0;
/// How many that may be refused have to come between two measurements, so that it helps to refuse some.
const CROWD: usize = 16;
/// How long after the last refused request it is told that there is an overload.
const TOLD: Duration = Duration::from_secs(10);

/// Which requests are refused first. None has a request that costs about as much to refuse as to answer: one for what is
/// the same for everybody, and `/refresh`, whose calls at the provider have a rate of their own. For the same reason nobody
/// asks about `/validate` and the endpoints of the token broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Criticality {
    /// What begins something, or can wait.
    Sheddable,
    /// What ends something that was begun: a sign-in that comes back, a sign-out.
    Critical,
}

impl Criticality {
    fn of(route: HttpRoute) -> Option<Self> {
        match route.pattern() {
            Some(
                "/auth/signin/callback"
                | "/auth/signout"
                | "/auth/signout/callback"
                | "/auth/sessions/{handle}"
                | "/auth/backchannel-logout"
                | "/auth/frontchannel-logout",
            ) => Some(Self::Critical),
            Some(
                "/.well-known/oauth-authorization-server"
                | "/auth/assets/icon.svg"
                | "/auth/assets/logo"
                | "/auth/assets/passkey.js"
                | "/auth/assets/session.js"
                | "/auth/assets/style.css"
                | "/favicon.ico"
                | "/openapi.json"
                | "/refresh",
            ) => None,
            _ => Some(Self::Sheddable),
        }
    }

    /// The share that is refused at a delay, 0 to [`MAX_SHARE`].
    fn refused_share(self, delay: Duration) -> f64 {
        let from = match self {
            Self::Sheddable => TOLERATED,
            Self::Critical => TOLERATED + SPAN,
        };
        (delay.saturating_sub(from).as_secs_f64() / SPAN.as_secs_f64()).min(MAX_SHARE)
    }
}

/// How long work that is ready waits for a thread, and what is refused for that. Clones share it. Before
/// [`Overload::measure`] runs there is none.
#[derive(Debug, Clone, Default)]
pub struct Overload(Arc<Mutex<Option<Load>>>);

#[derive(Debug)]
struct Load {
    /// When the next measurement begins.
    due: Instant,
    /// How late the last one was.
    delay: Duration,
    /// When one was last no later than what is tolerated.
    punctual: Instant,
    /// Requests that may be refused, since the last measurement and before it.
    sheddable: [usize; 2],
    /// What is left over of the shares of requests that were answered, below 1: the next whole one is refused.
    carried: f64,
    refused: u64,
    last_refused: Option<Instant>,
}

impl Load {
    fn new(now: Instant) -> Self {
        Self {
            due: now,
            delay: Duration::ZERO,
            punctual: now,
            sheddable: [0; 2],
            carried: 0.0,
            refused: 0,
            last_refused: None,
        }
    }

    /// A measurement that was due has begun, and the next one is planned.
    fn measured(&mut self, now: Instant) -> Instant {
        self.delay = now.saturating_duration_since(self.due);
        if self.delay <= TOLERATED {
            self.punctual = now;
        }
        self.sheddable = [0, self.sheddable[0]];
        self.due = now + PERIOD;
        self.due
    }

    /// The delay if it lasts or is one more of an overload, else none. A measurement that is overdue counts before it begins.
    fn lasting_delay(&self, now: Instant) -> Duration {
        let delay = self.delay.max(now.saturating_duration_since(self.due));
        let lasts = self.is_told(now) || now.saturating_duration_since(self.punctual) > LASTING + PERIOD;
        if lasts { delay } else { Duration::ZERO }
    }

    fn refuses(&mut self, criticality: Criticality, now: Instant) -> bool {
        self.sheddable[0] += 1;
        if self.sheddable.into_iter().max() < Some(CROWD) {
            return false;
        }
        self.carried += criticality.refused_share(self.lasting_delay(now));
        let refused = self.carried >= 1.0;
        if refused {
            self.carried -= 1.0;
            self.refused += 1;
            if self.last_refused.replace(now).is_none() {
                let delay = self.lasting_delay(now).as_secs_f64() * 1e3;
                tracing::warn!(milliseconds = delay, "overloaded: requests are refused");
            }
        }
        refused
    }

    fn is_told(&self, now: Instant) -> bool {
        self.last_refused.is_some_and(|at| now.saturating_duration_since(at) < TOLD)
    }

    /// Says that an overload is over, once.
    fn conclude(&mut self, now: Instant) {
        if self.last_refused.is_some() && !self.is_told(now) {
            let requests = std::mem::take(&mut self.refused);
            self.last_refused = None;
            tracing::info!(requests, "overload ended");
        }
    }
}

impl Overload {
    fn load(&self) -> MutexGuard<'_, Option<Load>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Measures for ever how long a byte that has arrived waits for a thread, as a request does.
    #[cfg(unix)]
    pub async fn measure(self) {
        let _reset = Reset(&self);
        let Ok((mut reader, mut writer)) = UnixStream::pair() else { return };
        let mut due = self.begin(Instant::now());
        loop {
            sleep_until(due).await;
            // Who reads first has to wait for the byte, and is woken when it is its turn.
            let (read, written) = tokio::join!(biased; reader.read_u8(), writer.write_u8(0));
            if read.and(written).is_err() {
                return;
            }
            due = self.measured(Instant::now());
        }
    }

    /// Measures nothing: requests are never refused.
    #[cfg(not(unix))]
    pub async fn measure(self) {
        std::future::pending().await
    }

    #[cfg(unix)]
    fn begin(&self, now: Instant) -> Instant {
        self.load().insert(Load::new(now)).measured(now)
    }

    #[cfg(unix)]
    fn measured(&self, now: Instant) -> Instant {
        let mut load = self.load();
        let load = load.get_or_insert_with(|| Load::new(now));
        load.conclude(now);
        load.measured(now)
    }

    /// Whether requests were refused within the last seconds.
    pub(super) fn is_told(&self) -> bool {
        self.load().as_ref().is_some_and(|load| load.is_told(Instant::now()))
    }

    /// How late the last measurement was.
    pub(super) fn delay(&self) -> Duration {
        self.load().as_ref().map_or(Duration::ZERO, |load| load.delay)
    }

    fn refuses(&self, route: HttpRoute) -> bool {
        let Some(criticality) = Criticality::of(route) else { return false };
        self.load().as_mut().is_some_and(|load| load.refuses(criticality, Instant::now()))
    }
}

/// Nothing is refused while nobody measures.
struct Reset<'a>(&'a Overload);

impl Drop for Reset<'_> {
    fn drop(&mut self) {
        *self.0.load() = None;
    }
}

/// The answer to a request that is refused for an overload: 503 with `Retry-After`, before anything is read or spent.
/// `None` for one that is to be answered.
pub(super) async fn shed(web: &Web, route: HttpRoute, id: &RequestId, headers: &HeaderMap) -> Option<Response> {
    if !web.overload.refuses(route) {
        return None;
    }
    web.rp.metrics.request_shed();
    let refusal = Refusal::Overloaded;
    let mut response = if is_navigation(headers) {
        let page = PageRequest::new(web, *id, headers, None);
        problem_page::page(web, refusal, &page, &Attempted::ThisAddress)
    } else if route.pattern() == Some("/auth/backchannel-logout") {
        error::oauth(&refusal)
    } else {
        error::problem(refusal, id, None)
    };
    fetch::allow_refusal(web, headers, response.headers_mut());
    id.set_header(&mut response);
    Some(private(response).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHEDDABLE: &str = "/auth/signin";
    const CRITICAL: &str = "/auth/signin/callback";

    /// What is refused of a thousand requests for a path.
    fn refused(load: &mut Load, path: &str, now: Instant) -> usize {
        let Some(criticality) = Criticality::of(HttpRoute::of(path)) else { return 0 };
        load.sheddable[0] = CROWD;
        (0..1_000).filter(|_| load.refuses(criticality, now)).count()
    }

    /// Measurements that are each so late, for a second.
    fn late_by(delay: Duration) -> (Load, Instant) {
        let mut now = Instant::now();
        let mut load = Load::new(now);
        for _ in 0..50 {
            now = load.measured(now) + delay;
        }
        load.measured(now);
        (load, now)
    }

    #[test]
    fn the_longer_the_delay_the_more_is_refused_and_what_ends_something_comes_last() {
        let shares = [0, 25, 40, 55, 70, 85, 10_000].map(|milliseconds| {
            let (mut load, now) = late_by(Duration::from_millis(milliseconds));
            [SHEDDABLE, CRITICAL, "/favicon.ico"].map(|path| refused(&mut load, path, now))
        });
        let expected = [[0, 0, 0], [0, 0, 0], [500, 0, 0], [937, 0, 0], [938, 500, 0], [937, 938, 0], [937, 938, 0]];
        for (found, expected) in shares.into_iter().zip(expected) {
            let near = found.iter().zip(expected).all(|(found, expected)| found.abs_diff(expected) <= 1);
            assert!(near, "{found:?} and not {expected:?} of {shares:?}");
        }
    }

    #[test]
    fn one_pause_is_no_overload_and_a_measurement_that_does_not_come_is_one() {
        let began = Instant::now();
        let mut load = Load::new(began);
        let due = load.measured(began);
        let paused = due + LASTING;
        assert_eq!(refused(&mut load, SHEDDABLE, paused), 0);
        assert!(refused(&mut load, SHEDDABLE, due + LASTING * 2) > 900, "nothing has been measured for as long");
        let (mut load, now) = late_by(LASTING);
        assert!(refused(&mut load, SHEDDABLE, now) > 900);
        let due = load.measured(now);
        let next = load.measured(due);
        assert_eq!(refused(&mut load, SHEDDABLE, due), 0, "it is over with the first that is punctual");
        assert!(refused(&mut load, SHEDDABLE, next + LASTING) > 900, "and back with the next that is not");
    }

    #[test]
    fn a_few_are_answered_however_long_it_takes() {
        let (mut load, now) = late_by(LASTING);
        assert_eq!((0..1_000).map(|_| load.refuses(Criticality::Sheddable, now)).position(|refused| refused), Some(16));
        load.measured(now);
        assert!((0..1_000).any(|_| load.refuses(Criticality::Sheddable, now + LASTING * 3)));
        for _ in 0..2 {
            load.measured(now);
        }
        assert!(!(0..CROWD - 1).any(|_| load.refuses(Criticality::Sheddable, now + LASTING * 3)));
    }

    #[test]
    fn an_overload_is_told_until_it_is_over_for_a_while() {
        let (mut load, now) = late_by(LASTING);
        assert!(!load.is_told(now));
        refused(&mut load, SHEDDABLE, now);
        load.conclude(now);
        assert!(load.is_told(now) && load.is_told(now + TOLD / 2));
        load.conclude(now + TOLD);
        assert!(!load.is_told(now + TOLD) && load.refused == 0);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_refused_before_and_after_it_is_measured() {
        let overload = Overload::default();
        let route = HttpRoute::of(SHEDDABLE);
        assert!((0..1_000).all(|_| !overload.refuses(route)));
        let measuring = tokio::spawn(overload.clone().measure());
        tokio::time::sleep(PERIOD).await;
        // The runtime's clock goes on while nothing runs.
        tokio::time::advance(LASTING * 3).await;
        assert!((0..1_000).any(|_| overload.refuses(route)));
        measuring.abort();
        assert!(measuring.await.is_err());
        assert!((0..1_000).all(|_| !overload.refuses(route)) && !overload.is_told());
    }
}
