//! How cost grows with sessions and processes: closed formulae over measured constants, some checked by a simulation.
//!
//! `cargo bench --bench growth` prints the table of `src/guide/growth.md` from `tests/data/growth.toml`, without a clock
//! or a network. With `-- --measure` it measures the constants of that file that come from Redis (needs
//! `redis-server`; Linux).

#![expect(clippy::print_stdout, reason = "the tables are what it is for")]

mod driver;
mod http;
mod measured;
mod site;

use quick_cache::sync::Cache;
use serde::Deserialize;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CONSTANTS: &str = "tests/data/growth.toml";
const SESSIONS: [f64; 6] = [1e3, 1e4, 1e5, 1e6, 1e7, 1e8];
const PROCESSES: [f64; 4] = [1.0, 4.0, 16.0, 100.0];
/// Of the middle of the span in which a session is renewed ahead of time.
const RENEWED_AT: f64 = 0.825;
const DAY: f64 = 86_400.0;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("serve") => site::serve(&arguments[1..]),
        _ if arguments.iter().any(|argument| argument == "--measure") => measured::measure(),
        _ => {
            let constants: Constants = toml::from_str(&std::fs::read_to_string(CONSTANTS)?)?;
            table(&constants);
            check_hit_ratio(&constants)
        }
    }
}

/// What is measured, and what is assumed of people.
#[derive(Debug, Deserialize)]
struct Constants {
    session: SessionBytes,
    sign_in: Event,
    renewal: Event,
    sign_out: Event,
    idle: Event,
    push: Push,
    validate: Validate,
    people: People,
}

#[derive(Debug, Deserialize)]
struct SessionBytes {
    redis: f64,
    process: f64,
    cache: f64,
}

/// What one takes in all. Pushes are to each process.
#[derive(Debug, Deserialize)]
struct Event {
    pushes: f64,
    redis_bytes: f64,
    redis_micros: f64,
    process_micros: f64,
}

/// One key that a process is told of.
#[derive(Debug, Deserialize)]
struct Push {
    bytes: f64,
    redis_micros: f64,
    process_micros: f64,
}

#[derive(Debug, Deserialize)]
struct Validate {
    process_micros: f64,
    miss_process_micros: f64,
    miss_redis_micros: f64,
    miss_redis_bytes: f64,
}

#[derive(Debug, Deserialize)]
struct People {
    active: f64,
    validates_per_second: f64,
    sign_ins_per_day: f64,
    peak: f64,
    access_token_seconds: f64,
    cognito_requests_per_second: f64,
}

/// What so many sessions cost so many processes in the busiest hour.
#[derive(Debug)]
struct Cost {
    sign_ins: f64,
    renewals: f64,
    /// To each process, a second.
    pushes: f64,
    hit_ratio: f64,
    redis_gigabytes: f64,
    redis_megabytes_per_second: f64,
    /// Of one core.
    redis_core: f64,
    process_core: f64,
    process_megabytes: f64,
}

impl Constants {
    fn cost(&self, sessions: f64, processes: f64) -> Cost {
        let People { active, validates_per_second, sign_ins_per_day, peak, access_token_seconds, .. } = self.people;
        let active = sessions * active;
        let sign_ins = sessions * sign_ins_per_day / DAY * peak;
        let renewals = active / (RENEWED_AT * access_token_seconds);
        // As many end as begin. Each process writes a canary each second, which is pushed to it alone.
        let writes = [(&self.sign_in, sign_ins), (&self.sign_out, sign_ins), (&self.renewal, renewals)];
        let pushes = writes.iter().map(|(event, rate)| event.pushes * rate).sum::<f64>() + self.idle.pushes;
        let events = [writes.as_slice(), &[(&self.idle, processes)]].concat();
        let sum = |of: fn(&Event) -> f64| events.iter().map(|(event, rate)| of(event) * rate).sum::<f64>();
        let hit_ratio = self.hit_ratio(active, processes, self.session.cache);
        let validates = active * validates_per_second;
        let misses = validates * (1.0 - hit_ratio);
        let push = &self.push;
        let told = pushes * processes;
        let redis_bytes = sum(|event| event.redis_bytes) + told * push.bytes + misses * self.validate.miss_redis_bytes;
        let redis_micros =
            sum(|event| event.redis_micros) + told * push.redis_micros + misses * self.validate.miss_redis_micros;
        let own = sum(|event| event.process_micros)
            + validates * self.validate.process_micros
            + misses * (self.validate.miss_process_micros - self.validate.process_micros);
        Cost {
            sign_ins,
            renewals,
            pushes,
            hit_ratio,
            redis_gigabytes: sessions * self.session.redis / 1e9,
            redis_megabytes_per_second: redis_bytes / 1e6,
            redis_core: redis_micros / 1e6,
            process_core: (own / processes + pushes * push.process_micros) / 1e6,
            process_megabytes: self.session.cache.min(active * self.session.process) / 1e6,
        }
    }

