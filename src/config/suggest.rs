//! What somebody probably meant who wrote a name that does not exist.

use super::diagnostic::{Diagnostic, Mistake, line};
use super::key::ConfigKey;

/// An unknown key under its written name; `spelling` is how that place writes keys.
pub(super) fn unknown(name: &str, keys: &[ConfigKey], spelling: fn(&ConfigKey) -> String) -> Diagnostic {
    let what = "There is no such key, so it would have no effect.";
    let leaf = name.rsplit_once("__").or_else(|| name.rsplit_once('.')).map_or(name, |(_, leaf)| leaf);
    let keys = || keys.iter().filter(|key| !key.shape.is_tables());
    let elsewhere = keys().find(|key| key.name.eq_ignore_ascii_case(leaf));
    let near = nearest(name, keys().map(spelling));
    let instead = match (elsewhere.map(spelling), near) {
        (Some(near), _) | (None, Some(near)) => format!("Write `{near}`, or remove it."),
        (None, None) => "Remove it; `auth-api config-reference` lists every key.".to_owned(),
    };
    Mistake::new(what, instead).at(line(name))
}

/// A section that does not exist.
pub(super) fn unknown_section(section: &str, sections: &[(&str, &str)]) -> Diagnostic {
    let names = sections.iter().map(|(name, _)| (*name).to_owned());
    let instead = match nearest(section, names.clone()) {
        Some(near) => format!("Write `[{near}]`, or remove the section."),
        None => format!("Remove the section; there are {}.", names.collect::<Vec<_>>().join(", ")),
    };
    let what = "This version has no such section, so nothing in it would take effect.";
    Mistake::new(what, instead).at(line(section))
}

/// The candidate that differs in the fewest letters, if that is few enough to be a slip.
pub(super) fn nearest(name: &str, candidates: impl Iterator<Item = String>) -> Option<String> {
    let name = name.to_ascii_lowercase();
    if name.len() > 100 {
        return None;
    }
    let limit = 2.max(name.len() / 6);
    candidates
        .map(|candidate| (distance(&name, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(d, _)| *d <= limit)
        .min_by_key(|(d, _)| *d)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// A variable's name without the differences that slip in: case and doubled underscores.
pub(super) fn folded(name: &str) -> String {
    name.to_ascii_uppercase().split('_').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("_")
}
