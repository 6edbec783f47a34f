//! Reads Rust as far as the rules need it: which paths a file names, seen through `use` trees, aliases and `super`,
//! and what it defines.

use proc_macro2::{Ident, TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use syn::ext::IdentExt;
use syn::visit::{self, Visit};
use syn::{Attribute, Field, Item, ItemExternCrate, ItemMod, ItemUse, Macro, Meta, Signature, UseTree};

/// What a file names and defines, each with its line.
#[derive(Debug, Default)]
pub struct Reading {
    /// Paths into the crate, without `crate::`.
    pub inside: Vec<(usize, String)>,
    /// Paths into other crates, `std` too.
    pub outside: Vec<(usize, String)>,
    /// `allow` or `expect` without a reason.
    pub attributes_without_reason: Vec<(usize, String)>,
    /// Structs, enums, unions, traits and aliases.
    pub types: Vec<(usize, String)>,
    pub functions: Vec<(usize, String)>,
    pub fields: Vec<(usize, String)>,
    /// Where the names lead that the file imports.
    pub aliases: BTreeMap<String, Place>,
}

/// Where a path leads.
#[derive(Clone, Debug)]
pub enum Place {
    Inside(Vec<String>),
    Outside(Vec<String>),
}

/// Reads one file; `path` is relative to `src`.
pub fn read(path: &str, source: &str) -> Reading {
    let file = syn::parse_file(source).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut reader = Reader { module: module(path), only_use: true, ..Reader::default() };
    reader.declared.extend(file.items.iter().filter_map(|item| match item {
        Item::Mod(item) => Some(item.ident.unraw().to_string()),
        _ => None,
    }));
    // Aliases first: `use` may come after what it names.
    reader.visit_file(&file);
    reader.only_use = false;
    reader.visit_file(&file);
    reader.reading
}

/// The module that a file is.
pub fn module(path: &str) -> Vec<String> {
    let mut parts: Vec<String> = path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        parts.pop();
    }
    parts
}

#[derive(Default)]
struct Reader {
    module: Vec<String>,
    only_use: bool,
    /// Modules that this file declares: a bare path that begins with one is no path to a crate.
    declared: BTreeSet<String>,
    reading: Reading,
}

