//! Measures that only the searches over two faults have asked for, each needed as those of [`measures`](super::measures).

use super::check::QUIET;
use super::measures::{needed, needed_on_or_large, recovery};
use super::properties::{ALIVE, NOT_ENDED, NOT_LOST, ONE_LEASE, SIGNED_OUT};
use super::protocol::{Kinds, Protocol, Scenario};
use super::world::Action::*;

const MENDED: Protocol = Protocol::MENDED;

/// A process stands still for longer than its lease; another takes that and spends the refresh token; the first one is
/// refused for it and ends the session before the other has written.
#[test]
fn a_refusal_after_the_lease_ran_out_ends_the_session() {
    let kinds = Kinds { stand_still: true, ..Kinds::NONE };
    let without = Protocol { owned_refusals: false, ..MENDED };
    needed(without, Scenario { renewals: 2, faults: 1, kinds, ..QUIET }, NOT_ENDED);
}

/// A process that starts just after a fail-over believes that there is no such session.
#[test]
fn a_process_that_starts_believes_a_store_that_lost_writes() {
    let kinds = Kinds { fail_over: true, ..Kinds::NONE };
    let without = Protocol { cautious_start: false, ..MENDED };
    needed(without, Scenario { spares: 1, faults: 1, kinds, ..QUIET }, ALIVE);
}

/// A process ends a session before it first hears from the store. The others miss that, the fail-over loses it, and the
/// first connection is no reason to write it back: the sign-out is undone for good.
#[test]
fn a_sign_out_before_the_first_connection_is_not_written_back() {
    let kinds = Kinds { fail_over: true, ..Kinds::NONE };
    let without = Protocol { cautious_start: false, ..MENDED };
    let scenario = Scenario { sign_outs: 1, spares: 1, faults: 1, kinds, ..QUIET };
    let path = [
        Start(2),
        RevokeTokens(2),
        EndSession(2),
        FailOver,
        Connect { process: 2, canary_found: true },
        Connect { process: 1, canary_found: true },
        Connect { process: 0, canary_found: true },
        WriteBackEndings(1),
        WriteBackEndings(0),
        WriteBackSessions(1),
        WriteBackSessions(0),
        Settle(1),
        Settle(0),
        Hear(1),
        Hear(2),
    ];
    needed_on_or_large(without, scenario, SIGNED_OUT, &path);
}

/// Whoever wrote the session is gone, the fail-over loses it, and who has read it forgets it with the connection.
#[test]
fn a_session_that_was_read_is_forgotten_with_the_connection() {
    let kinds = Kinds { crash: true, fail_over: true, ..Kinds::NONE };
    let without = Protocol { kept_over_reconnections: false, ..MENDED };
    needed(without, Scenario { faults: 2, kinds, ..QUIET }, NOT_LOST);
}

/// A session is put back from memory, and the next fail-over loses it before a replica has it.
#[test]
fn a_session_that_was_put_back_is_not_kept_for_the_next_loss() {
    let kinds = Kinds { flush: true, fail_over: true, ..Kinds::NONE };
    let without = Protocol { kept_restorations: false, ..MENDED };
    let hear = [Hear(0), Hear(1), Hear(2), WriteBackEndings(0), WriteBackEndings(1), WriteBackEndings(2)];
    let rest = [WriteBackSessions(1), WriteBackSessions(2), WriteBackSessions(0), Settle(0), FailOver];
    let connect = [(0, true), (1, false), (2, false)];
    let connect = connect.map(|(process, canary_found)| Connect { process, canary_found });
    let path = [&[Replicate, TimePasses, Flush][..], &hear, &rest, &connect, &recovery(None)[3..]].concat();
    needed_on_or_large(without, Scenario { faults: 2, kinds, ..QUIET }, ALIVE, &path);
}

/// A tombstone is evicted before a process has heard of it. That one reads, puts the session back and renews it,
/// beside the one whose renewal began before the sign-out. That asks for tokens in memory: without, what is put back cannot
/// be renewed.
#[test]
fn a_read_puts_back_what_it_has_not_heard_the_end_of() {
    let kinds = Kinds { evict: true, ..Kinds::NONE };
    let without = Protocol { proven_restorations: false, cold_tokens: false, ..MENDED };
    let path = [
        Replicate,
        TimePasses,
        TakeLease(1),
        ReloadUnderLease(1),
        RevokeTokens(2),
        EndSession(2),
        EvictTombstone,
        Load(0),
        TakeLease(0),
        Hear(0),
        ReloadUnderLease(0),
        SpendRefreshToken(0),
        SpendRefreshToken(1),
    ];
    let scenario = Scenario { renewals: 2, sign_outs: 1, faults: 1, kinds, ..QUIET };
    needed_on_or_large(without, scenario, ONE_LEASE, &path);
}
