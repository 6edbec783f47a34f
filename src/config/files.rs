//! Files the configuration names: secrets, certificates. One that cannot be read is a mistake, never "none".

use std::fs::File;
use std::io::Read;
use std::path::Path;

use zeroize::Zeroizing;

use super::keys::Key;
use super::problem::Wrong;
use super::reader::{Field, Reader};

impl Reader {
    /// A secret text, from `key` or from the file that `file_key` names.
    pub(super) fn secret<T>(
        &mut self,
        key: &Key,
        file_key: &Key,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Field<T> {
        match self.read_secret(key, file_key) {
            FromFile::NotNamed => self.text(key, parse),
            FromFile::Broken(at) => Field::wrong(at),
            FromFile::Content(at, content) => {
                let result = parse(&content);
                self.field(at, result)
            }
        }
    }

    /// A list of secrets, from `key` or, one a line, from the file that `file_key` names.
    pub(super) fn secrets<T>(
        &mut self,
        key: &Key,
        file_key: &Key,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Field<Vec<T>> {
        match self.read_secret(key, file_key) {
            FromFile::NotNamed => self.list(key, parse),
            FromFile::Broken(at) => Field::wrong(at),
            FromFile::Content(at, content) => {
                let lines = content.lines().map(str::to_owned).collect();
                self.items(at, lines, parse)
            }
        }
    }

    fn read_secret(&mut self, key: &Key, file_key: &Key) -> FromFile {
        let file = self.path(file_key);
        let at = file.at.clone();
        let named = match file.known() {
            Some(None) => return FromFile::NotNamed,
            Some(Some(path)) => Some(path),
            None => None,
        };
        if let Some(other) = self.peek(key) {
            let what = format!("Both this and {} are given, and only one of them can count.", other.at);
            let instead =
                "Remove one of the two; the file keeps the secret out of process listings and version control.";
            self.problems.push(Wrong::new(what, instead).at(&at));
            self.discard(key);
            return FromFile::Broken(at);
        }
        let Some(path) = named else {
            return FromFile::Broken(at);
        };
        match secret_in(path) {
            Ok(content) => FromFile::Content(at, content),
            Err(wrong) => {
                self.problems.push(wrong.at(&at));
                FromFile::Broken(at)
            }
        }
    }
}

/// What became of a secret's file; the first text is the name it was written under.
enum FromFile {
    NotNamed,
    Broken(String),
    Content(String, Zeroizing<String>),
}

/// Reads a secret; one newline at its end is none of it.
pub(super) fn secret_in(path: &Path) -> Result<Zeroizing<String>, Wrong> {
    let content = read_file(path)?;
    let text = content.strip_suffix('\n').unwrap_or(&content);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.trim().is_empty() { Err(wrong_file(path, "is empty")) } else { Ok(Zeroizing::new(text.to_owned())) }
}

/// Reads a small text file.
pub(super) fn read_file(path: &Path) -> Result<Zeroizing<String>, Wrong> {
    read_up_to(1, path)
}

/// Reads a text file of so many megabytes at most.
pub(super) fn read_up_to(megabytes: u64, path: &Path) -> Result<Zeroizing<String>, Wrong> {
    let most = megabytes << 20;
    let mut content = Zeroizing::new(String::new());
    match File::open(path).and_then(|file| file.take(most + 1).read_to_string(&mut content)) {
        Ok(_) if content.len() as u64 > most => Err(wrong_file(path, &format!("is larger than {megabytes} MiB"))),
        Ok(_) => Ok(content),
        Err(error) => Err(wrong_file(path, &format!("cannot be read ({error})"))),
    }
}

fn wrong_file(path: &Path, what: &str) -> Wrong {
    Wrong::new(
        format!("The file {} {what}, and going on without it would be less safe than stopping.", path.display()),
        "Put the file there, readable for the user that runs the service, or remove the key.",
    )
}
