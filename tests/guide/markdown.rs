//! Reads Markdown as far as these tests need it: fenced blocks, prose, code spans, links and headings, with line numbers.

use std::path::{Path, PathBuf};

/// A Markdown file of the repository.
pub(super) struct Page {
    /// From the top of the repository.
    pub(super) path: PathBuf,
    /// Lines outside fenced blocks.
    pub(super) prose: Vec<(usize, String)>,
    pub(super) blocks: Vec<Block>,
}

/// A fenced block without its indentation.
pub(super) struct Block {
    pub(super) line: usize,
    pub(super) language: String,
    pub(super) lines: Vec<String>,
}

/// README, guide, deployments and the files for contributors.
pub(super) fn pages() -> Vec<Page> {
    let root = root();
    let mut files = vec![root.join("README.md")];
    for folder in ["src/guide", ".github"] {
        files
            .extend(entries(&root.join(folder)).into_iter().filter(|path| path.extension().is_some_and(|e| e == "md")));
    }
    files.extend(entries(&root.join("deploy")).into_iter().map(|folder| folder.join("README.md")));
    files.iter().map(|file| Page::read(file.strip_prefix(&root).unwrap())).collect()
}

pub(super) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

impl Page {
    pub(super) fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let mut page = Self { path: path.to_owned(), prose: vec![], blocks: vec![] };
        let mut open: Option<(usize, Block)> = None;
        for (line, text) in (1..).zip(text.lines()) {
            let fence = text.trim_start().strip_prefix("```");
            match (&mut open, fence) {
                (None, Some(language)) => {
                    let indent = text.len() - text.trim_start().len();
                    open = Some((indent, Block { line, language: language.to_owned(), lines: vec![] }));
                }
                (None, None) => page.prose.push((line, text.to_owned())),
                (Some((indent, block)), None) => block.lines.push(text.get(*indent..).unwrap_or_default().to_owned()),
                (Some(_), Some(_)) => page.blocks.extend(open.take().map(|(_, block)| block)),
            }
        }
        assert!(open.is_none(), "{}: a fenced block is not closed", path.display());
        page
    }

    /// What is between backticks in the prose.
    pub(super) fn spans(&self) -> impl Iterator<Item = (usize, &str)> {
        self.prose.iter().flat_map(|(line, text)| text.split('`').skip(1).step_by(2).map(|span| (*line, span)))
    }

    /// Every line, prose and blocks.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let blocks =
            self.blocks.iter().flat_map(|block| (block.line + 1..).zip(block.lines.iter().map(String::as_str)));
        self.prose.iter().map(|(line, text)| (*line, text.as_str())).chain(blocks)
    }

    /// Targets of links and images, and for a link by label the label's definition.
    pub(super) fn links(&self) -> Vec<(usize, Result<String, String>)> {
        let definition = |label: &str| {
            let start = format!("[{label}]: ");
            self.prose.iter().find_map(|(_, text)| text.strip_prefix(&start)).map(str::to_owned)
        };
        let mut links = vec![];
        for (line, text) in &self.prose {
            // Code may look like a link.
            let text: String = text.split('`').step_by(2).collect::<Vec<_>>().join("``");
            for rest in text.split("](").skip(1) {
                links.push((*line, Ok(rest.split(')').next().unwrap_or_default().to_owned())));
            }
            for rest in text.split("][").skip(1) {
                let label = rest.split(']').next().unwrap_or_default();
                links.push((*line, definition(label).ok_or_else(|| format!("[{label}] is not defined"))));
            }
        }
        links
    }

    /// The anchors that code hosts and rustdoc make of the headings.
    pub(super) fn anchors(&self) -> Vec<String> {
        let headings = self.prose.iter().filter(|(_, text)| text.starts_with('#'));
        let anchor = |text: &str| -> String {
            let text = text.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
            text.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect()
        };
        headings.map(|(_, text)| anchor(text)).collect()
    }
}
