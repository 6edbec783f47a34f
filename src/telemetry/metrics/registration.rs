//! How a metric that is counted in the code comes to be told.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

/// The labels of a metric: names and values.
pub(super) type Labels<const N: usize> = [(&'static str, &'static str); N];

/// Registers counters that begin at 0.
pub(super) fn add_counters(
    registry: &mut Registry,
    name: &str,
    help: &str,
    label: &'static str,
    values: &[&'static str],
) -> Family<Labels<1>, Counter> {
    let family: Family<Labels<1>, Counter> = add(registry, name, help);
    for value in values {
        drop(family.get_or_create(&[(label, *value)]));
    }
    family
}

/// Registers a metric that begins at nothing.
pub(super) fn add<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    add_made(registry, name, help, M::default())
}

pub(super) fn add_made<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

/// Registers a histogram of each combination of labels.
pub(super) fn add_seconds(
    registry: &mut Registry,
    name: &str,
    help: &str,
    histogram: fn() -> Histogram,
) -> Family<Labels<2>, Histogram> {
    add_made(registry, name, help, Family::new_with_constructor(histogram))
}
