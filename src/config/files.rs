//! Files the configuration names: secrets, certificates. One that cannot be read is a mistake, never "none".

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::diagnostic::Mistake;

/// Reads a secret; one newline at its end is none of it.
pub(super) fn secret_in(path: &Path) -> Result<Zeroizing<String>, Mistake> {
    let content = read_file(path)?;
    let text = content.strip_suffix('\n').unwrap_or(&content);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.trim().is_empty() { Err(wrong_file(path, "is empty")) } else { Ok(Zeroizing::new(text.to_owned())) }
}

/// Reads a small text file.
pub(super) fn read_file(path: &Path) -> Result<Zeroizing<String>, Mistake> {
    read_up_to(1, path)
}

/// Reads a text file of so many megabytes at most.
pub(super) fn read_up_to(megabytes: u64, path: &Path) -> Result<Zeroizing<String>, Mistake> {
    let most = megabytes << 20;
    let mut content = Zeroizing::new(String::new());
    match File::open(path).and_then(|file| file.take(most + 1).read_to_string(&mut content)) {
        Ok(_) if content.len() as u64 > most => Err(wrong_file(path, &format!("is larger than {megabytes} MiB"))),
        Ok(_) => Ok(content),
        Err(error) => Err(wrong_file(path, &format!("cannot be read ({error})"))),
    }
}

/// Reads a file of so many bytes at most.
pub(super) fn read_bytes(most: u64, path: &Path) -> Result<Vec<u8>, Mistake> {
    let mut content = Vec::new();
    match File::open(path).and_then(|file| file.take(most + 1).read_to_end(&mut content)) {
        Ok(_) if content.len() as u64 > most => Err(wrong_file(path, &format!("is larger than {} KiB", most >> 10))),
        Ok(_) => Ok(content),
        Err(error) => Err(wrong_file(path, &format!("cannot be read ({error})"))),
    }
}

/// The file, or the .toml files of the folder in the order of their names.
pub(super) fn files_at(path: &Path) -> Result<Vec<PathBuf>, Mistake> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).map_err(|error| {
        let what = format!("The folder {} cannot be read ({error}).", path.display());
        Mistake::new(what, "Make it readable for the user that runs the service.")
    })?;
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut files: Vec<_> = files.filter(|file| file.extension().is_some_and(|e| e == "toml")).collect();
    files.sort();
    Ok(files)
}

fn wrong_file(path: &Path, what: &str) -> Mistake {
    Mistake::new(
        format!("The file {} {what}, and going on without it would be less safe than stopping.", path.display()),
        "Put the file there, readable for the user that runs the service, or remove the key.",
    )
}
