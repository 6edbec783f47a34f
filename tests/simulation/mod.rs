//! Deterministic simulation of the service (no sockets, paused time, one seed for everything random): three processes
//! run the real routes, flows and session core over a store and a network that delay, reorder, lose and crash.
//!
//! A seed repeats a run to the last step. One that fails is printed, and is run again, with all that happened in it,
//! by `SIMULATION_SEED=N cargo test --lib simulation -- --nocapture`. `SIMULATION_SEEDS=N` says how many are run,
//! `SIMULATION_FIRST=N` from which on.

mod browser;
mod draw;
mod faults;
mod network;
mod oracle;
mod process;
mod provider;
mod server;
mod world;

use crate::domain::seal::seeded;
use browser::{Browser, bearer, refresh, validate};
use faults::Kind;
use oracle::State;
use process::Process;
use server::Sabotage;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use world::{PROCESSES, Stats, World};

/// Seeds of a plain `cargo test`.
const SEEDS: u64 = 16;
/// How long people are at work, and things go wrong.
const WORK: Duration = Duration::from_secs(150);
/// How long nothing goes wrong at the end: longer than any recovery, back-off or pause.
const CALM: Duration = Duration::from_secs(120);
const BROWSERS: usize = 5;

/// What came of one run.
struct Run {
    hash: u64,
    text: String,
    violations: Vec<String>,
    stats: Stats,
}

fn run(seed: u64, sabotage: Option<Sabotage>, keeps_text: bool) -> Run {
    // What a process draws once, when it is first needed, is no part of a run.
    static FIRST: std::sync::Once = std::sync::Once::new();
    FIRST.call_once(|| drop(run_seeded(0, None, false)));
    run_seeded(seed, sabotage, keeps_text)
}

fn run_seeded(seed: u64, sabotage: Option<Sabotage>, keeps_text: bool) -> Run {
    seeded::seed(Some(seed));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let run = runtime.block_on(async {
        let world = Arc::new(World::new(Kind::of(seed), sabotage, keeps_text));
        let simulated = AssertUnwindSafe(simulate(&world));
        if let Err(panic) = futures_util::FutureExt::catch_unwind(simulated).await {
            let text = panic.downcast_ref::<String>().cloned().or(panic.downcast_ref::<&str>().map(|s| (*s).into()));
            world.violation(format_args!("a panic: {}", text.unwrap_or_default()));
        }
        let (hash, text, violations) = world.outcome();
        let stats = *world.stats();
        *world.processes() = Default::default();
        Run { hash, text, violations, stats }
    });
    drop(runtime);
    seeded::seed(None);
    run
}

async fn simulate(world: &Arc<World>) {
    world.trace(format_args!("{:?}", world.kind));
    for number in 0..PROCESSES {
        Process::start(world, number, 1);
    }
    let end = Instant::now() + WORK;
    let browsers = (0..BROWSERS).map(|number| {
        let mut browser = Browser::new(world.clone(), format!("user-{}", number % 3));
        tokio::spawn(async move { browser.work(end).await })
    });
    let browsers: Vec<_> = browsers.collect();
    faults::happen(world, end).await;
    for browser in browsers {
        browser.await.expect("a browser does not panic");
    }
    world.trace(format_args!("calm"));
    sleep(CALM).await;
    let sessions = world.oracle().all();
    for session in sessions {
        for process in 0..PROCESSES {
            let state = world.oracle().known(session).state;
            if state != State::Unknown {
                validate(world, session, process).await;
                bearer(world, session, process).await;
            }
            if state == State::SignedIn {
                refresh(world, session, process).await;
            }
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    #[expect(clippy::disallowed_methods, reason = "the rule is for the service")]
    let value = std::env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

#[test]
fn no_seed_breaks_the_session_protocol() {
    if let Some(seed) = number("SIMULATION_SEED") {
        let run = run(seed, None, true);
        println!("{}", run.text);
        assert!(run.violations.is_empty(), "seed {seed}: {:#?}", run.violations);
        return;
    }
    let (first, seeds) = (number("SIMULATION_FIRST").unwrap_or(0), number("SIMULATION_SEEDS").unwrap_or(SEEDS));
    let (next, began) = (AtomicU64::new(first), std::time::Instant::now());
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    let (mut all, mut failed) = (Stats::default(), Vec::new());
    std::thread::scope(|scope| {
        let work = || {
            let mut runs = Vec::new();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= first + seeds {
                    return runs;
                }
                let run = run(seed, None, false);
                runs.push((seed, run));
            }
        };
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        for (seed, run) in workers.into_iter().flat_map(|worker| worker.join().expect("a run does not panic")) {
            all.add(&run.stats);
            if !run.violations.is_empty() {
                failed.push((seed, run.violations));
            }
        }
    });
    println!("simulation: {seeds} seeds in {:.1} s: {all}", began.elapsed().as_secs_f64());
    failed.sort();
    for (seed, violations) in &failed {
        println!("seed {seed} ({:?}): {violations:#?}", Kind::of(*seed));
        println!("replay: SIMULATION_SEED={seed} cargo test --lib simulation -- --nocapture");
    }
    assert!(failed.is_empty(), "{} of {seeds} seeds failed", failed.len());
    assert!(all.sign_ins > seeds && all.renewals > seeds && all.sign_outs > seeds, "people were at work: {all}");
}

#[test]
fn a_seed_repeats_its_run_to_the_last_step() {
    for seed in 0..3 {
        let (first, second) = (run(seed, None, true), run(seed, None, true));
        if first.hash != second.hash {
            let differs = first.text.lines().zip(second.text.lines()).find(|(one, other)| one != other);
            panic!("seed {seed} differs: {differs:#?}");
        }
    }
}

/// How many seeds it takes until something done wrong is noticed.
fn noticed(sabotage: Sabotage) {
    let found =
        (0..400).map(|seed| (seed, run(seed, Some(sabotage), false))).find(|(_, run)| !run.violations.is_empty());
    let (seed, run) = found.unwrap_or_else(|| panic!("{sabotage:?} is not noticed"));
    println!("{sabotage:?} is noticed by seed {seed}: {}", run.violations[0]);
}

#[test]
fn a_store_without_tombstones_is_noticed() {
    noticed(Sabotage::NoTombstones);
}

#[test]
fn a_store_that_grants_every_claim_is_noticed() {
    noticed(Sabotage::EveryMarkIsNew);
}

#[test]
fn a_store_that_grants_every_lease_is_noticed() {
    noticed(Sabotage::EveryLeaseIsFree);
}

#[test]
fn a_store_that_tells_nothing_is_noticed() {
    noticed(Sabotage::TellsNothing);
}
