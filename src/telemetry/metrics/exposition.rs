//! Prometheus' text format (version 0.0.4), which is what reads metrics everywhere. The library writes OpenMetrics, which
//! names a counter without its suffix where it is described.

use prometheus_client::encoding::text::encode_registry;
use prometheus_client::registry::Registry;

/// What the body of `/metrics` is called.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Writes all metrics of a registry.
pub(super) fn write(text: &mut String, registry: &Registry) {
    let mut openmetrics = String::new();
    // Writing to a String cannot fail.
    let _ = encode_registry(&mut openmetrics, registry);
    let mut help = None;
    for line in openmetrics.lines() {
        if line.starts_with("# HELP ") {
            help = Some(line);
            continue;
        }
        let suffix = if line.starts_with("# TYPE ") && line.ends_with(" counter") { "_total" } else { "" };
        for line in help.take().into_iter().chain([line]) {
            let described = ["# HELP ", "# TYPE "].iter().find_map(|kind| Some((*kind, line.strip_prefix(kind)?)));
            match described.and_then(|(kind, rest)| Some((kind, rest.split_once(' ')?))) {
                Some((kind, (name, rest))) => text.extend([kind, name, suffix, " ", rest, "\n"]),
                None => text.extend([line, "\n"]),
            }
        }
    }
}
