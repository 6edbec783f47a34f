//! What a sign-in, a renewal and a sign-out cost the service, and what they do to validates beside them.
//!
//! `cargo bench --bench sign_in` (needs `wrk`; Linux; two cores). The service is a process of its own with
//! one worker thread, on a core of its own. On the other core are what asks it and the dev pool, a further process
//! that goes last. Processor time is the service's alone, TLS to a pool is not in it.

#![expect(clippy::print_stdout, reason = "the tables are what it is for")]

mod driver;
mod http;
mod site;

use anyhow::{Context, ensure};
use driver::{can_measure, drive, on_core, spread};
use http::{Connection, Cookies, request};
use site::{HOST, Person, STEPS, Site, Step};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;
use tokio::task::JoinSet;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 7;
/// Of the measurement of latencies: how long a round takes, its connections, and requests a life of a session takes.
const SECONDS: Duration = Duration::from_secs(4);
const CONNECTIONS: usize = 64;
const LIFE: f64 = 4.0;
/// The part of the traffic that is no validate.
const PART: f64 = 0.01;

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

async fn measure() -> anyhow::Result<()> {
    let site = Site::start("memory:").await?;
    processor_time(&site).await?;
    latencies(&site).await
}

/// What each step costs the service.
async fn processor_time(site: &Site) -> anyhow::Result<()> {
    let mut micros = [const { Vec::new() }; STEPS.len()];
    let mut whole = vec![];
    for round in 0..=ROUNDS {
        let mut people = site.people();
        for (nth, (step, _)) in STEPS.into_iter().enumerate() {
            let before = site.service.threads_time()?;
            people = site.all_take(people, step).await?;
            // The first round warms up.
            if round > 0 {
                micros[nth].push((site.service.threads_time()? - before) * 1e6 / people.len() as f64);
            }
        }
        if round > 0 {
            whole.push([0, 2, 3].iter().map(|&nth: &usize| micros[nth][round - 1]).sum());
        }
    }
    println!(
        "processor time of the service, µs, median of {ROUNDS} rounds of {} people [min .. max]\n",
        site.at_pool.len()
    );
    let print = |name: &str, micros: &[f64]| {
        let (middle, least, most) = spread(micros);
        println!("{name:36} {middle:>8.1} [{least:.1} .. {most:.1}]");
    };
    for ((step, name), micros) in STEPS.iter().zip(&micros).filter(|((step, _), _)| *step != Step::Authorize) {
        print(name, micros);
        if *step == Step::Validate {
            print("a whole sign-in: these three", &whole);
        }
    }
    Ok(())
}

/// Validates at half of what the service can do, alone and beside one request in a hundred of another kind.
async fn latencies(site: &Site) -> anyhow::Result<()> {
    let mut person = site.people().swap_remove(0);
    let (mut service, mut pool) = (site.to_service().await?, site.to_pool().await?);
    for step in [Step::Start, Step::Authorize, Step::Callback] {
        person.take(step, &mut service, &mut pool).await?;
    }
    let validate = request(&format!("{HOST}:{}", site.service.port()?), "/validate", &person.cookies, None);
    let cookie = validate.lines().find(|line| line.starts_with("Cookie")).context("a cookie")?;
    let most = drive(&site.service.url("/validate"), &["-H", cookie], true)?.per_second;
    let rate = most / 2.0;
    println!("\n{rate:.0} validates a second, half of what the service can do; µs from request to answer");
    println!("beside them 1 in 100 requests are sign-ins, renewals and sign-outs\n");
    let (mut alone, mut beside, mut ratios, mut lives) = (vec![], vec![], vec![], vec![]);
    for _ in 0..ROUNDS {
        let quiet = validates(site, &validate, rate).await?;
        let lived =
            tokio::spawn(live(site.service.port()?, site.pool.port()?, site.at_pool.clone(), rate * PART / LIFE));
        let busy = validates(site, &validate, rate).await?;
        lives.push(f64::from(lived.await??) / SECONDS.as_secs_f64());
        ratios.push(busy[1] / quiet[1]);
        alone.push(quiet);
        beside.push(busy);
    }
    for (name, rounds) in [("alone", &alone), ("beside", &beside)] {
        for (nth, percent) in ["p50", "p99"].iter().enumerate() {
            let (middle, least, most) = spread(&rounds.iter().map(|round| round[nth]).collect::<Vec<_>>());
            println!("{name:8} {percent} {middle:>8.0} [{least:.0} .. {most:.0}]");
        }
    }
    let (ratio, least, most) = spread(&ratios);
    println!("p99 beside, of that alone: {ratio:.2} [{least:.2} .. {most:.2}]");
    println!("sessions begun, renewed and ended a second: {:.0} of {:.0}", spread(&lives).0, rate * PART / LIFE);
    Ok(())
}

