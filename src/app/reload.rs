//! Takes up, while the service runs, what a reload may change of its configuration: all of it, or nothing.

use super::Error;
use crate::audit::{self, AuditEvent};
use crate::config::{Config, ConfigWatch, Diagnostic, Reload};
use crate::domain::seal::KeyRing;
use crate::flow::RelyingParty;
use crate::telemetry;
use crate::web::Readiness;
use axum_server::tls_rustls::RustlsConfig;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

/// How often files are compared. A change counts when two comparisons find the same, so that no half of it does.
const COMPARISON: Duration = Duration::from_secs(5);

/// What a reload needs.
#[derive(Debug)]
pub(super) struct Reloader {
    pub(super) watch: Mutex<ConfigWatch>,
    /// Told when the operator asks for a reload.
    pub(super) requests: Arc<Notify>,
    pub(super) ring: Arc<KeyRing>,
    pub(super) tls: Option<RustlsConfig>,
    pub(super) readiness: Readiness,
}

/// The certificate and key that `config` names.
///
/// # Errors
/// [`Error::Tls`].
pub(super) async fn read_tls(config: &Config) -> Result<Option<RustlsConfig>, Error> {
    match config.server.tls() {
        Some((cert, key)) => RustlsConfig::from_pem_file(cert, key).await.map(Some).map_err(Error::Tls),
        None => Ok(None),
    }
}

/// Why nothing was changed.
enum ReloadError {
    Mistakes(Vec<Diagnostic>),
    Tls(Error),
    /// The files changed while they were read.
    Torn,
}

impl Reloader {
    /// Reloads when the operator asks, and when files have changed.
    pub(super) async fn run(self: Arc<Self>, rp: Arc<RelyingParty>) {
        let mut comparisons = tokio::time::interval(COMPARISON);
        comparisons.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut previous, mut refused) = (None, None);
        loop {
            let cause = tokio::select! {
                () = self.requests.notified() => "SIGHUP",
                _ = comparisons.tick() => "changed files",
            };
            // Before they are judged: what was written since is judged by itself.
            let files = self.clone().blocking(ConfigWatch::look).await;
            let is_settled = previous.as_ref() == Some(&files);
            let is_news = refused.as_ref() != Some(&files) && !self.watch().is_applied(&files);
            if cause == "SIGHUP" {
                rp.audit.reopen();
            }
            if cause == "SIGHUP" || is_settled && is_news {
                refused = (!self.reload(&rp, cause).await).then(|| files.clone());
            }
            previous = Some(files);
        }
    }

    fn watch(&self) -> MutexGuard<'_, ConfigWatch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Files are read where that keeps nobody waiting: there can be thousands of clients in them.
    async fn blocking<T: Send + 'static>(self: Arc<Self>, read: impl Fn(&ConfigWatch) -> T + Send + 'static) -> T {
        let reading = tokio::task::spawn_blocking(move || read(&self.watch()));
        reading.await.expect("reading the configuration does not panic")
    }

    /// Whether the configuration counts that the files hold; otherwise the log says why not.
    async fn reload(self: &Arc<Self>, rp: &RelyingParty, cause: &'static str) -> bool {
        let result = self.judge().await;
        self.readiness.set_reload_refused(result.is_err());
        rp.metrics.reload(result.is_ok());
        let (reload, tls) = match result {
            Ok(judged) => judged,
            Err(error) => {
                log_error(cause, &error);
                rp.audit.record(&AuditEvent::ConfigurationRefused { cause });
                return false;
            }
        };
        self.ring.replace(reload.config.cookies.keys.iter().map(|key| key.expose()));
        if let (Some(current), Some(new)) = (&self.tls, tls) {
            current.reload_from_config(new.get_inner());
        }
        telemetry::set_filter(&reload.config.telemetry.log);
        rp.reload(reload.config.clone(), reload.clients.clone()).await;
        if let Err(error) = rp.sessions.ping().await {
            tracing::warn!(%error, "session store not marked with the first of cookies.keys yet");
        }
        tracing::info!(cause, changed = reload.changed.join(" "), "configuration reloaded");
        let changed = audit::list(reload.changed.join(" "));
        rp.audit.record(&AuditEvent::ConfigurationReloaded { cause, changed });
        if !reload.need_restart.is_empty() {
            tracing::warn!(keys = reload.need_restart.join(" "), "configuration keys changed that need a restart");
        }
        self.watch().apply(reload);
        true
    }

    async fn judge(self: &Arc<Self>) -> Result<(Reload, Option<RustlsConfig>), ReloadError> {
        let reload = self.clone().blocking(ConfigWatch::reload).await.map_err(ReloadError::Mistakes)?;
        let tls = read_tls(&reload.config).await.map_err(ReloadError::Tls)?;
        let files = self.clone().blocking(ConfigWatch::look).await;
        if reload.is_of(&files) { Ok((reload, tls)) } else { Err(ReloadError::Torn) }
    }
}

fn log_error(cause: &'static str, error: &ReloadError) {
    const MESSAGE: &str = "reload refused: the configuration before stays in use";
    match error {
        ReloadError::Mistakes(mistakes) => {
            for mistake in mistakes {
                tracing::error!(cause, reason = %mistake, "{MESSAGE}");
            }
        }
        ReloadError::Tls(error) => tracing::error!(cause, reason = %error, "{MESSAGE}"),
        ReloadError::Torn => tracing::error!(cause, reason = "files changed while they were read", "{MESSAGE}"),
    }
}
