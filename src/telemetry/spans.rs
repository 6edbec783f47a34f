//! The spans of a request in work that goes on elsewhere.

use std::future::{Future, poll_fn};
use std::pin::pin;
use tracing::dispatcher::{self, Dispatch};
use tracing::{Subscriber, span};
use tracing_subscriber::Registry;
use tracing_subscriber::registry::LookupSpan;

/// `work` in all spans that are entered now. `tracing`'s own `in_current_span` enters the innermost alone; where the log
/// and the traces each have their own, the other of the two would not find its.
pub fn in_current_spans<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let spans = OpenSpans::current();
    async move {
        let mut work = pin!(work);
        poll_fn(|cx| {
            let _entered = spans.enter();
            work.as_mut().poll(cx)
        })
        .await
    }
}

/// Spans, outermost first, that stay open.
struct OpenSpans {
    dispatch: Dispatch,
    ids: Vec<span::Id>,
}

impl OpenSpans {
    fn current() -> Self {
        dispatcher::get_default(|dispatch| {
            let registry = dispatch.downcast_ref::<Registry>();
            let innermost = registry.and_then(|registry| registry.span(registry.current_span().id()?));
            let scope = innermost.into_iter().flat_map(|span| span.scope().from_root());
            let ids = scope.map(|span| dispatch.clone_span(&span.id())).collect();
            Self { dispatch: dispatch.clone(), ids }
        })
    }

    fn enter(&self) -> EnteredSpans<'_> {
        self.ids.iter().for_each(|id| self.dispatch.enter(id));
        EnteredSpans(self)
    }
}

impl Drop for OpenSpans {
    fn drop(&mut self) {
        for id in self.ids.drain(..).rev() {
            self.dispatch.try_close(id);
        }
    }
}

/// Leaves the spans, in a panic too.
struct EnteredSpans<'a>(&'a OpenSpans);

impl Drop for EnteredSpans<'_> {
    fn drop(&mut self) {
        self.0.ids.iter().rev().for_each(|id| self.0.dispatch.exit(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::traces::{TARGET, is_traced};
    use std::io::Write;
    use std::sync::{Arc, Mutex};
    use tracing_subscriber::filter::filter_fn;
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::{Layer, fmt};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(line)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_line_of_the_log_has_its_request_though_a_traced_span_is_the_innermost() {
        let lines = Lines::default();
        let output = lines.clone();
        let log = fmt::layer().with_writer(move || output.clone()).with_filter(filter_fn(|meta| !is_traced(meta)));
        let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(log));
        let work = tracing::error_span!("request", request_id = "the-one").in_scope(|| {
            tracing::info_span!(target: TARGET, "callback").in_scope(|| {
                in_current_spans(async {
                    tokio::task::yield_now().await;
                    tracing::warn!("within");
                })
            })
        });
        work.await;
        tracing::warn!("after");
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let (within, after) = text.trim_end().split_once('\n').unwrap();
        assert!(within.contains("the-one") && !within.contains("callback"), "{text}");
        assert!(after.contains("after") && !after.contains("the-one"), "{text}");
    }
}
