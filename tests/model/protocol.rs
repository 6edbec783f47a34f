//! What a protocol does about faults, one switch for each measure, and how much a check tries.

/// A session protocol: which measures it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protocol {
    /// Only the process whose claim of the sign-in's state is in the store exchanges the code; other copies of the callback wait
    /// for its landing.
    pub code_claims: bool,
    /// Tombstones and revocations are pushed; whoever hears of one remembers it, refuses by it, and writes it
    /// back when the store lacks it. Else a process remembers its own for 45 seconds.
    pub remembered_endings: bool,
    /// Endings are written back first, sessions only after a grace in which all processes do so.
    pub endings_first: bool,
    /// A tombstone lives until the session's own end. Else an hour.
    pub lasting_tombstones: bool,
    /// What is put back replaces every older version. Else the journal is replayed write by write.
    pub restore_by_version: bool,
    /// A reconnected process knows by its canary that the store lost everything.
    pub canaries: bool,
    /// Every reconnection counts as a loss of the newest writes, canary or not.
    pub reconnection_is_loss: bool,
    /// Invalidated and reconnected sessions stay at hand, unbelieved, and are put back when the store lacks them.
    pub kept_sessions: bool,
    /// A process that starts counts as one that reconnects.
    pub cautious_start: bool,
    /// A refresh token refused after a loss costs the token, not the session.
    pub orphaned_sessions: bool,
    /// "Not there" is believed only after a proof that everything told before was heard.
    pub proven_absence: bool,
    /// A held lease is written back like an ending.
    pub restored_leases: bool,
    /// Signing out of a session that the store lacks writes its tombstone all the same.
    pub blind_tombstones: bool,
    /// A refused refresh token ends the session only for who has the lease at that moment.
    pub owned_refusals: bool,
    /// A session that was put back is kept for the next loss like one that was written.
    pub kept_restorations: bool,
    /// Sessions stay at hand over a reconnection, too, after which the canary was found.
    pub kept_over_reconnections: bool,
    /// A read, too, puts a session back only after a proof that it was not ended meanwhile.
    pub proven_restorations: bool,
    /// A reconnection, too, makes refused refresh tokens doubtful, not only a store that lost everything.
    pub doubted_reconnections: bool,
    /// Tokens are in the store, and in the journal of the process that wrote them; memory has the session without.
    pub cold_tokens: bool,
    /// What is put back with tokens replaces the same version without.
    pub tokens_win: bool,
    /// A record says which refresh token is its own. Another one in the store is none: it is not spent, and no reason
    /// not to put back the right one.
    pub named_tokens: bool,
    /// A record that is put back without tokens leaves those that are there, and brings tokens to a newer record of
    /// which they are.
    pub lasting_tokens: bool,
    /// A session without its tokens ends with its access token for as long as it is without. Else for good.
    pub derived_ends: bool,
    /// A renewal gives up when the record that it read says that the tokens were lost, though they are there by now: it
    /// would write that record's early end once more. Without `derived_ends` only, since nothing says so with it.
    pub rechecked_records: bool,
    /// An update that leaves the refresh token alone, and finds none, brings it.
    pub complete_updates: bool,
}

impl Protocol {
    /// The first edition.
    pub const FIRST: Self = Self {
        code_claims: false,
        remembered_endings: false,
        endings_first: false,
        lasting_tombstones: false,
        restore_by_version: false,
        canaries: false,
        reconnection_is_loss: true,
        kept_sessions: false,
        cautious_start: false,
        orphaned_sessions: false,
        proven_absence: false,
        restored_leases: false,
        blind_tombstones: false,
        owned_refusals: false,
        kept_restorations: false,
        kept_over_reconnections: false,
        proven_restorations: false,
        doubted_reconnections: false,
        cold_tokens: false,
        tokens_win: false,
        named_tokens: false,
        lasting_tokens: false,
        derived_ends: false,
        rechecked_records: false,
        complete_updates: false,
    };

    /// The second edition, with all that it takes.
    pub const MENDED: Self = Self {
        code_claims: true,
        remembered_endings: true,
        endings_first: true,
        lasting_tombstones: true,
        restore_by_version: true,
        canaries: true,
        reconnection_is_loss: true,
        kept_sessions: true,
        cautious_start: true,
        orphaned_sessions: true,
        proven_absence: true,
        restored_leases: true,
        blind_tombstones: true,
        owned_refusals: true,
        kept_restorations: true,
        kept_over_reconnections: true,
        proven_restorations: true,
        doubted_reconnections: true,
        cold_tokens: true,
        tokens_win: true,
        named_tokens: true,
        lasting_tokens: true,
        derived_ends: true,
        rechecked_records: true,
        complete_updates: true,
    };

    /// What the service does, without the measures of [`gaps`](super::gaps).
    pub const TODAY: Self =
        Self { doubted_reconnections: false, lasting_tokens: false, derived_ends: false, ..Self::MENDED };
}

/// What happens in a check, at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scenario {
    /// Copies of one callback. Without any, the session is there from the start.
    pub callbacks: u8,
    /// Renewals of the session's tokens.
    pub renewals: u8,
    /// The provider answers with a new refresh token each time. Else the first one stays good.
    pub rotates: bool,
    /// Requests to sign out.
    pub sign_outs: u8,
    /// Processes that start later than the others.
    pub spares: u8,
    /// Faults of all kinds together.
    pub faults: u8,
    /// Which kinds.
    pub kinds: Kinds,
}

/// Kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kinds {
    /// A process ends at once; its memory is gone.
    pub crash: bool,
    /// The store fails over and loses its newest writes.
    pub fail_over: bool,
    /// The store is emptied, and says so.
    pub flush: bool,
    /// The store restarts without its data.
    pub restart: bool,
    /// The store evicts a tombstone, revocations or a claim.
    pub evict: bool,
    /// The store evicts the session.
    pub evict_session: bool,
    /// A push channel breaks; what it carried is lost.
    pub break_link: bool,
    /// A process stands still for longer than others wait for it.
    pub stand_still: bool,
}

impl Kinds {
    /// None of them.
    pub const NONE: Self = Self {
        crash: false,
        fail_over: false,
        flush: false,
        restart: false,
        evict: false,
        evict_session: false,
        break_link: false,
        stand_still: false,
    };
    /// All but the eviction of sessions.
    pub const ALL: Self = Self {
        crash: true,
        fail_over: true,
        flush: true,
        restart: true,
        evict: true,
        evict_session: false,
        break_link: true,
        stand_still: true,
    };
}
