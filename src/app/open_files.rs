//! What the system allows the process of files: how many may be open, and how large they may become.

/// Files that are never left to connections of the public listener: the ops listener's, the store, the provider, the log.
const RESERVE: u64 = 128;
/// Connections of the ops listener at once; a part of the reserve.
pub(super) const OPS_CONNECTIONS: usize = 32;

/// Raises the soft limit of open files to the hard limit (`RLIMIT_NOFILE`). The limit that counts from now on; `None` where
/// there is none.
#[cfg(unix)]
pub(super) fn raise_limit() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let before = getrlimit(Resource::Nofile);
    if before.current == before.maximum {
        return before.current;
    }
    // Some systems allow less than they say: the limit stays as it was.
    match setrlimit(Resource::Nofile, Rlimit { current: before.maximum, maximum: before.maximum }) {
        Ok(()) => tracing::info!(from = before.current, to = before.maximum, "open file limit raised"),
        Err(error) => tracing::warn!(limit = before.current, %error, "open file limit not raised"),
    }
    getrlimit(Resource::Nofile).current
}

/// Has a write fail (EFBIG) that would make a file larger than `RLIMIT_FSIZE`. By default the signal that tells so ends the
/// process.
#[cfg(unix)]
pub(super) fn ignore_file_size_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    // A signal that was listened for once does nothing by default from then on.
    if let Err(error) = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw())) {
        tracing::warn!(%error, "file size signal not caught");
    }
}

/// There is no such signal.
#[cfg(not(unix))]
pub(super) fn ignore_file_size_signal() {}

/// There is no such limit.
#[cfg(not(unix))]
pub(super) fn raise_limit() -> Option<u64> {
    None
}

/// How many connections the public listener may hold where `limit` files may be open: a quarter of them, at least
/// 128, are kept back, and of a very small limit three quarters.
pub(super) fn max_connections(limit: Option<u64>) -> usize {
    let Some(limit) = limit else { return usize::MAX };
    let left = limit.saturating_sub(RESERVE.max(limit / 4)).max(limit / 4);
    usize::try_from(left).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserve_is_kept_back_of_every_limit() {
        for (limit, connections) in [(65_536, 49_152), (1_024, 768), (256, 128), (100, 25), (0, 0)] {
            assert_eq!(max_connections(Some(limit)), connections, "{limit}");
        }
        assert_eq!(max_connections(None), usize::MAX);
    }
}
