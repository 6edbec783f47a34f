//! The callback from the provider, which may come in several copies.

use super::process::Work;
use super::protocol::Protocol;
use super::store::{CallbackOutcome, Pushes, Record};
use super::world::{Action, Copied, World};

impl World {
    pub fn sign_in_steps(&self, protocol: &Protocol, at: usize, actions: &mut Vec<Action>) {
        let process = &self.processes[at];
        match process.work {
            // The store is away or just back: 503, and the code is not spent.
            Work::Idle if process.landed || !protocol.code_claims || !self.is_absence_doubted(protocol, at) => {
                for copy in [0, 1] {
                    if self.history.copies[copy] == Copied::Unsent {
                        actions.push(Action::CallbackArrives { copy: copy as u8, at });
                    }
                }
            }
            Work::Callback(_) | Work::Claimed(_) => actions.push(Action::Exchange(at)),
            Work::Exchanged(..) => actions.push(Action::CreateSession(at)),
            Work::CallbackOutcome(..) => actions.push(Action::WriteLanding(at)),
            Work::Awaiting(_) if self.store.landing.is_some() => actions.push(Action::ReadLanding(at)),
            Work::Awaiting(_) if !self.processes.iter().any(|other| other.work.exchanges()) => {
                actions.push(Action::GiveUp(at));
            }
            _ => {}
        }
    }

    pub fn callback_arrives(&mut self, protocol: &Protocol, copy: u8, at: usize) {
        self.history.copies[usize::from(copy)] = Copied::Sent;
        // The single flight of one process.
        match self.processes[at].landed {
            true => self.signed_in(copy),
            false if protocol.code_claims => self.claim(protocol, copy, at),
            false => self.processes[at].work = Work::Callback(copy),
        }
    }

    /// The same claim twice is one claim.
    fn claim(&mut self, protocol: &Protocol, copy: u8, at: usize) {
        let heard = self.processes[at].claimed.filter(|_| protocol.remembered_endings);
        let claimed = *self.store.claim.get_or_insert(heard.unwrap_or(copy));
        self.push(Some(at), Pushes { claim: true, ..Pushes::default() });
        let process = &mut self.processes[at];
        process.claimed = Some(claimed);
        process.work = if claimed == copy { Work::Claimed(copy) } else { Work::Awaiting(copy) };
    }

    pub fn exchange(&mut self, protocol: &Protocol, at: usize) {
        let (Work::Callback(copy) | Work::Claimed(copy)) = self.processes[at].work else { return };
        if protocol.code_claims && self.is_absence_doubted(protocol, at) {
            // The store may have lost another's claim before it took this one.
            self.processes[at].work = Work::Awaiting(copy);
            return;
        }
        let good = !self.provider.code_spent;
        self.history.code_twice |= !good;
        self.provider.revoked |= !good;
        self.provider.code_spent = true;
        self.processes[at].claimed = Some(copy);
        self.processes[at].work = Work::Exchanged(copy, good);
    }

    pub fn create_session(&mut self, protocol: &Protocol, at: usize) {
        let Work::Exchanged(copy, good) = self.processes[at].work else { return };
        let record = Record::new(1, Some(1));
        let created = good && self.store.create(record);
        if created {
            self.push(Some(at), Pushes { session: true, ..Pushes::default() });
            self.processes[at].keep(protocol, record);
            self.processes[at].created = Some(record);
        }
        if protocol.code_claims {
            self.processes[at].work = Work::CallbackOutcome(copy, created);
        } else {
            self.answer(at, created);
        }
    }

    pub fn write_landing(&mut self, at: usize) {
        let Work::CallbackOutcome(_, created) = self.processes[at].work else { return };
        self.store.landing = Some(if created { CallbackOutcome::Session } else { CallbackOutcome::Failed });
        self.answer(at, created);
    }

    pub fn read_landing(&mut self, at: usize) {
        self.answer(at, self.store.landing == Some(CallbackOutcome::Session));
    }

    /// Answers the copy of the callback that is at work.
    pub fn answer(&mut self, at: usize, created: bool) {
        let Some(copy) = self.processes[at].work.copy() else { return };
        self.idle(at);
        if created {
            self.processes[at].landed = true;
            self.signed_in(copy);
        } else {
            self.history.copies[usize::from(copy)] = Copied::Failed;
        }
    }

    fn signed_in(&mut self, copy: u8) {
        self.history.copies[usize::from(copy)] = Copied::SignedIn;
        self.history.signed_in = true;
    }
}
