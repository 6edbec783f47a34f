//! What goes wrong in a run, and when.

use super::World;
use super::draw;
use super::network::STORE_TIMEOUT;
use super::process::{self, Process};
use super::world::{Disturbance, PROCESSES};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The kinds of faults of a run, from its seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Calm,
    Network,
    Crashes,
    Losses,
    Provider,
    LossesAndCrashes,
    Evictions,
    Everything,
}

/// What somebody has just done, for faults that follow it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Deed {
    /// A callback is on its way to a process.
    CallBack,
    /// A process asks the provider for new tokens.
    Renew,
    /// A process has answered a sign-out.
    SignOut,
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    StoreAway,
    CutOff,
    Slow,
    LostListener,
    Questions,
    Crash,
    CrashAll,
    FailOver,
    FlushAll,
    RestartEmpty,
    ProviderAway,
    ProviderSlow,
    Evict,
}

impl Kind {
    pub(super) fn of(seed: u64) -> Self {
        use Kind::*;
        const ALL: [Kind; 8] = [Calm, Network, Crashes, Losses, Provider, LossesAndCrashes, Evictions, Everything];
        ALL[usize::try_from(seed % 8).expect("it is below 8")]
    }

    fn faults(self) -> &'static [Fault] {
        use Fault::*;
        const NETWORK: [Fault; 5] = [StoreAway, CutOff, Slow, LostListener, Questions];
        match self {
            Self::Calm => &[],
            Self::Network => &NETWORK,
            Self::Crashes => &[Crash, Crash, CrashAll],
            Self::Losses => &[FailOver, FailOver, FlushAll, RestartEmpty],
            Self::Provider => &[ProviderAway, ProviderSlow, Questions],
            Self::LossesAndCrashes => &[FailOver, FlushAll, RestartEmpty, Crash, Crash],
            Self::Evictions => &[Evict, Evict, LostListener, CutOff],
            Self::Everything => &[
                StoreAway,
                CutOff,
                Slow,
                LostListener,
                Questions,
                Crash,
                Crash,
                CrashAll,
                FailOver,
                FailOver,
                FlushAll,
                RestartEmpty,
                ProviderAway,
                ProviderSlow,
                Evict,
            ],
        }
    }
}

/// Lets things go wrong until `end`.
pub(super) async fn happen(world: &Arc<World>, end: Instant) {
    let faults = world.kind.faults();
    if faults.is_empty() {
        return;
    }
    while Instant::now() < end {
        // Two of them after each other, or a while apart.
        sleep(if draw::chance(300) { draw::millis(0, 400) } else { draw::millis(2_000, 25_000) }).await;
        let fault = faults[draw::below(faults.len())];
        strike(world, fault).await;
    }
}

/// Lets the process that does something crash in the midst of it, and after a sign-out the store lose its data.
pub(super) fn follow(world: &Arc<World>, deed: Deed, process: usize) {
    let (crashes, losses) = match world.kind {
        Kind::Crashes => (150, 0),
        Kind::LossesAndCrashes | Kind::Everything => (150, 300),
        Kind::Losses => (0, 150),
        Kind::Calm | Kind::Network | Kind::Provider | Kind::Evictions => return,
    };
    let world = world.clone();
    tokio::spawn(async move {
        if draw::chance(crashes) {
            sleep(draw::millis(0, 80)).await;
            world.trace(format_args!("{deed:?}, and p{process} is gone"));
            restart(&world, &[process], draw::millis(500, 5_000));
        }
        if matches!(deed, Deed::SignOut) && draw::chance(losses) {
            sleep(draw::millis(0, 2_000)).await;
            let fault = [Fault::FailOver, Fault::FlushAll, Fault::RestartEmpty][draw::below(3)];
            strike(&world, fault).await;
        }
    });
}

async fn strike(world: &Arc<World>, fault: Fault) {
    let (process, now) = (draw::below(PROCESSES), Instant::now());
    let span = if draw::chance(500) { draw::millis(50, 1_500) } else { draw::millis(1_000, 9_000) };
    let until = now + span;
    world.stats().faults += 1;
    world.trace(format_args!("{fault:?} for {span:?} (p{process})"));
    let disturbed = |what, until| world.weather().disturb(what, until);
    disturbed(Disturbance::Any, until);
    match fault {
        Fault::StoreAway => {
            world.weather().store_away = until;
            world.server().break_all_listeners();
        }
        Fault::CutOff => {
            world.weather().cut_off[process] = until;
            world.server().break_listener(process, draw::chance(500));
        }
        Fault::Slow => world.weather().slow[process] = until,
        Fault::LostListener => {
            // Nobody may notice before the time for an answer is over.
            world.weather().disturb(Disturbance::Any, until.max(now + 2 * STORE_TIMEOUT));
            world.server().break_listener(process, draw::chance(500));
        }
        Fault::Questions => {
            world.weather().losses = 100;
            sleep(span).await;
            let mut weather = world.weather();
            (weather.losses, weather.lossy) = (0, Instant::now());
        }
        Fault::Crash => restart(world, &[process], span),
        Fault::CrashAll => restart(world, &[0, 1, 2], span),
        Fault::FailOver => {
            let lag = draw::millis(0, 3_000);
            world.weather().store_away = now + draw::millis(0, 2_500);
            lose(world, until + Duration::from_secs(2), |world| world.server().fail_over(lag));
        }
        Fault::RestartEmpty => {
            world.weather().store_away = now + draw::millis(0, 2_500);
            lose(world, until + Duration::from_secs(2), |world| world.server().restart_empty());
        }
        Fault::FlushAll => lose(world, now, |world| world.server().flush_all()),
        Fault::ProviderAway => world.weather().provider_away = until,
        Fault::ProviderSlow => world.weather().provider_slow = until,
        Fault::Evict => {
            let nth = draw::below(1_000);
            lose(world, now, |world| world.server().evict_an_ending(nth));
        }
    }
}

fn lose(world: &World, until: Instant, how: impl FnOnce(&World)) {
    how(world);
    world.weather().disturb(Disturbance::Loss, until);
    world.stats().losses += 1;
    world.oracle().forget_what_is_lost(world);
}

/// Crashes processes and starts them again after `pause`.
fn restart(world: &Arc<World>, crashed: &[usize], pause: Duration) {
    for process in crashed {
        let start = world.processes()[*process].as_ref().map(|process| process.start);
        let Some(start) = start else { continue };
        process::crash(world, *process);
        world.stats().crashes += 1;
        let until = Instant::now() + pause;
        world.weather().disturb(Disturbance::Any, until);
        let (world, process) = (world.clone(), *process);
        tokio::spawn(async move {
            sleep(pause).await;
            Process::start(&world, process, start + 1);
        });
    }
    world.oracle().forget_what_is_lost(world);
}
