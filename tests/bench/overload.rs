//! More sign-ins than the service can begin: what is answered, what is refused, how long each takes, and what becomes
//! of validates beside them.
//!
//! `cargo bench --bench overload` (needs `wrk`; Linux; two cores). The service is a process of its own with one worker
//! thread, on a core of its own. Requests are sent when they are due, each connection has at most one under way.

#![expect(clippy::print_stdout, reason = "the table is what it is for")]

mod driver;
mod http;
mod site;

use anyhow::{Context, ensure};
use driver::{can_measure, drive, on_core};
use http::{Connection, Cookies};
use site::{HOST, Site, Step};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::sleep_until;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long each load lasts.
const LASTS: Duration = Duration::from_secs(12);
/// Connections that begin sign-ins.
const CONNECTIONS: usize = 2_000;
/// Validates a second, and the connections for them.
const VALIDATES: (f64, usize) = (500.0, 20);
/// The loads, as multiples of what the service can do.
const LOADS: [f64; 5] = [0.5, 1.0, 3.0, 10.0, 0.5];

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("serve") => site::serve(&arguments[1..]),
        Some("measure") => tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(measure()),
        // Cargo says `--bench` when it means it; anything else only asks whether this builds and starts.
        _ if !arguments.iter().any(|a| a == "--bench") => Ok(()),
        _ if !can_measure(&[("wrk", "-v")]) => Ok(()),
        _ => {
            let status = on_core(1, std::env::current_exe()?).arg("measure").status()?;
            ensure!(status.success(), "{status}");
            Ok(())
        }
    }
}

/// The answers of a kind: milliseconds each.
#[derive(Debug, Default)]
struct Answers {
    served: Vec<f64>,
    refused: Vec<f64>,
    /// Requests that were due while their connection still waited for an answer.
    unsent: usize,
}

impl Answers {
    fn add(&mut self, more: Self) {
        self.served.extend(more.served);
        self.refused.extend(more.refused);
        self.unsent += more.unsent;
    }
}

/// The value below which a share of the values is.
fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get((values.len() as f64 * share) as usize).or(values.last()).copied().unwrap_or_default()
}

async fn measure() -> anyhow::Result<()> {
    let site = Site::start("memory:").await?;
    let mut person = site.people().swap_remove(0);
    let (mut service, mut pool) = (site.to_service().await?, site.to_pool().await?);
    for step in [Step::Start, Step::Authorize, Step::Callback] {
        person.take(step, &mut service, &mut pool).await?;
    }
    let port = site.service.port()?;
    let most = drive(&site.service.url("/auth/signin"), &["-H", &format!("Host: {HOST}:{port}")], true)?.per_second;
    println!("the service begins {most:.0} sign-ins a second; milliseconds from request to answer\n");
    println!(
        "{:>8} {:>10} {:>10} {:>10} {:>10} {:>8} {:>8} {:>8} {:>12} {:>8}",
        "load", "due/s", "begun/s", "refused/s", "unsent/s", "p50", "p99", "max", "validates p50", "p99"
    );
    for load in LOADS {
        let asking = tokio::spawn(ask_in_time(port, "/auth/signin", Cookies::default(), most * load, CONNECTIONS));
        let validates = ask_in_time(port, "/validate", person.cookies.clone(), VALIDATES.0, VALIDATES.1).await?;
        let (mut sign_ins, mut validates) = (asking.await??, validates);
        let second = |count: usize| count as f64 / LASTS.as_secs_f64();
        ensure!(validates.refused.is_empty(), "{} validates were refused", validates.refused.len());
        println!(
            "{load:>8} {:>10.0} {:>10.0} {:>10.0} {:>10.0} {:>8.1} {:>8.1} {:>8.1} {:>12.1} {:>8.1}",
            most * load,
            second(sign_ins.served.len()),
            second(sign_ins.refused.len()),
            second(sign_ins.unsent),
            percentile(&mut sign_ins.served, 0.5),
            percentile(&mut sign_ins.served, 0.99),
            percentile(&mut sign_ins.served, 1.0),
            percentile(&mut validates.served, 0.5),
            percentile(&mut validates.served, 0.99),
        );
    }
    Ok(())
}

/// Asks for a path so many times a second, over so many connections in turn.
async fn ask_in_time(
    port: u16,
    path: &'static str,
    cookies: Cookies,
    rate: f64,
    connections: usize,
) -> anyhow::Result<Answers> {
    let (mut asking, pause) = (JoinSet::new(), Duration::from_secs_f64(connections as f64 / rate));
    let began = Instant::now() + Duration::from_secs(1);
    for nth in 0..connections {
        let cookies = cookies.clone();
        let first = began + pause.mul_f64(nth as f64 / connections as f64);
        asking.spawn(async move {
            let mut connection = Connection::open(HOST, port).await?;
            let (mut due, mut answers) = (first, Answers::default());
            while due < began + LASTS {
                sleep_until(due.into()).await;
                let sent = Instant::now();
                let answer = connection.ask(path, &cookies, None).await.context("no answer")?;
                let took = sent.elapsed();
                match answer.status {
                    200 | 302 | 303 => answers.served.push(took.as_secs_f64() * 1e3),
                    503 => answers.refused.push(took.as_secs_f64() * 1e3),
                    other => anyhow::bail!("{other}: {answer:?}"),
                }
                due += pause;
                while due + pause < Instant::now() {
                    due += pause;
                    answers.unsent += 1;
                }
            }
            anyhow::Ok(answers)
        });
    }
    let mut all = Answers::default();
    while let Some(answers) = asking.join_next().await {
        all.add(answers??);
    }
    Ok(all)
}
