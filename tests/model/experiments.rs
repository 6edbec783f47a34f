use super::check::{QUIET, way, written};
use super::properties::*;
use super::protocol::{Kinds, Protocol, Scenario};

const MENDED: Protocol = Protocol::MENDED;

/// X="off1,off2;rotates;kind1,kind2;faults;renewals;signouts;limit;property"
#[test]
fn x() {
    let Ok(x) = std::env::var("X") else { return };
    let parts: Vec<_> = x.split(';').collect();
    let mut p = MENDED;
    for off in parts[0].split(',') {
        match off {
            "named" => p.named_tokens = false,
            "derived" => p.derived_ends = false,
            "win" => p.tokens_win = false,
            "lasting" => p.lasting_tokens = false,
            "complete" => p.complete_updates = false,
            "doubted" => p.doubted_reconnections = false,
            "proven" => p.proven_restorations = false,
            _ => {}
        }
    }
    let rotates = parts[1] == "1";
    let mut kinds = Kinds::NONE;
    for kind in parts[2].split(',') {
        match kind {
            "fo" => kinds.fail_over = true,
            "flush" => kinds.flush = true,
            "still" => kinds.stand_still = true,
            "crash" => kinds.crash = true,
            "link" => kinds.break_link = true,
            "evict" => kinds.evict = true,
            "all" => kinds = Kinds::ALL,
            _ => {}
        }
    }
    let n: Vec<usize> = parts[3..7].iter().map(|n| n.parse().unwrap()).collect();
    let scenario =
        Scenario { renewals: n[1] as u8, sign_outs: n[2] as u8, rotates, faults: n[0] as u8, kinds, ..QUIET };
    let all = [
        ("alive", ALIVE),
        ("tokens", TOKENS),
        ("tlost", TOKENS_NOT_LOST),
        ("bounded", BOUNDED),
        ("refresh", ONE_REFRESH),
        ("ended", NOT_ENDED),
        ("lost", NOT_LOST),
        ("lease", ONE_LEASE),
        ("out", SIGNED_OUT),
        ("revived", NOT_REVIVED),
        ("revoked", REVOKED),
    ];
    for (name, property) in all {
        if parts[7].split(',').any(|part| part == name) {
            match way(p, scenario, property, n[3]) {
                Some(path) => println!("XX {x}: {property} in {}{}", path.len(), written(&path)),
                None => println!("XX {x}: {property} holds"),
            }
        }
    }
}