impl Visit<'_> for Reader {
    fn visit_item_mod(&mut self, item: &ItemMod) {
        self.module.push(item.ident.unraw().to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &ItemUse) {
        if self.only_use {
            let start = if item.leading_colon.is_some() { vec!["::".to_owned()] } else { vec![] };
            self.tree(&item.tree, start);
        }
    }

    fn visit_item_extern_crate(&mut self, item: &ItemExternCrate) {
        self.path(&[&item.ident], true);
    }

    fn visit_path(&mut self, path: &syn::Path) {
        let idents: Vec<_> = path.segments.iter().map(|segment| &segment.ident).collect();
        self.path(&idents, path.leading_colon.is_some());
        visit::visit_path(self, path);
    }

    /// Nobody knows what a macro takes, but paths look like paths.
    fn visit_macro(&mut self, item: &Macro) {
        self.visit_path(&item.path);
        self.tokens(item.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &Attribute) {
        visit::visit_attribute(self, attribute);
        if let (Meta::List(list), false) = (&attribute.meta, self.only_use) {
            let name = list.path.segments.last().map(|segment| segment.ident.clone());
            name.into_iter().for_each(|name| self.silences(&name, &list.tokens));
            self.tokens(list.tokens.clone());
        }
    }

    fn visit_signature(&mut self, signature: &Signature) {
        self.define(|reading| &mut reading.functions, &signature.ident);
        visit::visit_signature(self, signature);
    }

    fn visit_field(&mut self, field: &Field) {
        field.ident.iter().for_each(|name| self.define(|reading| &mut reading.fields, name));
        visit::visit_field(self, field);
    }

    fn visit_item(&mut self, item: &Item) {
        let name = match item {
            Item::Struct(item) => Some(&item.ident),
            Item::Enum(item) => Some(&item.ident),
            Item::Union(item) => Some(&item.ident),
            Item::Trait(item) => Some(&item.ident),
            Item::Type(item) => Some(&item.ident),
            _ => None,
        };
        name.into_iter().for_each(|name| self.define(|reading| &mut reading.types, name));
        visit::visit_item(self, item);
    }
}

impl Reader {
    fn define(&mut self, list: impl FnOnce(&mut Reading) -> &mut Vec<(usize, String)>, name: &Ident) {
        if !self.only_use {
            list(&mut self.reading).push((line(name), name.unraw().to_string()));
        }
    }

    /// One `use` tree behind `path`.
    fn tree(&mut self, tree: &UseTree, mut path: Vec<String>) {
        let text = |name: &Ident| name.unraw().to_string();
        let (last, alias, line) = match tree {
            UseTree::Group(group) => return group.items.iter().for_each(|tree| self.tree(tree, path.clone())),
            UseTree::Path(begin) => {
                path.push(text(&begin.ident));
                return self.tree(&begin.tree, path);
            }
            UseTree::Name(name) => (text(&name.ident), None, line(&name.ident)),
            UseTree::Rename(rename) => (text(&rename.ident), Some(text(&rename.rename)), line(&rename.ident)),
            UseTree::Glob(glob) => ("*".to_owned(), None, glob.star_token.span.start().line),
        };
        path.extend(Some(last).filter(|last| last != "self"));
        let alias = alias.or_else(|| path.last().cloned());
        if let Some(place) = self.place(&path) {
            self.reading.aliases.extend(alias.map(|alias| (alias, place.clone())));
            self.note(line, place);
        }
    }

    /// A path outside `use`.
    fn path(&mut self, names: &[&Ident], to_a_crate: bool) {
        if self.only_use || names.len() < 2 && !to_a_crate {
            return;
        }
        let begin = to_a_crate.then(|| "::".to_owned());
        let path: Vec<_> = begin.into_iter().chain(names.iter().map(|name| name.unraw().to_string())).collect();
        if let Some(place) = self.place(&path) {
            self.note(line(names[0]), place);
        }
    }

    /// Where a path leads that begins here; `None` within this file.
    fn place(&self, path: &[String]) -> Option<Place> {
        let (first, rest) = path.split_first()?;
        let join = |begin: &[String], rest: &[String]| [begin, rest].concat();
        match first.as_str() {
            "::" => Some(Place::Outside(rest.to_vec())),
            "crate" | "auth_api" => Some(Place::Inside(rest.to_vec())),
            "self" => Some(Place::Inside(join(&self.module, rest))),
            "super" => {
                let ups = path.iter().take_while(|part| *part == "super").count();
                let base = self.module.len().saturating_sub(ups);
                Some(Place::Inside(join(&self.module[..base], &path[ups..])))
            }
            "Self" => None,
            name if self.declared.contains(name) => Some(Place::Inside(join(&self.module, path))),
            name => match self.reading.aliases.get(name) {
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

    /// The paths among the tokens of a macro or an attribute.
    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        let colon = |i: usize| matches!(tokens.get(i), Some(TokenTree::Punct(sign)) if sign.as_char() == ':');
        let mut i = 0;
        while i < tokens.len() {
            let to_a_crate = colon(i) && colon(i + 1);
            i += if to_a_crate { 2 } else { 0 };
            let mut names = vec![];
            while let Some(TokenTree::Ident(name)) = tokens.get(i) {
                names.push(name);
                i += 1;
                if !(colon(i) && colon(i + 1) && matches!(tokens.get(i + 2), Some(TokenTree::Ident(_)))) {
                    break;
                }
                i += 2;
            }
            match (names.is_empty(), tokens.get(i)) {
                (false, _) => self.path(&names, to_a_crate),
                (true, Some(TokenTree::Group(group))) => {
                    self.tokens(group.stream());
                    i += 1;
                }
                (true, _) => i += 1,
            }
        }
    }

    /// Notes `allow(…)` and `expect(…)` without a reason, and those in a `cfg_attr`.
    fn silences(&mut self, name: &Ident, arguments: &TokenStream) {
        let arguments: Vec<_> = arguments.clone().into_iter().collect();
        let is = |token: &TokenTree, word: &str| matches!(token, TokenTree::Ident(name) if name == word);
        if name == "allow" || name == "expect" {
            if !arguments.iter().any(|token| is(token, "reason")) {
                self.reading.attributes_without_reason.push((line(name), name.to_string()));
            }
        } else if name == "cfg_attr" {
            for pair in arguments.windows(2) {
                if let [TokenTree::Ident(name), TokenTree::Group(group)] = pair {
                    self.silences(name, &group.stream());
                }
            }
        }
    }
}

fn line(name: &Ident) -> usize {
    name.span().start().line
}
