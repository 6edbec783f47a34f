//! The second edition of the protocol keeps every invariant.

use super::check::{END, QUIET, holds, large};
use super::protocol::{Kinds, Protocol, Scenario};

const MENDED: Protocol = Protocol::MENDED;
const ANY_FAULT: Scenario = Scenario { faults: 1, kinds: Kinds::ALL, ..QUIET };
const ANY_TWO_FAULTS: Scenario = Scenario { faults: 2, ..ANY_FAULT };

#[test]
fn two_copies_of_a_callback() {
    holds("sign-in", MENDED, Scenario { callbacks: 2, ..QUIET }, END, 100);
}

#[test]
fn a_session_survives_a_fail_over() {
    let kinds = Kinds { fail_over: true, ..Kinds::NONE };
    holds("fail-over", MENDED, Scenario { faults: 1, kinds, ..QUIET }, END, 1_500);
}

#[test]
fn a_session_survives_an_emptied_store() {
    let kinds = Kinds { flush: true, restart: true, ..Kinds::NONE };
    holds("emptied store", MENDED, Scenario { faults: 1, kinds, ..QUIET }, END, 1_500);
}

#[test]
fn two_copies_of_a_callback_with_any_fault() {
    large("sign-in, any fault", MENDED, Scenario { callbacks: 2, ..ANY_FAULT }, END, 150_000);
}

#[test]
fn a_sign_out_with_any_fault() {
    holds("sign-out, any fault", MENDED, Scenario { sign_outs: 1, ..ANY_FAULT }, END, 150_000);
}

#[test]
fn two_renewals_with_any_fault() {
    large("renewals, any fault", MENDED, Scenario { renewals: 2, ..ANY_FAULT }, END, 500_000);
}

#[test]
fn a_sign_in_and_a_sign_out_with_any_fault() {
    let scenario = Scenario { callbacks: 2, sign_outs: 1, ..ANY_FAULT };
    large("sign-in and sign-out, any fault", MENDED, scenario, END, 2_000_000);
}

#[test]
fn two_renewals_and_a_sign_out_with_any_fault() {
    let scenario = Scenario { renewals: 2, sign_outs: 1, ..ANY_FAULT };
    large("renewals and sign-out, any fault", MENDED, scenario, END, 8_000_000);
}

#[test]
fn two_copies_of_a_callback_with_any_two_faults() {
    large("sign-in, two faults", MENDED, Scenario { callbacks: 2, ..ANY_TWO_FAULTS }, END, 5_000_000);
}

#[test]
fn a_sign_out_and_a_late_process_with_any_two_faults() {
    let scenario = Scenario { sign_outs: 1, spares: 1, ..ANY_TWO_FAULTS };
    large("sign-out, a process that starts, two faults", MENDED, scenario, END, 8_000_000);
}

/// Later, who stood still does not put its tokens back over the same version without any.
#[test]
fn two_renewals_with_any_two_faults() {
    large("renewals, two faults", MENDED, Scenario { renewals: 2, ..ANY_TWO_FAULTS }, 24, 1_000_000);
}

/// Too many states to meet all.
#[test]
fn a_sign_in_and_a_sign_out_with_any_two_faults() {
    let scenario = Scenario { callbacks: 2, sign_outs: 1, ..ANY_TWO_FAULTS };
    large("sign-in and sign-out, two faults", MENDED, scenario, 12, 2_000_000);
}

/// Too many states to meet all.
#[test]
fn two_renewals_and_a_sign_out_with_any_two_faults() {
    let scenario = Scenario { renewals: 2, sign_outs: 1, ..ANY_TWO_FAULTS };
    large("renewals and sign-out, two faults", MENDED, scenario, 11, 2_000_000);
}
