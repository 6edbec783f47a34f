//! Reads Rust as text, as far as the rules need it: which paths a file names, seen through comments,
//! strings, `use` trees, aliases and `super`.

use std::collections::{BTreeMap, BTreeSet};

/// What a file names, each with its line.
#[derive(Debug, Default)]
pub struct Reading {
    /// Paths into the crate, without `crate::`.
    pub inside: Vec<(usize, String)>,
    /// Paths into other crates, `std` too.
    pub outside: Vec<(usize, String)>,
    /// `allow` or `expect` without a reason.
    pub attributes_without_reason: Vec<(usize, String)>,
}

/// Reads one file; `path` is relative to `src`.
pub fn read(path: &str, source: &str) -> Reading {
    let tokens = tokens(source);
    let mut reader = Reader { module: module(path), ..Reader::default() };
    reader.declared = tokens
        .windows(3)
        .filter(|t| t[0].is("mod") && (t[2].is(";") || t[2].is("{")))
        .map(|t| t[1].text.clone())
        .collect();
    // Aliases first: `use` may come after what it names.
    reader.walk(&tokens, true);
    reader.walk(&tokens, false);
    reader.reading
}

/// The module that a file is.
fn module(path: &str) -> Vec<String> {
    let mut parts: Vec<String> = path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        parts.pop();
    }
    parts
}

#[derive(Debug)]
struct Token {
    line: usize,
    /// A word, `::`, or a single sign.
    text: String,
}

impl Token {
    fn is(&self, text: &str) -> bool {
        self.text == text
    }

    fn is_word(&self) -> bool {
        self.text.chars().all(|c| c.is_alphanumeric() || c == '_')
    }
}

/// Words and signs without comments and the contents of strings.
fn tokens(source: &str) -> Vec<Token> {
    let text: Vec<char> = source.chars().collect();
    let at = |i: usize| text.get(i).copied().unwrap_or('\0');
    let mut tokens = Vec::new();
    let (mut i, mut line) = (0, 1);
    while i < text.len() {
        let begin = i;
        match at(i) {
            '/' if at(i + 1) == '/' => {
                while i < text.len() && at(i) != '\n' {
                    i += 1;
                }
            }
            '/' if at(i + 1) == '*' => {
                let mut depth = 0;
                loop {
                    match (at(i), at(i + 1)) {
                        ('/', '*') => (depth, i) = (depth + 1, i + 2),
                        ('*', '/') => (depth, i) = (depth - 1, i + 2),
                        _ => i += 1,
                    }
                    if depth == 0 || i >= text.len() {
                        break;
                    }
                }
            }
            '"' => i = after_string(&text, i),
            // A character, or else a lifetime, whose name is then read as a word.
            '\'' if at(i + 1) == '\\' => {
                i += 3;
                while i < text.len() && at(i) != '\'' {
                    i += 1;
                }
                i += 1;
            }
            '\'' if at(i + 2) == '\'' => i += 3,
            c if c.is_alphanumeric() || c == '_' => {
                while at(i).is_alphanumeric() || at(i) == '_' {
                    i += 1;
                }
                let word: String = text[begin..i].iter().collect();
                let hashes = (i..text.len()).take_while(|j| at(*j) == '#').count();
                match word.as_str() {
                    "r" | "br" | "cr" if at(i + hashes) == '"' => i = after_raw_string(&text, i + hashes, hashes),
                    "r" if hashes == 1 => i += 1, // a raw identifier: the word follows
                    "b" | "c" if at(i) == '"' => i = after_string(&text, i),
                    _ => tokens.push(Token { line, text: word }),
                }
            }
            ':' if at(i + 1) == ':' => {
                i += 2;
                tokens.push(Token { line, text: "::".to_owned() });
            }
            c => {
                i += 1;
                if !c.is_whitespace() {
                    tokens.push(Token { line, text: c.to_string() });
                }
            }
        }
        line += text[begin..i.min(text.len())].iter().filter(|c| **c == '\n').count();
    }
    tokens
}

fn after_string(text: &[char], quote: usize) -> usize {
    let mut i = quote + 1;
    while i < text.len() && text[i] != '"' {
        i += if text[i] == '\\' { 2 } else { 1 };
    }
    i + 1
}

