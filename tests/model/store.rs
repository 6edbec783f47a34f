//! The store: what it keeps, what a replica of it has, and what it tells.

/// How many processes there are.
pub const PROCESSES: usize = 3;

/// A session's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Record {
    /// Counts the writes.
    pub version: u8,
    /// The refresh token: the first, the second …
    pub refresh: Option<u8>,
}

impl Record {
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

    /// Only over the expected version, and not past another's lease, which is given back.
    pub fn update(&mut self, by: Option<u8>, expected: u8, record: Record) -> Updated {
        let Some(old) = self.session else { return Updated::Gone };
        if old.version != expected {
            return Updated::Stale(old.version);
        }
        match (by, self.lease) {
            (Some(by), Lease::Held(holder)) if by != holder => return Updated::Stale(old.version),
            (Some(_), Lease::Held(_)) => self.lease = Lease::Free,
            _ => {}
        }
        self.session = Some(record);
        Updated::Done
    }

    /// Whether something was written.
    pub fn restore(&mut self, record: Record) -> bool {
        let older = self.session.is_none_or(|old| old.version < record.version);
        if older && !self.tombstone {
            self.session = Some(record);
            return true;
        }
        false
    }

    /// Removes the session and its lease.
    pub fn end(&mut self) -> Option<Record> {
        self.tombstone = true;
        self.lease = Lease::Free;
        self.session.take()
    }
}
