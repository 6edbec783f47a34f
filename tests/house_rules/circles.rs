//! Which files of a room import each other in a circle. A folder's own file is not counted: what it defines is for all of
//! its folder, and it knows them all.

use super::reading::{Place, Reading, module, read};
use std::collections::{BTreeMap, BTreeSet};

type Modules = BTreeMap<Vec<String>, (String, Reading)>;

/// Each circle's files, in order. Only imports within what `room` says of a file count.
pub fn circles<'a>(files: &[(String, String)], room: impl Fn(&str) -> Option<&'a str>) -> BTreeSet<Vec<String>> {
    let read = |(path, source): &(String, String)| (module(path), (path.clone(), read(path, source)));
    let modules: Modules = files.iter().filter(|(path, _)| path != "main.rs").map(read).collect();
    let parent = |module: &[String]| modules.get(&module[..module.len().checked_sub(1)?]).map(|(file, _)| file.clone());
    let parents: BTreeSet<String> = modules.keys().filter_map(|module| parent(module)).collect();
    let imports = |(path, reading): &(String, Reading)| {
        let used = reading.inside.iter().filter_map(|(_, used)| {
            let used: Vec<_> = used.split("::").map(str::to_owned).collect();
            definer(&modules, &used, 0)
        });
        let used: BTreeSet<String> =
            used.filter(|used| used != path && !parents.contains(used) && room(used) == room(path)).collect();
        (path.clone(), used)
    };
    let imports: BTreeMap<String, BTreeSet<String>> = modules.values().map(imports).collect();
    let reached: BTreeMap<&String, BTreeSet<&String>> =
        imports.keys().map(|file| (file, reach(&imports, file))).collect();
    let circle = |file: &String| -> Vec<String> {
        let together = reached[file].iter().filter(|other| reached[**other].contains(file));
        together.map(|other| (*other).clone()).collect()
    };
    imports.keys().map(circle).filter(|circle| !circle.is_empty()).collect()
}

/// The file that a path leads to, through what modules on the way re-export.
fn definer(modules: &Modules, path: &[String], depth: usize) -> Option<String> {
    let known = (0..=path.len()).rev().find(|length| modules.contains_key(&path[..*length]))?;
    let (file, reading) = &modules[&path[..known]];
    let further = path.get(known).and_then(|name| reading.aliases.get(name));
    match further {
        Some(Place::Inside(to)) if depth < 8 => {
            definer(modules, &[to, &path[known + 1..]].concat(), depth + 1).or_else(|| Some(file.clone()))
        }
        _ => Some(file.clone()),
    }
}

/// Every file that one imports, and those that these import.
fn reach<'a>(imports: &'a BTreeMap<String, BTreeSet<String>>, file: &str) -> BTreeSet<&'a String> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<_> = imports[file].iter().collect();
    while let Some(file) = next.pop() {
        if reached.insert(file) {
            next.extend(&imports[file]);
        }
    }
    reached
}