    /// Of validates, with people who are all as active and processes that are asked in turn: the first validate after a
    /// session's renewal at another process is a miss, and one that has no room is.
    fn hit_ratio(&self, active: f64, processes: f64, cache: f64) -> f64 {
        let asked = self.people.validates_per_second / processes;
        let renewed = 1.0 / (RENEWED_AT * self.people.access_token_seconds) * (processes - 1.0) / processes;
        let room = (cache / (active * self.session.process)).min(1.0);
        room * asked / (asked + renewed)
    }
}

fn table(constants: &Constants) {
    println!("the busiest hour; a second unless it says otherwise\n");
    println!(
        "{:>11} {:>9} {:>8} {:>8} {:>7} {:>6} {:>9} {:>9} {:>7} {:>9} {:>9}",
        "sessions",
        "processes",
        "sign-ins",
        "renewals",
        "pushes",
        "hits",
        "Redis GB",
        "Redis MB",
        "core",
        "process",
        "cache MB"
    );
    for sessions in SESSIONS {
        for processes in PROCESSES {
            let cost = constants.cost(sessions, processes);
            println!(
                "{sessions:>11.0} {processes:>9.0} {:>8.2} {:>8.2} {:>7.0} {:>6.3} {:>9.3} {:>9.2} {:>6.1}% {:>8.1}% {:>9.1}",
                cost.sign_ins,
                cost.renewals,
                cost.pushes,
                cost.hit_ratio,
                cost.redis_gigabytes,
                cost.redis_megabytes_per_second,
                cost.redis_core * 100.0,
                cost.process_core * 100.0,
                cost.process_megabytes,
            );
        }
        let cost = constants.cost(sessions, 1.0);
        let quota = constants.people.cognito_requests_per_second;
        println!("{:>11} renewals are {:.2} of Cognito's default quota", "", cost.renewals / quota);
    }
}

/// The formula of the hit ratio beside the service's own cache, fed at random.
fn check_hit_ratio(constants: &Constants) -> anyhow::Result<()> {
    println!("\nhit ratio of the cache: by the formula, and simulated\n");
    for (processes, active, entries) in
        [(1, 2_000, 4_000), (4, 2_000, 4_000), (16, 1_000, 2_000), (4, 4_000, 2_000), (4, 8_000, 1_000)]
    {
        let formula = constants.hit_ratio(active as f64, processes as f64, entries as f64 * constants.session.process);
        let simulated = simulate(constants, processes, active, entries);
        println!("{processes:>3} processes, {active} active, room for {entries}: {formula:.3} {simulated:.3}");
        anyhow::ensure!((formula - simulated).abs() < 0.03, "the formula of the hit ratio does not hold");
    }
    Ok(())
}

/// Validates and renewals of random sessions at random processes, one after the other: the share of hits.
fn simulate(constants: &Constants, processes: usize, active: usize, entries: usize) -> f64 {
    let caches: Vec<_> = (0..processes).map(|_| Cache::<usize, ()>::new(entries)).collect();
    let renewals = 1.0 / (RENEWED_AT * constants.people.access_token_seconds);
    let renewed = renewals / (renewals + constants.people.validates_per_second);
    let mut random = Random(0x5eed);
    let validates = 200 * active * processes;
    let (mut hits, mut counted) = (0, 0);
    for nth in 0..validates {
        let (session, process) = (random.below(active), random.below(processes));
        if random.fraction() < renewed {
            for cache in &caches {
                cache.remove(&session);
            }
            caches[process].insert(session, ());
            continue;
        }
        let hit = caches[process].get(&session).is_some();
        if !hit {
            caches[process].insert(session, ());
        }
        // The first quarter fills the caches.
        if nth > validates / 4 {
            counted += 1;
            hits += usize::from(hit);
        }
    }
    f64::from(u32::try_from(hits).unwrap_or(u32::MAX)) / f64::from(u32::try_from(counted).unwrap_or(u32::MAX))
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.fraction() * bound as f64) as usize
    }
}
