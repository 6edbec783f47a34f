//! Renewal of the session's tokens under a lease.

use super::process::Work;
use super::protocol::Protocol;
use super::store::{Lease, Pushes, Record, Updated};
use super::world::{Action, Answer, Sessions, World};

impl World {
    pub fn renewal_steps(&self, model: &Sessions, at: usize, actions: &mut Vec<Action>) {
        let protocol = &model.protocol;
        let process = &self.processes[at];
        match process.work {
            Work::Idle => {
                let wanted = self.renewals < model.scenario.renewals && self.history.signed_in;
                let ready = !process.recovers(protocol.cautious_start) && self.store.session.is_some();
                let visible = self.validate(protocol, at) == Answer::Valid;
                if wanted && ready && visible && self.is_lease_free() {
                    actions.push(Action::TakeLease(at));
                }
                if self.would_load(protocol, at) {
                    actions.push(Action::Load(at));
                }
            }
            Work::Leased(_) => actions.push(Action::ReloadUnderLease(at)),
            Work::Reloaded(..) => actions.push(Action::ReadTokens(at)),
            Work::Ready(..) => actions.push(Action::SpendRefreshToken(at)),
            Work::Answered(..) => actions.push(Action::WriteRenewed(at)),
            _ => {}
        }
    }

    fn is_lease_free(&self) -> bool {
        match self.store.lease {
            Lease::Free | Lease::Abandoned => true,
            Lease::Held(holder) => self.processes[usize::from(holder)].still,
        }
    }

    fn would_load(&self, protocol: &Protocol, at: usize) -> bool {
        let process = &self.processes[at];
        let remembered = process.believes && process.confirmed && process.recent;
        let refused = protocol.remembered_endings && process.ended;
        !remembered && !refused && process.link.is_some()
    }

    /// Reads the session for a request, and puts it back if the store has lost it, or the version that is at hand.
    pub fn load(&mut self, protocol: &Protocol, at: usize) {
        let doubted = protocol.proven_restorations && self.is_absence_doubted(protocol, at);
        let store = self.store;
        let restorable = self.processes[at].restorable(protocol, self.ran_out);
        let is_lost = |newer: &Record| match store.session {
            Some(there) => protocol.restore_by_version && there.version < newer.version,
            None => true,
        };
        let restorable = restorable.filter(|record| protocol.kept_sessions && is_lost(record));
        let process = &mut self.processes[at];
        if store.tombstone {
            process.told = true;
            if protocol.remembered_endings { process.learn_ending() } else { process.forget() }
        } else if let Some(record) = restorable {
            if !doubted {
                process.keep(protocol, record);
                self.store.restore(protocol, record);
                self.restored(at);
                self.push(Some(at), Pushes { session: true, ..Pushes::default() });
            }
        } else if let Some(record) = store.session {
            process.keep(protocol, record);
        }
    }

    pub fn take_lease(&mut self, at: usize) {
        let abandoned = self.store.lease != Lease::Free;
        self.renewals += 1;
        self.store.lease = Lease::Held(at as u8);
        self.processes[at].work = Work::Leased(abandoned);
    }

    /// Reads the session again, so that no token is spent that was replaced.
    pub fn reload(&mut self, protocol: &Protocol, at: usize) {
        let Work::Leased(abandoned) = self.processes[at].work else { return };
        let doubted = match protocol.proven_absence {
            true => self.is_absence_doubted(protocol, at),
            false => self.processes[at].recovers(protocol.cautious_start),
        };
        let renewable = |record: &Record| record.whole || protocol.derived_ends || !protocol.rechecked_records;
        match self.store.session.filter(|record| record.names.is_some() && renewable(record) && !doubted) {
            Some(record) if protocol.cold_tokens => {
                self.processes[at].work = Work::Reloaded(record.at_hand(protocol), abandoned);
            }
            Some(record) => self.processes[at].work = Work::Ready(record, abandoned),
            None => self.give_up(at, abandoned),
        }
    }

