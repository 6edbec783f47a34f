//! The service's log, read by a test. Tests run on one thread each, so a test sees only its own lines.

use std::cell::RefCell;
use std::io;
use std::sync::Once;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

thread_local! {
    static LINES: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Keeps this thread's lines from here on. One subscriber serves all tests: scoped ones race with each
/// other for what tracing caches of each call site.
pub(crate) struct Log;

impl Log {
    pub(crate) fn capture() -> Self {
        static START: Once = Once::new();
        START.call_once(|| {
            let log = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(|| ThreadLines);
            let targets = Targets::new().with_target("auth_api", tracing::Level::DEBUG);
            tracing_subscriber::registry().with(log).with(targets).init();
        });
        LINES.set(Some(Vec::new()));
        Self
    }

    pub(crate) fn text(&self) -> String {
        LINES.with_borrow(|lines| String::from_utf8_lossy(lines.as_deref().unwrap_or_default()).into_owned())
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        LINES.set(None);
    }
}

struct ThreadLines;

impl io::Write for ThreadLines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.with_borrow_mut(|lines| lines.as_mut().map(|lines| lines.extend_from_slice(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
