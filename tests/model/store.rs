//! The store: what it keeps, what a replica of it has, and what it tells.

use super::protocol::Protocol;

/// How many processes there are.
pub const PROCESSES: usize = 3;

/// A session's record, and its tokens where they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Record {
    /// Counts the writes.
    pub version: u8,
    /// The refresh token that belongs to it: the first, the second … `None` if there is nothing to renew it with.
    pub names: Option<u8>,
    /// The refresh token that is there.
    pub refresh: Option<u8>,
    /// It lasts until its own end. Else until its access token runs out.
    pub whole: bool,
}

impl Record {
    pub fn new(version: u8, refresh: Option<u8>) -> Self {
        Self { version, names: refresh, refresh, whole: true }
    }

    /// Whether what belongs to it is there.
    pub fn is_complete(self) -> bool {
        self.names.is_none() || self.refresh == self.names
    }

    /// What memory has of it.
    pub fn at_hand(self, protocol: &Protocol) -> Self {
        Self { refresh: self.refresh.filter(|_| !protocol.cold_tokens), ..self }
    }

    /// With the tokens of `other`, if they are its own.
    pub fn with_tokens_of(self, other: Option<Self>) -> Self {
        let refresh = other.and_then(|other| other.refresh).filter(|refresh| Some(*refresh) == self.names);
        Self { refresh: self.refresh.or(refresh), ..self }
    }

    /// As the store ends it.
    fn ending(self, protocol: &Protocol) -> Self {
        Self { whole: if protocol.derived_ends { self.is_complete() } else { self.whole }, ..self }
    }

    /// The names of all tokens that the session had so far, a bit each.
    pub fn tokens(self) -> u8 {
        (1 << self.version) - 1
    }
}

/// Who has the lease of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lease {
    /// Nobody, and nothing is in doubt.
    Free,
    /// Process.
    Held(u8),
    /// A process that is gone, or one that said that it does not know how its work ended.
    Abandoned,
}

/// Where the callbacks of the sign-in land.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallbackOutcome {
    Session,
    Failed,
}

/// The keys of one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Data {
    pub session: Option<Record>,
    pub tombstone: bool,
    /// Revoked tokens, a bit each.
    pub revoked: u8,
    /// The copy of the callback that claimed the code.
    pub claim: Option<u8>,
    pub landing: Option<CallbackOutcome>,
    pub lease: Lease,
}

impl Data {
    pub const EMPTY: Self =
        Self { session: None, tombstone: false, revoked: 0, claim: None, landing: None, lease: Lease::Free };
}

/// What a push channel carries.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pushes {
    pub session: bool,
    pub tombstone: bool,
    pub revoked: u8,
    pub claim: bool,
    pub flushed: bool,
}

impl Pushes {
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// Whether something may be over, or evicted.
    pub fn tell_of_ends(self) -> bool {
        self.tombstone || self.claim || self.revoked != 0
    }

    pub fn join(&mut self, more: Self) {
        self.session |= more.session;
        self.tombstone |= more.tombstone;
        self.revoked |= more.revoked;
        self.claim |= more.claim;
        self.flushed |= more.flushed;
    }
}

/// How an update ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Updated {
    Done,
    /// The store has this version.
    Stale(u8),
    Gone,
}

impl Data {
    /// Never over a session or a tombstone.
    pub fn create(&mut self, record: Record) -> bool {
        let new = self.session.is_none() && !self.tombstone;
        if new {
            self.session = Some(record);
        }
        new
    }

    /// Only over the expected version, and not past another's lease, which is given back. A refresh token that is no
    /// new one stays as it is.
    pub fn update(&mut self, protocol: &Protocol, by: Option<u8>, expected: u8, record: Record) -> Updated {
        let Some(old) = self.session else { return Updated::Gone };
        if old.version != expected {
            return Updated::Stale(old.version);
        }
        match (by, self.lease) {
            (Some(by), Lease::Held(holder)) if by != holder => return Updated::Stale(old.version),
            (Some(_), Lease::Held(_)) => self.lease = Lease::Free,
            _ => {}
        }
        let left_alone = protocol.cold_tokens && record.names.is_some() && record.names == old.names;
        let refresh = if left_alone && !protocol.complete_updates { old.refresh } else { record.refresh };
        self.session = Some(Record { refresh, ..record }.ending(protocol));
        Updated::Done
    }

    /// Whether something was written.
    pub fn restore(&mut self, protocol: &Protocol, record: Record) -> bool {
        let missing = |old: &Record| if protocol.named_tokens { !old.is_complete() } else { old.refresh.is_none() };
        let brings = |old: &Record| protocol.tokens_win && record.refresh.is_some() && missing(old);
        let restored = match self.session {
            _ if self.tombstone => None,
            None => Some(record),
            Some(old) if old.version < record.version => match protocol.named_tokens {
                true => Some(if protocol.lasting_tokens { record.with_tokens_of(Some(old)) } else { record }),
                false => Some(Record {
                    refresh: record.refresh.or(old.refresh.filter(|_| protocol.lasting_tokens)),
                    ..record
                }),
            },
            Some(old) if old.version == record.version => brings(&old).then_some(record),
            Some(old) => {
                let own = protocol.named_tokens && protocol.lasting_tokens && old.names == record.refresh;
                (own && brings(&old)).then_some(old.with_tokens_of(Some(record)))
            }
        };
        let Some(restored) = restored.map(|restored| restored.ending(protocol)) else { return false };
        self.session = Some(restored);
        true
    }

    /// Removes the session and its lease.
    pub fn end(&mut self) -> Option<Record> {
        self.tombstone = true;
        self.lease = Lease::Free;
        self.session.take()
    }
}
