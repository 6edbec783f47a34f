//! States that no property can tell apart, now or later, are one.

use super::check::{QUIET, met};
use super::process::{Loss, Process, Recovery, Work};
use super::protocol::{Kinds, Protocol, Scenario};
use super::store::{Data, Lease, PROCESSES};
use super::world::{Copied, Reduction, Sessions, World};

impl World {
    /// Forgets what no property depends on any more, whatever may still happen.
    pub fn forget_unseen(&mut self, model: &Sessions) {
        let (protocol, scenario) = (&model.protocol, &model.scenario);
        if !self.copies_left() {
            for data in [&mut self.store, &mut self.replica] {
                (data.claim, data.landing) = (None, None);
            }
            self.provider.code_spent = true;
            self.processes.iter_mut().for_each(|process| process.claimed = None);
        }
        if !self.history.copies.contains(&Copied::Unsent) {
            self.processes.iter_mut().for_each(|process| process.landed = false);
        }
        if self.renewals >= scenario.renewals && !self.processes.iter().any(|process| process.work.renews()) {
            (self.store.lease, self.replica.lease) = (Lease::Free, Lease::Free);
            self.processes.iter_mut().for_each(|process| process.doubts_tokens = false);
            (self.provider.refresh, self.history.lease_ran_out, self.history.outdated) = (0, false, false);
        }
        if !scenario.kinds.fail_over || self.faults >= scenario.faults {
            self.replica = self.store;
        }
        self.skip_old_news(protocol);
        let last = self.faults >= scenario.faults;
        let no_renewals =
            self.renewals >= scenario.renewals && !self.processes.iter().any(|process| process.work.renews());
        let is_complete = self.store.session.is_some_and(|record| record.whole && record.is_complete());
        for process in &mut self.processes {
            let settled = process.recovery == Recovery::Done && process.link.is_some_and(|link| !link.flushed);
            let is_safe = !protocol.cold_tokens || (is_complete && self.store.session >= process.newest());
            if last && settled && no_renewals && process.at_hand.is_some() && is_safe {
                (process.created, process.updated) = (None, None);
            }
            if !process.alive {
                *process = Process::DEAD;
            }
            if protocol.remembered_endings {
                // The same as `revoked`, or less.
                process.own_revoked = 0;
            }
            if protocol.restore_by_version {
                process.created = process.created.max(process.updated.map(|(_, record)| record));
                process.updated = None;
                process.everything &= process.at_hand.is_some() && !process.recent;
            }
            if process.link.is_none() && !process.believes {
                // Connecting voids it.
                process.confirmed = false;
            }
            if !protocol.canaries {
                process.loss = Loss::Nothing;
            }
        }
    }

    /// Lets idle processes hear at once what tells them nothing new. Until they hear it they doubt more, and so do and say
    /// less, than after; what they do is then the same.
    fn skip_old_news(&mut self, protocol: &Protocol) {
        for at in 0..PROCESSES {
            let process = self.processes[at];
            if process.alive && !process.still && process.work == Work::Idle && process.link.is_some() {
                let mut after = *self;
                after.hear(protocol, at);
                let unchanged = Process { link: process.link, ..after.processes[at] } == process;
                if unchanged {
                    *self = after;
                }
            }
        }
    }

    /// The same state with the processes and the copies of the callback in order: which is which makes no difference.
    pub fn in_order(&self) -> Self {
        let ordered = self.processes_in_order();
        match self.history.copies == [Copied::Failed; 2] {
            true => ordered,
            false => ordered.min(self.copies_swapped().processes_in_order()),
        }
    }

    fn processes_in_order(&self) -> Self {
        let holds = |data: &Data, at: usize| data.lease == Lease::Held(at as u8);
        let mut order: [usize; PROCESSES] = std::array::from_fn(|at| at);
        order.sort_unstable_by_key(|at| {
            let process: &Process = &self.processes[*at];
            (process, holds(&self.store, *at), holds(&self.replica, *at))
        });
        let mut same = *self;
        same.processes = order.map(|at| self.processes[at]);
        for data in [&mut same.store, &mut same.replica] {
            if let Lease::Held(holder) = data.lease {
                let now = order.iter().position(|at| *at == usize::from(holder));
                data.lease = Lease::Held(now.unwrap_or_default() as u8);
            }
        }
        same
    }

    fn copies_swapped(&self) -> Self {
        let swap = |copy: u8| if copy < 2 { 1 - copy } else { copy };
        let mut same = *self;
        same.history.copies.reverse();
        for data in [&mut same.store, &mut same.replica] {
            data.claim = data.claim.map(swap);
        }
        for process in &mut same.processes {
            process.claimed = process.claimed.map(swap);
            process.work = match process.work {
                Work::Callback(copy) => Work::Callback(swap(copy)),
                Work::Claimed(copy) => Work::Claimed(swap(copy)),
                Work::Exchanged(copy, good) => Work::Exchanged(swap(copy), good),
                Work::CallbackOutcome(copy, created) => Work::CallbackOutcome(swap(copy), created),
                Work::Awaiting(copy) => Work::Awaiting(swap(copy)),
                other => other,
            };
        }
        same
    }
}

/// What is met when only equal states count as one is met by the searches, too.
#[test]
fn nothing_is_lost_with_the_states_that_count_as_one() {
    let fault = Scenario { faults: 1, kinds: Kinds { evict_session: true, ..Kinds::ALL }, ..QUIET };
    let requests =
        [Scenario { callbacks: 2, ..fault }, Scenario { sign_outs: 1, ..fault }, Scenario { renewals: 2, ..fault }];
    for protocol in [Protocol::FIRST, Protocol::TODAY, Protocol::MENDED] {
        for scenario in requests {
            let all = met(protocol, scenario, Reduction::None, 7);
            let missed: Vec<_> = all.difference(&met(protocol, scenario, Reduction::Full, 7)).copied().collect();
            assert_eq!(missed, [""; 0], "{protocol:?} {scenario:?}");
        }
    }
}