/// Sessions that begin, are renewed and end, so many a second; how many were whole.
async fn live(service: u16, pool: u16, at_pool: Vec<Cookies>, rate: f64) -> anyhow::Result<u32> {
    let mut users = at_pool.into_iter().cycle();
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / rate));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    let idle = Arc::new(Mutex::new(vec![]));
    let (mut lives, ends) = (JoinSet::new(), Instant::now() + SECONDS);
    while Instant::now() < ends {
        ticks.tick().await;
        let (idle, at_pool) = (idle.clone(), users.next().unwrap_or_default());
        lives.spawn(async move {
            let free = idle.lock().ok().and_then(|mut idle| idle.pop());
            let (mut to_service, mut to_pool) = match free {
                Some(connections) => connections,
                None => (Connection::open(HOST, service).await?, Connection::open("127.0.0.1", pool).await?),
            };
            let mut person = Person { at_pool, ..Person::default() };
            for step in [Step::Start, Step::Authorize, Step::Callback, Step::Renew, Step::SignOut] {
                person.take(step, &mut to_service, &mut to_pool).await?;
            }
            if let Ok(mut idle) = idle.lock() {
                idle.push((to_service, to_pool));
            }
            anyhow::Ok(())
        });
    }
    let mut whole = 0;
    while let Some(life) = lives.join_next().await {
        life??;
        whole += 1;
    }
    Ok(whole)
}

/// The latencies of validates, sent on time whether the earlier ones are answered or not: median and p99 in µs.
async fn validates(site: &Site, request: &str, rate: f64) -> anyhow::Result<[f64; 2]> {
    let (mut writers, mut readers) = (vec![], JoinSet::new());
    let count = (rate * SECONDS.as_secs_f64()) as usize / CONNECTIONS * CONNECTIONS;
    let length = answer_length(site, request)?;
    for _ in 0..CONNECTIONS {
        let stream = std::net::TcpStream::connect(("127.0.0.1", site.service.port()?))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let sent = Arc::new(Mutex::new(VecDeque::new()));
        writers.push((stream.try_clone()?, sent.clone()));
        let stream = tokio::net::TcpStream::from_std(stream)?;
        readers.spawn(read_answers(stream, sent, length, count / CONNECTIONS));
    }
    let request = request.to_owned();
    let pace = move || {
        let began = Instant::now();
        for nth in 0..count {
            let due = began + Duration::from_secs_f64(nth as f64 / rate);
            while Instant::now() < due {
                std::thread::sleep(Duration::from_micros(20));
            }
            let (stream, sent) = &mut writers[nth % CONNECTIONS];
            if let Ok(mut sent) = sent.lock() {
                sent.push_back(Instant::now());
            }
            stream.write_all(request.as_bytes())?;
        }
        anyhow::Ok(())
    };
    tokio::task::spawn_blocking(pace).await??;
    let mut all = Vec::with_capacity(count);
    while let Some(read) = readers.join_next().await {
        all.extend(read??);
    }
    ensure!(all.len() == count, "{} answers to {count} validates", all.len());
    all.sort_by(f64::total_cmp);
    Ok([all[count / 2], all[count * 99 / 100]])
}

/// Every answer to the same request is as long.
fn answer_length(site: &Site, request: &str) -> anyhow::Result<usize> {
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", site.service.port()?))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = [0; 1 << 16];
    let length = stream.read(&mut answer)?;
    ensure!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..length]));
    Ok(length)
}

async fn read_answers(
    mut stream: tokio::net::TcpStream,
    sent: Arc<Mutex<VecDeque<Instant>>>,
    length: usize,
    count: usize,
) -> anyhow::Result<Vec<f64>> {
    let (mut buffer, mut micros) = (Vec::with_capacity(1 << 16), vec![]);
    while micros.len() < count {
        ensure!(stream.read_buf(&mut buffer).await? > 0, "the service closed a connection");
        let now = Instant::now();
        while buffer.len() >= length {
            ensure!(buffer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&buffer));
            buffer.drain(..length);
            let sent = sent.lock().ok().and_then(|mut sent| sent.pop_front()).context("more answers than requests")?;
            micros.push((now - sent).as_secs_f64() * 1e6);
        }
    }
    Ok(micros)
}
