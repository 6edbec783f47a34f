//! What an event takes of Redis and of the service's processes.

use super::driver::{Server, can_measure};
use super::site::{STEPS, Site, Step};
use anyhow::Context;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Further processes of the service that are told of everything.
const LISTENERS: usize = 20;

/// A redis-server on a port of the system's choice.
struct Redis(Child, u16);

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What Redis counts: memory, bytes in and out, processor seconds.
#[derive(Debug, Clone, Copy)]
struct Counts {
    memory: f64,
    bytes: f64,
    seconds: f64,
}

impl Redis {
    fn start() -> anyhow::Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let arguments = ["--bind", "127.0.0.1", "--save", "", "--port", &port.to_string()];
        let child = Command::new("redis-server").args(arguments).stdout(Stdio::null()).spawn()?;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::yield_now();
        }
        Ok(Self(child, port))
    }

    fn counts(&self) -> anyhow::Result<Counts> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.1))?;
        stream.write_all(b"INFO\r\nQUIT\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let number = |name: &str| -> anyhow::Result<f64> {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            Ok(line.with_context(|| format!("INFO lacks {name}"))?.parse()?)
        };
        Ok(Counts {
            memory: number("used_memory")?,
            bytes: number("total_net_input_bytes")? + number("total_net_output_bytes")?,
            seconds: number("used_cpu_user")? + number("used_cpu_sys")?,
        })
    }
}

/// One who is told of every change, and counts the keys.
struct Listener(TcpStream);

impl Listener {
    fn start(redis: &Redis) -> anyhow::Result<Self> {
        let mut stream = TcpStream::connect(("127.0.0.1", redis.1))?;
        let prefixes = ["s", "d", "m"].map(|kind| format!(" PREFIX auth-api:{kind}:")).concat();
        stream.write_all(format!("HELLO 3\r\nCLIENT TRACKING ON BCAST{prefixes}\r\n").as_bytes())?;
        stream.set_read_timeout(Some(Duration::from_millis(300)))?;
        let mut listener = Self(stream);
        listener.keys();
        Ok(listener)
    }

    /// How many keys it was told of since the last time, and in how many bytes.
    fn keys(&mut self) -> (f64, f64) {
        let mut text = vec![];
        let _ = self.0.read_to_end(&mut text);
        let keys = String::from_utf8_lossy(&text).matches("auth-api:").count();
        (keys as f64, text.len() as f64)
    }
}

pub fn measure() -> anyhow::Result<()> {
    if !can_measure(&[("redis-server", "--version")]) {
        return Ok(());
    }
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(measure_all())
}

async fn measure_all() -> anyhow::Result<()> {
    let redis = Redis::start()?;
    let site = Site::start(&format!("redis://127.0.0.1:{}", redis.1)).await?;
    let mut listener = Listener::start(&redis)?;
    let resting = rest(&redis, &site.service).await?;
    let alone = steps(&redis, &site, &mut listener).await?;
    let many = (0..LISTENERS).map(|_| site.start_another()).collect::<anyhow::Result<Vec<Server>>>()?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let idle = rest(&redis, &many[0]).await?;
    let listened = many[0].threads_time()?;
    let told = steps(&redis, &site, &mut listener).await?;
    let seconds: f64 = told.iter().map(|step| step.seconds).sum();
    let keys: f64 = told.iter().map(|step| step.keys).sum();
    let spent = many[0].threads_time()? - listened - idle.process * seconds;
    let redis_more: f64 = told.iter().zip(&alone).map(|(told, alone)| told.redis - alone.redis).sum();
    let push_bytes = told.iter().map(|step| step.push_bytes).sum::<f64>() / keys;
    let people = site.at_pool.len() as f64;
    for (name, steps) in [
        ("sign_in", &[Step::Start, Step::Callback, Step::Validate][..]),
        ("renewal", &[Step::Renew]),
        ("sign_out", &[Step::SignOut]),
        ("(validate)", &[Step::ValidateAgain]),
    ] {
        let of = |value: fn(&StepCost) -> f64| {
            alone.iter().filter(|cost| steps.contains(&cost.step)).map(value).sum::<f64>() / people
        };
        println!(
            "[{name}]\npushes = {:.2}\nredis_bytes = {:.0}\nredis_micros = {:.1}\nprocess_micros = {:.0}\nmemory = {:.0}",
            of(|cost| cost.keys),
            of(|cost| cost.bytes - cost.push_bytes),
            of(|cost| cost.redis) * 1e6,
            of(|cost| cost.process) * 1e6,
            of(|cost| cost.memory),
        );
    }
    println!("[idle]\npushes = 1\nredis_bytes = {:.0}", resting.bytes);
    println!("redis_micros = {:.0}\nprocess_micros = {:.0}", resting.redis * 1e6, resting.process * 1e6);
    println!("[push]\nbytes = {push_bytes:.0}");
    println!("redis_micros = {:.2}", (redis_more - idle.redis * seconds) / keys / LISTENERS as f64 * 1e6);
    println!("process_micros = {:.2}", spent / keys * 1e6);
    println!(
        "\n# {LISTENERS} more idle processes: Redis {:.2} % of a core, each process {:.2} %, {:.0} bytes a second through Redis",
        idle.redis * 100.0,
        idle.process * 100.0,
        idle.bytes
    );
    Ok(())
}

/// A second of Redis and of a process that nobody asks.
#[derive(Debug)]
struct Rest {
    redis: f64,
    process: f64,
    bytes: f64,
}

async fn rest(redis: &Redis, server: &Server) -> anyhow::Result<Rest> {
    const SECONDS: f64 = 10.0;
    let (before, spent) = (redis.counts()?, server.threads_time()?);
    tokio::time::sleep(Duration::from_secs_f64(SECONDS)).await;
    let after = redis.counts()?;
    Ok(Rest {
        redis: (after.seconds - before.seconds) / SECONDS,
        process: (server.threads_time()? - spent) / SECONDS,
        bytes: (after.bytes - before.bytes) / SECONDS,
    })
}

/// What a step of all people took.
#[derive(Debug)]
struct StepCost {
    step: Step,
    seconds: f64,
    keys: f64,
    push_bytes: f64,
    bytes: f64,
    memory: f64,
    redis: f64,
    process: f64,
}

async fn steps(redis: &Redis, site: &Site, listener: &mut Listener) -> anyhow::Result<Vec<StepCost>> {
    let (mut people, mut costs) = (site.people(), vec![]);
    for (step, _) in STEPS {
        listener.keys();
        let (before, spent, began) = (redis.counts()?, site.service.threads_time()?, std::time::Instant::now());
        people = site.all_take(people, step).await?;
        let (keys, push_bytes) = listener.keys();
        let after = redis.counts()?;
        costs.push(StepCost {
            step,
            seconds: began.elapsed().as_secs_f64(),
            keys,
            push_bytes,
            bytes: after.bytes - before.bytes,
            memory: after.memory - before.memory,
            redis: after.seconds - before.seconds,
            process: site.service.threads_time()? - spent,
        });
    }
    Ok(costs)
}
