//! Servers as processes of their own, driven by wrk; processor time from /proc.

#![allow(dead_code, reason = "each benchmark uses a part")]

use anyhow::{Context, bail, ensure};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

pub const SECONDS: usize = 2;
pub const CONNECTIONS: usize = 64;
/// `USER_HZ`: the unit of the times in `/proc/PID/stat`, the same on every Linux we run on.
const TICKS: f64 = 100.0;

/// Whether this machine has what the measurement takes; says what is missing.
pub fn can_measure(programs: &[(&str, &str)]) -> bool {
    let missing = programs.iter().find(|(program, flag)| !runs(program, flag));
    if let Some((program, _)) = missing {
        println!("skipped: {program} not installed");
    } else if !cfg!(target_os = "linux") {
        println!("skipped: processor time is read from /proc");
    }
    missing.is_none() && cfg!(target_os = "linux")
}

/// This benchmark started once more, as a server.
pub struct Server {
    process: Child,
    /// What it said about itself.
    pub said: serde_json::Value,
}

impl Server {
    /// Starts `serve WHAT` with further configuration, `KEY=VALUE` each.
    pub fn start(what: &str, configuration: &[String]) -> anyhow::Result<Self> {
        Self::start_as(on_one_core(std::env::current_exe()?), what, configuration)
    }

    /// The same on another core, where everything else goes first.
    pub fn start_nice(core: usize, what: &str, configuration: &[String]) -> anyhow::Result<Self> {
        let mut command = on_core(core, "nice");
        command.args(["-n", "19"]).arg(std::env::current_exe()?);
        Self::start_as(command, what, configuration)
    }

    /// The same on all cores.
    pub fn start_everywhere(what: &str, configuration: &[String]) -> anyhow::Result<Self> {
        Self::start_as(Command::new(std::env::current_exe()?), what, configuration)
    }

    /// The same on one core, without what it writes to standard error.
    pub fn start_silent(what: &str, configuration: &[String]) -> anyhow::Result<Self> {
        let mut command = on_one_core(std::env::current_exe()?);
        command.stderr(Stdio::null());
        Self::start_as(command, what, configuration)
    }

    fn start_as(mut command: Command, what: &str, configuration: &[String]) -> anyhow::Result<Self> {
        let command = command.args(["serve", what]).args(configuration);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().context("a piped stdout")?).read_line(&mut line)?;
        let said = serde_json::from_str(&line).with_context(|| format!("{what} did not start"))?;
        Ok(Self { process, said })
    }

    /// An address of it.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.said["port"])
    }

    /// Its port.
    pub fn port(&self) -> anyhow::Result<u16> {
        Ok(u16::try_from(self.said["port"].as_u64().context("a port")?)?)
    }

    /// User and system seconds spent so far.
    pub fn processor_time(&self) -> anyhow::Result<f64> {
        processor_time(&self.process)
    }

    /// The same to the nanosecond, of the threads that it has.
    pub fn threads_time(&self) -> anyhow::Result<f64> {
        let mut nanoseconds = 0.0;
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.process.id()))? {
            let spent = std::fs::read_to_string(thread?.path().join("schedstat"))?;
            nanoseconds += spent.split(' ').next().context("short")?.parse::<f64>()?;
        }
        Ok(nanoseconds / 1e9)
    }
}

impl Server {
    /// Bytes of memory in use.
    pub fn memory(&self) -> anyhow::Result<f64> {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.process.id()))?;
        let pages: f64 = statm.split(' ').nth(1).context("short")?.parse()?;
        Ok(pages * 4_096.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// User and system seconds that a process has spent so far.
pub fn processor_time(process: &Child) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.id()))?;
    Ok((stat_field(&stat, 11)? + stat_field(&stat, 12)?) / TICKS)
}

/// The same of all processes of a group, those that have ended included.
pub fn processor_times_of_group(group: u32) -> anyhow::Result<f64> {
    let mut sum = 0.0;
    for process in std::fs::read_dir("/proc")? {
        let Ok(stat) = std::fs::read_to_string(process?.path().join("stat")) else { continue };
        if stat_field(&stat, 2)? == f64::from(group) {
            for nth in 11..=14 {
                sum += stat_field(&stat, nth)?;
            }
        }
    }
    Ok(sum / TICKS)
}

/// A number of `/proc/PID/stat`, counted from the one after the program's name, which may hold spaces.
fn stat_field(stat: &str, nth: usize) -> anyhow::Result<f64> {
    let (_, fields) = stat.rsplit_once(')').context("no process name")?;
    Ok(fields.split_whitespace().nth(nth).context("short")?.parse().unwrap_or_default())
}

/// Median, least and most.
pub fn spread(values: &[f64]) -> (f64, f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    (sorted[sorted.len() / 2], sorted[0], sorted[sorted.len() - 1])
}

/// What wrk counted.
pub struct Requests {
    pub total: f64,
    pub per_second: f64,
    /// 99 of a hundred answers took no longer, milliseconds.
    pub p99: f64,
}

/// Asks `url` with `options` of wrk for [`SECONDS`]; all answers have to be good, or all bad.
pub fn drive(url: &str, options: &[&str], good: bool) -> anyhow::Result<Requests> {
    let mut wrk = match runs("taskset", "-V") && std::thread::available_parallelism()?.get() > 1 {
        true => Command::new("taskset"),
        false => Command::new("wrk"),
    };
    if wrk.get_program() == "taskset" {
        wrk.args(["-c", "1", "wrk"]);
    }
    wrk.args(["-t1".into(), format!("-c{CONNECTIONS}"), format!("-d{SECONDS}s"), "--latency".into()]);
    let output = wrk.args(options).arg(url).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let number = |line: &str| line.split_whitespace().find_map(|word| word.trim_end_matches(',').parse::<f64>().ok());
    let find = |part: &str| text.lines().find(|line| line.contains(part)).and_then(number);
    let (Some(total), Some(per_second)) = (find(" requests in "), find("Requests/sec:")) else {
        bail!("wrk: {text}{}", String::from_utf8_lossy(&output.stderr));
    };
    let p99 = text.lines().find_map(|line| milliseconds(line.trim().strip_prefix("99%")?.trim())).unwrap_or_default();
    ensure!(!text.contains("Socket errors"), "{url}: {text}");
    let refused = find("Non-2xx").unwrap_or(0.0);
    ensure!(refused == if good { 0.0 } else { total }, "{url}: {text}");
    Ok(Requests { total, per_second, p99 })
}

/// A time as wrk writes it.
fn milliseconds(time: &str) -> Option<f64> {
    let unit = time.find(|c: char| c.is_ascii_alphabetic())?;
    let factor = match &time[unit..] {
        "us" => 1e-3,
        "ms" => 1.0,
        "s" => 1e3,
        _ => return None,
    };
    Some(time[..unit].parse::<f64>().ok()? * factor)
}

/// A program on a core of its own, which keeps the driver and the scheduler out of the figure.
pub fn on_one_core(program: impl AsRef<OsStr>) -> Command {
    on_core(0, program)
}

/// The same on a core of choice.
pub fn on_core(core: usize, program: impl AsRef<OsStr>) -> Command {
    if !runs("taskset", "-V") {
        return Command::new(program);
    }
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string()]).arg(program);
    command
}

pub fn runs(program: &str, flag: &str) -> bool {
    Command::new(program).arg(flag).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}
