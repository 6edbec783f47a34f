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

    /// The same on all cores.
    pub fn start_everywhere(what: &str, configuration: &[String]) -> anyhow::Result<Self> {
        Self::start_as(Command::new(std::env::current_exe()?), what, configuration)
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

    /// User and system seconds spent so far.
    pub fn processor_time(&self) -> anyhow::Result<f64> {
        processor_time(&self.process)
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
    // The second field is the program's name and may hold spaces.
    let (_, fields) = stat.rsplit_once(')').context("no process name")?;
    let ticks =
        |nth: usize| -> anyhow::Result<f64> { Ok(fields.split_whitespace().nth(nth).context("short")?.parse()?) };
    Ok((ticks(11)? + ticks(12)?) / TICKS)
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
    wrk.args(["-t1".into(), format!("-c{CONNECTIONS}"), format!("-d{SECONDS}s")]);
    let output = wrk.args(options).arg(url).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let number = |line: &str| line.split_whitespace().find_map(|word| word.trim_end_matches(',').parse::<f64>().ok());
    let find = |part: &str| text.lines().find(|line| line.contains(part)).and_then(number);
    let (Some(total), Some(per_second)) = (find(" requests in "), find("Requests/sec:")) else {
        bail!("wrk: {text}{}", String::from_utf8_lossy(&output.stderr));
    };
    ensure!(!text.contains("Socket errors"), "{url}: {text}");
    let refused = find("Non-2xx").unwrap_or(0.0);
    ensure!(refused == if good { 0.0 } else { total }, "{url}: {text}");
    Ok(Requests { total, per_second })
}

/// A program on a core of its own, which keeps the driver and the scheduler out of the figure.
pub fn on_one_core(program: impl AsRef<OsStr>) -> Command {
    if !runs("taskset", "-V") {
        return Command::new(program);
    }
    let mut command = Command::new("taskset");
    command.args(["-c", "0"]).arg(program);
    command
}

pub fn runs(program: &str, flag: &str) -> bool {
    Command::new(program).arg(flag).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}
