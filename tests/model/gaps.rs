//! What the service does not do: the one measure that [`Protocol::TODAY`] lacks, and what the checker finds without it.
//!
//! It would make every refused refresh token doubtful for ten minutes after each reconnection of a process, and so let users
//! whom the provider has disabled stay for up to a day. Without it, a crash and a fail-over after each other can end a
//! session, which costs its user a sign-in.

use super::check::{QUIET, is_large};
use super::measures::{needed, needed_on};
use super::properties::NOT_ENDED;
use super::protocol::{Kinds, Protocol, Scenario};
use super::world::Action::*;

const MENDED: Protocol = Protocol::MENDED;

/// Whoever renewed is gone, the fail-over loses what it wrote, the canary is there: another process is refused for the
/// token that was spent, and ends the session.
#[test]
fn a_fail_over_that_lost_a_renewal_ends_the_session() {
    let kinds = Kinds { crash: true, fail_over: true, ..Kinds::NONE };
    let without = Protocol { doubted_reconnections: false, ..MENDED };
    let scenario = Scenario { renewals: 2, faults: 2, kinds, ..QUIET };
    let path = [
        TakeLease(1),
        ReloadUnderLease(1),
        ReadTokens(1),
        FailOver,
        Connect { process: 2, canary_found: true },
        SpendRefreshToken(1),
        Crash(1),
        Connect { process: 0, canary_found: true },
        WriteBackEndings(2),
        WriteBackEndings(0),
        WriteBackSessions(2),
        WriteBackSessions(0),
        Settle(0),
        TakeLease(0),
        ReloadUnderLease(0),
        ReadTokens(0),
        SpendRefreshToken(0),
        WriteRenewed(0),
    ];
    needed_on(without, scenario, NOT_ENDED, &path);
    if is_large() {
        needed(without, scenario, NOT_ENDED);
    }
}
