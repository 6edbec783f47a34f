//! What is looked up when somebody asks for the metrics, and counted by nobody.

use super::process::ProcessStats;
use prometheus_client::encoding::{EncodeGaugeValue, EncodeLabelSet};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;
use std::fmt::Debug;
use std::hash::Hash;

/// The service at this moment.
#[derive(Debug, Default)]
pub struct Observations {
    /// Whether `/readyz` says yes.
    pub ready: bool,
    /// How many of each kind of component do not work.
    pub degraded: Vec<(&'static str, usize)>,
    /// Sessions in the store, where it knows without counting them.
    pub sessions: Option<u64>,
    /// People who wait to be written down in the directory.
    pub directory_waiting: usize,
    /// How late work that was ready came to a thread, at the last measurement, seconds.
    pub scheduling_delay: f64,
    /// Sessions in this process's memory, and sessions known not to exist.
    pub cache_entries: u64,
    /// What they take of memory, bytes.
    pub cache_bytes: u64,
    /// What they may take.
    pub cache_limit: u64,
    /// When the signing keys of each issuer were last read, epoch seconds.
    pub keys_fetched: Vec<(String, u64)>,
}

impl Observations {
    /// All of it as metrics, and what the operating system says of this process.
    pub(super) fn registry(&self, in_flight: u64) -> Registry {
        let mut registry = Registry::default();
        let all = registry.sub_registry_with_prefix("auth_api");
        let build = [("version", env!("CARGO_PKG_VERSION")), ("commit", env!("AUTH_API_BUILD"))];
        gauges(all, "build_info", "The program that runs; always 1", [(build, 1)].into_iter());
        gauge(all, "ready", "Whether /readyz answers 200", u64::from(self.ready));
        let degraded = self.degraded.iter().map(|(component, count)| ([("component", *component)], *count as u64));
        gauges(all, "degraded", "Components that do not work, by kind, as in the body of /readyz; 0 is good", degraded);
        gauge(all, "http_requests_in_flight", "Requests of the public listener that are not answered yet", in_flight);
        let help = "How long work that was ready waited for a thread at the last of the measurements, 50 a second";
        gauge(all, "scheduling_delay_seconds", help, self.scheduling_delay);
        if let Some(sessions) = self.sessions {
            let help = "Sessions in the store, those included that ended in the last five minutes; not told by Redis and PostgreSQL, which \
                would have to count them";
            gauge(all, "sessions", help, sessions);
        }
        let help = "People who wait to be written down in the directory";
        gauge(all, "directory_waiting", help, self.directory_waiting as u64);
        let help = "Sessions in this process's memory, and for some seconds sessions known not to exist";
        gauge(all, "session_cache_entries", help, self.cache_entries);
        gauge(all, "session_cache_bytes", "Memory that these take, about", self.cache_bytes);
        gauge(all, "session_cache_limit_bytes", "Memory that these may take: session.cache_memory", self.cache_limit);
        let fetched = self.keys_fetched.iter().map(|(issuer, at)| ([("issuer", issuer.clone())], *at));
        let help = "When the signing keys of an issuer were last read, changed or not; an issuer whose keys never were is missing";
        gauges(all, "provider_keys_fetched_timestamp_seconds", help, fetched);
        if let Some(process) = ProcessStats::read() {
            add_process(&mut registry, &process);
        }
        registry
    }
}

fn add_process(registry: &mut Registry, process: &ProcessStats) {
    let cpu = ConstCounter::new(process.cpu_seconds);
    registry.register("process_cpu_seconds", "CPU time spent, in user and system mode", cpu);
    gauge(registry, "process_start_time_seconds", "When the process began, epoch seconds", process.start_time_seconds);
    gauge(registry, "process_resident_memory_bytes", "Resident memory", process.resident_bytes);
    gauge(registry, "process_virtual_memory_bytes", "Virtual memory", process.virtual_bytes);
    gauge(registry, "process_open_fds", "Open file descriptors", process.open_fds);
    if let Some(most) = process.max_fds {
        gauge(registry, "process_max_fds", "File descriptors that may be open", most);
    }
}

fn gauge<N>(registry: &mut Registry, name: &str, help: &str, value: N)
where
    N: EncodeGaugeValue + Debug + Send + Sync + 'static,
{
    registry.register(name, help, ConstGauge::new(value));
}

fn gauges<L>(registry: &mut Registry, name: &str, help: &str, values: impl Iterator<Item = (L, u64)>)
where
    L: Clone + Debug + Eq + Hash + EncodeLabelSet + Send + Sync + 'static,
{
    let family = Family::<L, Gauge>::default();
    for (labels, value) in values {
        family.get_or_create(&labels).set(i64::try_from(value).unwrap_or(i64::MAX));
    }
    registry.register(name, help, family);
}
