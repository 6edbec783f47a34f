//! This process as the operating system sees it, under the names that every client library of Prometheus gives it. On
//! Linux only; nothing elsewhere.

use std::fs;

/// What is read of `/proc`, all of it while the metrics are asked for.
#[derive(Debug, PartialEq)]
pub(super) struct ProcessStats {
    pub(super) cpu_seconds: f64,
    pub(super) start_time_seconds: f64,
    pub(super) resident_bytes: u64,
    pub(super) virtual_bytes: u64,
    pub(super) open_fds: u64,
    /// `None` without a limit.
    pub(super) max_fds: Option<u64>,
}

impl ProcessStats {
    pub(super) fn read() -> Option<Self> {
        let text = |path| fs::read_to_string(path).ok();
        let open_fds = fs::read_dir("/proc/self/fd").ok()?.count() as u64;
        Self::parse(
            &text("/proc/self/stat")?,
            &text("/proc/self/status")?,
            &text("/proc/self/limits")?,
            &text("/proc/stat")?,
            // One of them is the folder itself, open to be read.
            open_fds.saturating_sub(1),
        )
    }

    /// Reads the files of proc(5).
    fn parse(stat: &str, status: &str, limits: &str, system: &str, open_fds: u64) -> Option<Self> {
        /// What the kernel counts times in for programs, on every architecture that this is built for.
        const TICKS_A_SECOND: f64 = 100.0;
        // The name of the program may have spaces and parentheses in it. After it comes field 3.
        let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let seconds = |field: usize| Some(fields.get(field - 3)?.parse::<u64>().ok()? as f64 / TICKS_A_SECOND);
        let line = |text: &str, name: &str| -> Option<Vec<String>> {
            let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
            Some(rest.split_whitespace().map(str::to_owned).collect())
        };
        let kilobytes = |name| Some(line(status, name)?.first()?.parse::<u64>().ok()? * 1_024);
        let booted: f64 = line(system, "btime ")?.first()?.parse().ok()?;
        Some(Self {
            cpu_seconds: seconds(14)? + seconds(15)?,
            start_time_seconds: booted + seconds(22)?,
            resident_bytes: kilobytes("VmRSS:")?,
            virtual_bytes: kilobytes("VmSize:")?,
            open_fds,
            max_fds: line(limits, "Max open files ")?.first()?.parse().ok(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "7 (a) b (c) S 1 7 7 0 -1 4194560 9 0 0 0 150 50 0 0 20 0 5 0 1250 1048576 300";
    const STATUS: &str = "Name:\ta\nVmSize:\t    1024 kB\nVmRSS:\t     512 kB\n";
    const LIMITS: &str = "Limit                     Soft Limit           Hard Limit           Units     \n\
        Max open files            1024                 4096                 files     \n";

    #[test]
    fn the_files_of_proc_are_read() {
        let parse = |stat, limits| ProcessStats::parse(stat, STATUS, limits, "cpu  1 2\nbtime 1700000000\n", 12);
        let expected = ProcessStats {
            cpu_seconds: 2.0,
            start_time_seconds: 1_700_000_012.5,
            resident_bytes: 512 << 10,
            virtual_bytes: 1 << 20,
            open_fds: 12,
            max_fds: Some(1_024),
        };
        assert_eq!(parse(STAT, LIMITS), Some(expected));
        let unlimited = LIMITS.replace("1024 ", "unlimited ");
        assert_eq!(parse(STAT, &unlimited).map(|stats| stats.max_fds), Some(None));
        assert_eq!(parse("7 (a) S 1", LIMITS), None);
        assert_eq!(parse("", LIMITS), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_figures() {
        let stats = ProcessStats::read().unwrap();
        assert!(stats.resident_bytes > 1 << 20 && stats.virtual_bytes >= stats.resident_bytes, "{stats:?}");
        assert!(stats.open_fds >= 3 && stats.max_fds.is_none_or(|most| most >= stats.open_fds), "{stats:?}");
        assert!(stats.cpu_seconds >= 0.0 && stats.start_time_seconds > 1.6e9, "{stats:?}");
    }
}
