//! What nobody wants, and what happens by itself.

use super::process::{Loss, Process, Work};
use super::protocol::{Protocol, Scenario};
use super::store::{Data, Lease, Pushes};
use super::world::{Action, Copied, World};

impl World {
    pub fn environment(&self, protocol: &Protocol, scenario: &Scenario, actions: &mut Vec<Action>) {
        if self.replica != self.store {
            actions.push(Action::Replicate);
        } else if self.is_calm() && self.awake().all(|process| process.work == Work::Idle) {
            actions.push(Action::TimePasses);
            if protocol.cold_tokens && self.history.signed_in {
                actions.push(Action::AccessTokensRunOut);
            }
        }
        for (at, process) in self.processes.iter().enumerate() {
            if !process.alive {
                actions.push(Action::Start(at));
            } else if process.still {
                actions.push(Action::Wake(at));
            }
        }
        if self.faults >= scenario.faults {
            return;
        }
        let kinds = scenario.kinds;
        let store = [
            (kinds.fail_over, Action::FailOver),
            (kinds.flush, Action::Flush),
            (kinds.restart, Action::RestartEmpty),
            (kinds.evict_session && self.store.session.is_some(), Action::EvictSession),
            (kinds.evict && self.store.tombstone, Action::EvictTombstone),
            (kinds.evict && self.store.revoked != 0, Action::EvictRevocations),
            (kinds.evict && self.store.claim.is_some(), Action::EvictClaim),
        ];
        actions.extend(store.into_iter().filter_map(|(may, fault)| may.then_some(fault)));
        for (at, process) in self.processes.iter().enumerate().filter(|(_, process)| process.alive && !process.still) {
            if kinds.crash {
                actions.push(Action::Crash(at));
            }
            if kinds.break_link && process.link.is_some() {
                actions.push(Action::BreakLink(at));
            }
            if kinds.stand_still {
                actions.push(Action::StandStill(at));
            }
        }
    }

    pub fn suffer(&mut self, protocol: &Protocol, action: Action) {
        match action {
            Action::Start(at) => self.processes[at] = Process { alive: true, ..Process::DEAD },
            Action::Wake(at) => self.processes[at].still = false,
            Action::Replicate => self.replica = self.store,
            Action::TimePasses => self.time_passes(protocol),
            Action::AccessTokensRunOut => {
                self.time_passes(protocol);
                self.run_out();
            }
            fault => {
                self.faults += 1;
                self.fault(fault);
            }
        }
    }

    fn fault(&mut self, fault: Action) {
        let mut pushes = Pushes::default();
        match fault {
            Action::Crash(at) => self.crash(at),
            Action::FailOver => {
                let lost = if self.replica == self.store { Loss::Nothing } else { Loss::Newest };
                self.lose(self.replica, lost);
            }
            Action::RestartEmpty => self.lose(Data::EMPTY, Loss::Everything),
            Action::Flush => {
                (self.store, self.replica) = (Data::EMPTY, Data::EMPTY);
                pushes.flushed = true;
                for process in &mut self.processes {
                    process.loss = Loss::Everything;
                }
            }
            Action::EvictSession => {
                (self.store.session, self.replica.session) = (None, None);
                pushes.session = true;
            }
            Action::EvictTombstone => {
                (self.store.tombstone, self.replica.tombstone) = (false, false);
                pushes.tombstone = true;
            }
            Action::EvictRevocations => {
                pushes.revoked = self.store.revoked;
                (self.store.revoked, self.replica.revoked) = (0, 0);
            }
            Action::EvictClaim => {
                (self.store.claim, self.replica.claim) = (None, None);
                pushes.claim = true;
            }
            Action::BreakLink(at) => self.processes[at].link = None,
            Action::StandStill(at) => {
                self.processes[at].still = true;
                self.processes[at].believes = false;
            }
            _ => {}
        }
        self.push(None, pushes);
    }

    fn crash(&mut self, at: usize) {
        if let Some(copy) = self.processes[at].work.copy() {
            self.history.copies[usize::from(copy)] = Copied::Failed;
        }
        self.processes[at] = Process::DEAD;
        for data in [&mut self.store, &mut self.replica] {
            if data.lease == Lease::Held(at as u8) {
                data.lease = Lease::Abandoned;
            }
        }
    }

    /// Every connection breaks.
    fn lose(&mut self, left: Data, loss: Loss) {
        self.store = left;
        self.replica = left;
        for process in self.processes.iter_mut().filter(|process| process.alive) {
            process.link = None;
            process.loss = process.loss.max(if process.heard { loss } else { Loss::Nothing });
        }
    }

    /// An hour. Nobody renews, since nobody is at work.
    fn run_out(&mut self) {
        let there = self.store.session.map_or(0, |record| record.version);
        let at_hand = self.processes.iter().filter_map(|process| process.at_hand);
        self.ran_out = at_hand.fold(there, |newest, record| newest.max(record.version));
        for data in [&mut self.store, &mut self.replica] {
            data.session = data.session.filter(|record| record.whole);
        }
        for process in self.processes.iter_mut().filter(|process| process.at_hand.is_some_and(|record| !record.whole)) {
            process.forget();
        }
    }

    /// 45 seconds and more, in which nothing happens. An hour, for tombstones.
    fn time_passes(&mut self, protocol: &Protocol) {
        for process in &mut self.processes {
            (process.created, process.updated, process.recent, process.landed) = (None, None, false, false);
            process.ended &= protocol.remembered_endings;
        }
        if !protocol.lasting_tombstones && self.store.tombstone {
            (self.store.tombstone, self.replica.tombstone) = (false, false);
            self.push(None, Pushes { tombstone: protocol.remembered_endings, ..Pushes::default() });
        }
    }
}