fn after_raw_string(text: &[char], quote: usize, hashes: usize) -> usize {
    let mut i = quote + 1;
    while i < text.len()
        && !(text[i] == '"' && text[i + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes)
    {
        i += 1;
    }
    i + 1 + hashes
}

/// Where a path leads.
#[derive(Clone, Debug)]
enum Place {
    Inside(Vec<String>),
    Outside(Vec<String>),
}

#[derive(Default)]
struct Reader {
    module: Vec<String>,
    /// Modules that this file declares: a bare path that begins with one is no path to a crate.
    declared: BTreeSet<String>,
    aliases: BTreeMap<String, Place>,
    reading: Reading,
}

impl Reader {
    fn walk(&mut self, tokens: &[Token], only_use: bool) {
        // For each open brace, whether it is a module's.
        let mut braces = Vec::new();
        let mut i = 0;
        while i < tokens.len() {
            let is = |ahead: usize, text: &str| tokens.get(i + ahead).is_some_and(|t| t.is(text));
            let before = i.checked_sub(1).map(|b| &tokens[b]);
            let mut next = i + 1;
            if is(0, "mod") && is(2, "{") {
                self.module.push(tokens[i + 1].text.clone());
                braces.push(true);
                next = i + 3;
            } else if is(0, "{") {
                braces.push(false);
            } else if is(0, "}") {
                if braces.pop() == Some(true) {
                    self.module.pop();
                }
            } else if is(0, "use") && !is(1, "<") {
                let end = tokens[i..].iter().position(|t| t.is(";")).map_or(tokens.len(), |n| i + n);
                if only_use {
                    self.tree(&tokens[i + 1..end], &[]);
                }
                next = end;
            } else if only_use {
                // Everything else is for the second walk.
            } else if is(0, "extern") && is(1, "crate") {
                let name = tokens.get(i + 2).map(|t| t.text.clone()).unwrap_or_default();
                self.note(tokens[i].line, Place::Outside(vec![name]));
            } else if is(0, "#") && (is(1, "[") || is(1, "!") && is(2, "[")) {
                self.attribute(&tokens[i..]);
            } else if is(0, "::") && !before.is_some_and(|t| t.is_word() || t.is(">")) {
                let (path, end) = path(tokens, i + 1);
                self.note(tokens[i].line, Place::Outside(path));
                next = end;
            } else if tokens[i].is_word() && is(1, "::") && !before.is_some_and(|t| t.is("::")) {
                let (path, end) = path(tokens, i);
                if path.len() > 1
                    && let Some(place) = self.place(&path)
                {
                    self.note(tokens[i].line, place);
                }
                next = end;
            }
            i = next;
        }
    }

    /// One `use` tree behind `prefix`.
    fn tree(&mut self, tokens: &[Token], prefix: &[String]) {
        let mut full = prefix.to_vec();
        let mut i = 0;
        if prefix.is_empty() && tokens.first().is_some_and(|t| t.is("::")) {
            full.push("::".to_owned());
            i = 1;
        }
        while let Some(token) = tokens.get(i) {
            if token.is("{") {
                let inner = &tokens[i + 1..tokens.len() - 1];
                let mut depth = 0;
                for branch in inner.split(|t| {
                    depth += i32::from(t.is("{")) - i32::from(t.is("}"));
                    depth == 0 && t.is(",")
                }) {
                    self.tree(branch, &full);
                }
                return;
            }
            if token.is("as") {
                break;
            }
            if !token.is("::") {
                full.push(token.text.clone());
            }
            i += 1;
        }
        let Some(first) = tokens.first() else { return };
        if full.last().is_some_and(|last| last == "self") && full.len() > 1 {
            full.pop();
        }
        let alias = tokens.last().filter(|_| i < tokens.len()).map(|t| t.text.clone()).or_else(|| full.last().cloned());
        let place = match full.first().map(String::as_str) {
            Some("::") => Some(Place::Outside(full[1..].to_vec())),
            _ => self.place(&full),
        };
        let Some(place) = place else { return };
        if let Some(alias) = alias {
            self.aliases.insert(alias, place.clone());
        }
        self.note(first.line, place);
    }

    /// Where a path leads that begins here; `None` within this file.
    fn place(&self, path: &[String]) -> Option<Place> {
        let (first, rest) = path.split_first()?;
        let join = |begin: &[String], rest: &[String]| [begin, rest].concat();
        match first.as_str() {
            "crate" | "auth_api" => Some(Place::Inside(rest.to_vec())),
            "self" => Some(Place::Inside(join(&self.module, rest))),
            "super" => {
                let ups = path.iter().take_while(|part| *part == "super").count();
                let base = self.module.len().saturating_sub(ups);
                Some(Place::Inside(join(&self.module[..base], &path[ups..])))
            }
            "Self" => None,
            name if self.declared.contains(name) => None,
            name => match self.aliases.get(name) {
                Some(Place::Inside(begin)) => Some(Place::Inside(join(begin, rest))),
                Some(Place::Outside(begin)) => Some(Place::Outside(join(begin, rest))),
                None => Some(Place::Outside(path.to_vec())),
            },
        }
    }

    fn note(&mut self, line: usize, place: Place) {
        match place {
            Place::Inside(path) if !path.is_empty() => self.reading.inside.push((line, path.join("::"))),
            Place::Inside(_) => {}
            Place::Outside(path) => self.reading.outside.push((line, path.join("::"))),
        }
    }

    fn attribute(&mut self, tokens: &[Token]) {
        let inside = within(tokens, "[", "]");
        for (i, pair) in inside.windows(2).enumerate() {
            let silences = pair[0].is("allow") || pair[0].is("expect");
            if silences && pair[1].is("(") && !within(&inside[i + 1..], "(", ")").iter().any(|t| t.is("reason")) {
                self.reading.attributes_without_reason.push((pair[0].line, pair[0].text.clone()));
            }
        }
    }
}

/// The words joined by `::` from `i` on, and where they end.
fn path(tokens: &[Token], mut i: usize) -> (Vec<String>, usize) {
    let mut path = Vec::new();
    while let Some(word) = tokens.get(i).filter(|t| t.is_word()) {
        path.push(word.text.clone());
        i += 1;
        match tokens.get(i).zip(tokens.get(i + 1)) {
            Some((sep, word)) if sep.is("::") && word.is_word() => i += 1,
            _ => break,
        }
    }
    (path, i)
}

/// What the first bracket of this kind holds.
fn within<'a>(tokens: &'a [Token], open: &str, close: &str) -> &'a [Token] {
    let Some(begin) = tokens.iter().position(|t| t.is(open)) else { return &[] };
    let mut depth = 0;
    for (i, token) in tokens.iter().enumerate().skip(begin) {
        depth += i32::from(token.is(open)) - i32::from(token.is(close));
        if depth == 0 {
            return &tokens[begin + 1..i];
        }
    }
    &tokens[begin + 1..]
}