    /// Who finds none asks nobody.
    pub fn read_tokens(&mut self, protocol: &Protocol, at: usize) {
        let Work::Reloaded(record, abandoned) = self.processes[at].work else { return };
        let there = self.store.session.and_then(|there| there.refresh);
        match there.filter(|refresh| !protocol.named_tokens || Some(*refresh) == record.names) {
            Some(refresh) => {
                self.processes[at].work = Work::Ready(Record { refresh: Some(refresh), ..record }, abandoned);
            }
            None => self.give_up(at, abandoned),
        }
    }

    fn give_up(&mut self, at: usize, abandoned: bool) {
        self.release(at, abandoned);
        self.idle(at);
    }

    pub fn spend_refresh_token(&mut self, rotates: bool, at: usize) {
        let Work::Ready(record, abandoned) = self.processes[at].work else { return };
        let Some(refresh) = record.refresh else { return };
        let good = refresh == self.provider.refresh && !self.provider.revoked;
        if good {
            self.provider.refresh += u8::from(rotates);
        } else {
            let excused = self.provider.revoked || self.history.lease_ran_out || self.history.outdated;
            self.history.refresh_twice |= !excused && self.has_newer(refresh, at);
        }
        self.processes[at].work = Work::Answered(record, good.then_some(self.provider.refresh), abandoned);
    }

    /// Whether the outcome of an earlier spend is known to anybody but this process.
    fn has_newer(&self, refresh: u8, at: usize) -> bool {
        let newer = |record: Option<Record>| record.is_some_and(|record| record.names > Some(refresh));
        let others = self.others(at).any(|other| {
            newer(other.newest()) || matches!(other.work, Work::Answered(_, new, _) if new > Some(refresh))
        });
        newer(self.store.session) || newer(self.processes[at].newest()) || others
    }

    pub fn write_renewed(&mut self, protocol: &Protocol, at: usize) {
        let Work::Answered(old, refresh, abandoned) = self.processes[at].work else { return };
        match refresh {
            Some(_) => self.write(protocol, at, old, refresh),
            None => self.refused(protocol, at, old, abandoned),
        }
    }

    /// The lost renewal's version is not known; it was one more than the old one.
    fn write(&mut self, protocol: &Protocol, at: usize, old: Record, refresh: Option<u8>) {
        let new = Record { whole: old.whole || protocol.derived_ends, ..Record::new(old.version + 1, refresh) };
        let written = match self.store.update(protocol, Some(at as u8), old.version, new) {
            Updated::Done => true,
            // The store lost the session, or its newest version.
            Updated::Gone if protocol.restore_by_version => self.store.restore(protocol, new),
            Updated::Stale(version) if protocol.restore_by_version && version < new.version => {
                self.store.restore(protocol, new)
            }
            Updated::Gone | Updated::Stale(_) => false,
        };
        self.release(at, false);
        self.idle(at);
        let ended = self.store.tombstone;
        let process = &mut self.processes[at];
        if written {
            process.keep(protocol, new);
            process.updated = Some((old.version, new));
            process.doubts_tokens = false;
            self.push(Some(at), Pushes { session: true, ..Pushes::default() });
        } else {
            process.confirmed = false;
            if !protocol.kept_sessions {
                process.forget();
            }
            if ended && protocol.remembered_endings {
                process.told = true;
                process.learn_ending();
            }
        }
    }

    /// The provider says that the refresh token is dead.
    fn refused(&mut self, protocol: &Protocol, at: usize, old: Record, abandoned: bool) {
        let doubted = match protocol.proven_absence {
            true => self.is_absence_doubted(protocol, at),
            false => self.processes[at].recovers(protocol.cautious_start),
        };
        self.idle(at);
        let same = self.store.session.is_some_and(|now| now.version == old.version);
        let lost = protocol.orphaned_sessions && self.processes[at].doubts_tokens;
        let owned = !protocol.owned_refusals || self.store.lease == Lease::Held(at as u8);
        if !same || doubted || !owned {
            self.release(at, abandoned && same);
        } else if abandoned || lost {
            self.write(protocol, at, old, None);
        } else {
            self.history.ended_wrongly |= !self.provider.revoked && !self.history.leaving;
            self.store.end();
            let process = &mut self.processes[at];
            process.told = true;
            process.learn_ending();
            self.push(Some(at), Pushes { session: true, tombstone: true, ..Pushes::default() });
        }
    }
}
