//! Hearing what others change, and writing back what the store lost.

use super::process::{Loss, Process, Recovery, Work};
use super::protocol::Protocol;
use super::store::{Lease, Pushes, Updated};
use super::world::{Action, World};

/// A claim of which only its being there is known.
const ANOTHERS: u8 = u8::MAX;

impl World {
    pub fn recovery_steps(&self, protocol: &Protocol, at: usize, actions: &mut Vec<Action>) {
        let process = &self.processes[at];
        let Some(link) = process.link else {
            // Who wants a proof from the channel answers nothing more before this than after: no step of its own.
            if process.believes && !protocol.proven_absence {
                actions.push(Action::NoticeSilence(at));
            }
            if process.loss != Loss::Everything || !protocol.canaries {
                actions.push(Action::Connect { process: at, canary_found: true });
            }
            if process.loss != Loss::Nothing && protocol.canaries {
                actions.push(Action::Connect { process: at, canary_found: false });
            }
            return;
        };
        if !link.is_empty() || !process.believes {
            actions.push(Action::Hear(at));
        }
        if process.owes {
            actions.push(Action::WriteBackEvicted(at));
        }
        match process.recovery {
            Recovery::Endings => actions.push(Action::WriteBackEndings(at)),
            Recovery::Sessions if !protocol.endings_first || self.others_reached(at, Recovery::Sessions) => {
                actions.push(Action::WriteBackSessions(at));
            }
            Recovery::Settling if self.others_reached(at, Recovery::Settling) => actions.push(Action::Settle(at)),
            _ => {}
        }
    }

    /// All that is on its way is told at once.
    pub fn hear(&mut self, protocol: &Protocol, at: usize) {
        let store = self.store;
        let process = &mut self.processes[at];
        let Some(pushes) = process.link.replace(Pushes::default()) else { return };
        process.believes = true;
        if pushes.session {
            process.confirmed = false;
            if !protocol.kept_sessions {
                process.forget();
            }
        }
        process.told |= pushes.tombstone;
        process.revoked |= pushes.revoked;
        if protocol.remembered_endings {
            if pushes.tombstone {
                process.learn_ending();
                process.owes |= !store.tombstone;
            }
            process.owes |= pushes.revoked & !store.revoked != 0;
            if pushes.claim {
                process.claimed = process.claimed.or(store.claim).or(Some(ANOTHERS));
                process.owes |= store.claim.is_none();
                if let Work::Claimed(copy) = process.work {
                    process.work = Work::Awaiting(copy);
                }
            }
        }
        if pushes.flushed {
            self.begin_recovery(protocol, at, true);
        }
    }

    pub fn connect(&mut self, protocol: &Protocol, at: usize, canary_found: bool) {
        let process = &mut self.processes[at];
        process.link = Some(Pushes::default());
        process.believes = true;
        process.confirmed = false;
        if !protocol.kept_sessions || (canary_found && !protocol.kept_over_reconnections) {
            process.forget();
        }
        let again = std::mem::replace(&mut process.heard, true) || protocol.cautious_start;
        if again && (protocol.reconnection_is_loss || !canary_found) {
            self.begin_recovery(protocol, at, !canary_found);
        }
    }

    fn begin_recovery(&mut self, protocol: &Protocol, at: usize, everything: bool) {
        let process = &mut self.processes[at];
        process.recovery = if protocol.endings_first { Recovery::Endings } else { Recovery::Sessions };
        process.everything |= everything;
        process.doubts_tokens |= everything || protocol.doubted_reconnections;
        process.confirmed = false;
        if let Work::Claimed(copy) = process.work {
            process.work = Work::Awaiting(copy);
        }
        if let (true, Work::Leased(abandoned) | Work::Reloaded(_, abandoned) | Work::Ready(_, abandoned)) =
            (protocol.restored_leases, process.work)
        {
            process.work = Work::Idle;
            self.release(at, abandoned);
        }
    }

    pub fn write_back_endings(&mut self, protocol: &Protocol, at: usize) {
        self.put_back_endings(protocol, at);
        self.processes[at].recovery = Recovery::Sessions;
    }

    pub fn write_back_evicted(&mut self, protocol: &Protocol, at: usize) {
        self.put_back_endings(protocol, at);
        self.processes[at].owes = false;
    }

    fn put_back_endings(&mut self, protocol: &Protocol, at: usize) {
        let process = self.processes[at];
        let mut pushes = Pushes::default();
        if process.ended && !self.store.tombstone {
            self.store.end();
            (pushes.session, pushes.tombstone) = (true, true);
        }
        let known = if protocol.remembered_endings { process.revoked } else { process.own_revoked };
        pushes.revoked = known & !self.store.revoked;
        self.store.revoked |= known;
        if let (true, Some(claimed), None) = (protocol.code_claims, process.claimed, self.store.claim) {
            self.store.claim = Some(claimed);
            pushes.claim = true;
        }
        if protocol.restored_leases && matches!(process.work, Work::Answered(..)) {
            self.store.lease = Lease::Held(at as u8);
        }
        self.push(Some(at), pushes);
    }

    pub fn write_back_sessions(&mut self, protocol: &Protocol, at: usize) {
        if !protocol.endings_first {
            self.put_back_endings(protocol, at);
        }
        let process = self.processes[at];
        let before = self.store.session;
        if process.ended {
            // Nothing to put back.
        } else if protocol.restore_by_version {
            let at_hand = process.at_hand.filter(|_| process.everything || process.recent);
            let newest = Process { at_hand, ..process }.restorable(protocol, self.ran_out);
            if newest.is_some_and(|newest| self.store.restore(protocol, newest)) && protocol.kept_restorations {
                self.processes[at].created = newest;
            }
        } else {
            process.created.map(|record| self.store.create(record));
            if let Some((expected, record)) = process.updated
                && self.store.update(protocol, None, expected, record) == Updated::Gone
            {
                self.store.create(record);
            }
            process.at_hand.filter(|_| process.everything).map(|record| self.store.create(record));
        }
        if self.store.tombstone && protocol.remembered_endings {
            self.processes[at].told = true;
            self.processes[at].learn_ending();
        }
        if self.store.session != before {
            self.restored(at);
            self.push(Some(at), Pushes { session: true, ..Pushes::default() });
        }
        self.processes[at].recovery = Recovery::Settling;
    }

    /// All is written back, by all; a new canary.
    pub fn settle(&mut self, at: usize) {
        let process = &mut self.processes[at];
        (process.recovery, process.everything, process.loss) = (Recovery::Done, false, Loss::Nothing);
    }
}
