//! A process: what it remembers, what it hears, and what it is doing.

use super::protocol::Protocol;
use super::store::{Pushes, Record};

/// What a process is doing. One thing at a time; the others wait in line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Work {
    Idle,
    /// A copy of the callback came.
    Callback(u8),
    /// The store has its claim.
    Claimed(u8),
    /// The provider answered.
    Exchanged(u8, bool),
    /// The session is there or failed; its landing is not.
    CallbackOutcome(u8, bool),
    /// Another copy has the claim.
    Awaiting(u8),
    /// It took the lease; whether it was abandoned.
    Leased(bool),
    /// It read the session under the lease.
    Reloaded(Record, bool),
    /// It read the tokens, too.
    Ready(Record, bool),
    /// The provider answered with a new refresh token, or refused.
    Answered(Record, Option<u8>, bool),
    /// These tokens are revoked.
    Revoked(u8),
    /// The session is ended; these tokens came meanwhile.
    Ended(u8, u8),
}

impl Work {
    /// The copy of the callback that it is about.
    pub fn copy(self) -> Option<u8> {
        match self {
            Self::Callback(copy) | Self::Claimed(copy) | Self::Awaiting(copy) => Some(copy),
            Self::Exchanged(copy, _) | Self::CallbackOutcome(copy, _) => Some(copy),
            _ => None,
        }
    }

    /// Whether a landing will come of it.
    pub fn exchanges(self) -> bool {
        matches!(self, Self::Claimed(_) | Self::Exchanged(..) | Self::CallbackOutcome(..))
    }

    /// Whether it is a renewal.
    pub fn renews(self) -> bool {
        matches!(self, Self::Leased(_) | Self::Reloaded(..) | Self::Ready(..) | Self::Answered(..))
    }
}

/// How far a process is with writing back after a loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Recovery {
    Endings,
    Sessions,
    /// Everything is written back; others may need a moment.
    Settling,
    Done,
}

/// What the store lost since the process wrote its canary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Loss {
    Nothing,
    Newest,
    Everything,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Process {
    pub alive: bool,
    /// The push channel, and what is on its way; `None` if it is broken.
    pub link: Option<Pushes>,
    /// Memory is believed. For a moment after the channel broke, too.
    pub believes: bool,
    /// It was connected before.
    pub heard: bool,
    pub at_hand: Option<Record>,
    /// No push has voided what is at hand.
    pub confirmed: bool,
    /// Read or written in the last 45 seconds.
    pub recent: bool,
    /// It was told of the ending, whether it remembers or not.
    pub told: bool,
    /// It knows of the ending.
    pub ended: bool,
    /// Revocations that it wrote, or was told of.
    pub own_revoked: u8,
    pub revoked: u8,
    pub claimed: Option<u8>,
    /// It knows an ending or a claim that the store lacks.
    pub owes: bool,
    /// The callback landed here.
    pub landed: bool,
    /// Own writes of the last 45 seconds.
    pub created: Option<Record>,
    pub updated: Option<(u8, Record)>,
    pub loss: Loss,
    pub recovery: Recovery,
    /// Whether the recovery is from a loss of everything.
    pub everything: bool,
    /// The store may have lost a renewal since.
    pub doubts_tokens: bool,
    /// Others no longer wait for it.
    pub still: bool,
    pub work: Work,
}

impl Process {
    pub const DEAD: Self = Self {
        alive: false,
        link: None,
        believes: false,
        heard: false,
        at_hand: None,
        confirmed: false,
        recent: false,
        told: false,
        ended: false,
        own_revoked: 0,
        revoked: 0,
        claimed: None,
        owes: false,
        landed: false,
        created: None,
        updated: None,
        loss: Loss::Nothing,
        recovery: Recovery::Done,
        everything: false,
        doubts_tokens: false,
        still: false,
        work: Work::Idle,
    };

    pub fn connected() -> Self {
        Self { alive: true, link: Some(Pushes::default()), believes: true, heard: true, ..Self::DEAD }
    }

    /// "Not there" is no answer.
    pub fn recovers(&self, cautious_start: bool) -> bool {
        let disconnected = self.link.is_none() && !self.believes && (self.heard || cautious_start);
        self.recovery != Recovery::Done || disconnected
    }

    /// A proof question would be answered now, and tell nothing new.
    pub fn is_proven(&self) -> bool {
        self.recovery == Recovery::Done && self.is_told_all()
    }

    pub fn is_told_all(&self) -> bool {
        self.link.is_some_and(Pushes::is_empty)
    }

    /// The newest version that it knows, with tokens if it has them.
    pub fn newest(&self) -> Option<Record> {
        self.at_hand.max(self.journal())
    }

    /// The newest version that it wrote lately.
    pub fn journal(&self) -> Option<Record> {
        self.created.max(self.updated.map(|(_, record)| record))
    }

    /// The newest version that it could put back when the access tokens of these have run out.
    pub fn restorable(&self, protocol: &Protocol, ran_out: u8) -> Option<Record> {
        let older = self.journal().filter(|_| protocol.lasting_tokens);
        let at_hand = self.at_hand.map(|record| record.with_tokens_of(older));
        let lasts = |record: &Record| record.is_complete() || record.version > ran_out;
        let at_hand = at_hand.filter(lasts).map(|record| Record { whole: record.is_complete(), ..record });
        at_hand.max(self.journal().filter(lasts))
    }

    /// The session is over, as it knows: nothing to put back.
    pub fn learn_ending(&mut self) {
        self.ended = true;
        self.forget();
        (self.created, self.updated) = (None, None);
    }

    pub fn forget(&mut self) {
        (self.at_hand, self.confirmed, self.recent) = (None, false, false);
    }

    pub fn keep(&mut self, protocol: &Protocol, record: Record) {
        let record = record.at_hand(protocol);
        (self.at_hand, self.confirmed, self.recent) = (Some(record), self.link.is_some(), true);
    }
}
