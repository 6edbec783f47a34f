//! Sign-out: first the tokens, then the session, then the answer.

use super::process::Work;
use super::protocol::Protocol;
use super::store::Pushes;
use super::world::{Action, Sessions, World};

impl World {
    pub fn sign_out_steps(&self, model: &Sessions, at: usize, actions: &mut Vec<Action>) {
        match self.processes[at].work {
            Work::Idle if self.history.signed_in && self.sign_outs < model.scenario.sign_outs => {
                let known =
                    self.store.session.is_some() || self.processes[at].at_hand.is_some() || self.store.tombstone;
                // Else 503, and nothing happened.
                if known || !self.is_absence_doubted(&model.protocol, at) {
                    actions.push(Action::RevokeTokens(at));
                }
            }
            Work::Revoked(_) => actions.push(Action::EndSession(at)),
            Work::Ended(..) => actions.push(Action::RevokeNewerTokens(at)),
            _ => {}
        }
    }

    /// Somebody wants to sign out.
    pub fn revoke_tokens(&mut self, protocol: &Protocol, at: usize) {
        self.sign_outs += 1;
        self.history.leaving = true;
        let found = self.store.session.or(self.processes[at].at_hand);
        let Some(record) = found else {
            match self.store.tombstone {
                true => self.told(at, 0),
                false if protocol.blind_tombstones => self.processes[at].work = Work::Revoked(0),
                // "There is no such session."
                false => self.told(at, 0),
            }
            return;
        };
        self.revoke(at, record.tokens());
        self.processes[at].work = Work::Revoked(record.tokens());
    }

    pub fn end_session(&mut self, at: usize) {
        let Work::Revoked(tokens) = self.processes[at].work else { return };
        let newer = self.store.end().map_or(0, |record| record.tokens() & !tokens);
        self.push(Some(at), Pushes { session: true, tombstone: true, ..Pushes::default() });
        let process = &mut self.processes[at];
        process.told = true;
        process.learn_ending();
        match newer {
            0 => self.told(at, tokens),
            newer => process.work = Work::Ended(tokens, newer),
        }
    }

    pub fn revoke_newer(&mut self, at: usize) {
        let Work::Ended(tokens, newer) = self.processes[at].work else { return };
        self.revoke(at, newer);
        self.told(at, tokens | newer);
    }

    fn revoke(&mut self, at: usize, tokens: u8) {
        self.store.revoked |= tokens;
        self.processes[at].own_revoked |= tokens;
        self.processes[at].revoked |= tokens;
        self.push(Some(at), Pushes { revoked: tokens, ..Pushes::default() });
    }

    fn told(&mut self, at: usize, tokens: u8) {
        self.idle(at);
        self.history.left = true;
        self.history.promised |= tokens;
    }
}
