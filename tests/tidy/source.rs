//! Source files: where they are, which module they hold, and their code without comments and literals.

use std::fs;
use std::path::{Path, PathBuf};

/// One source file.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// Relative to the repository, with slashes.
    pub(crate) path: String,
    /// As it is written.
    pub(crate) text: String,
    /// Without comments and the contents of literals; as many lines as the text.
    pub(crate) code: String,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned(), code: blank(text) }
    }

    /// All sources of the repository.
    pub(crate) fn all() -> Vec<Self> {
        let mut paths = Vec::new();
        for folder in ["src", "bin", "tests", "benches", "examples", "simulations"] {
            walk(&root().join(folder), "rs", &mut paths);
        }
        paths.sort();
        let sources = paths.iter().filter_map(|path| Some((relative(path)?, fs::read_to_string(path).ok()?)));
        sources.map(|(path, text)| Self::new(&path, &text)).collect()
    }

    /// The module that a file below `src/` holds, as its path from the crate.
    pub(crate) fn module(&self) -> Option<Vec<&str>> {
        let path = self.path.strip_prefix("src/")?.strip_suffix(".rs")?;
        let path = path.strip_suffix("/mod").unwrap_or(path);
        Some(if path == "lib" { Vec::new() } else { path.split('/').collect() })
    }

    /// Tests compose what they like.
    pub(crate) fn is_test(&self) -> bool {
        let last = self.path.rsplit('/').next().unwrap_or_default();
        self.path.starts_with("tests/")
            || self.path.contains("/tests/")
            || last.ends_with("tests.rs")
            || last == "fixture.rs"
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn relative(path: &Path) -> Option<String> {
    Some(path.strip_prefix(root()).ok()?.to_str()?.replace('\\', "/"))
}

pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_default()
}

pub(crate) fn exists(path: &str) -> bool {
    root().join(path).exists()
}

/// The documents of the repository: their paths and texts.
pub(crate) fn documents() -> Vec<(String, String)> {
    let mut paths = Vec::new();
    for folder in ["docs", "simulations", "benches"] {
        walk(&root().join(folder), "md", &mut paths);
    }
    let top = fs::read_dir(root()).into_iter().flatten().flatten().map(|entry| entry.path());
    paths.extend(top.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    let texts = paths.iter().filter_map(|path| Some((relative(path)?, fs::read_to_string(path).ok()?)));
    texts.collect()
}

/// The files below `folder` whose names end so.
fn walk(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() && !path.ends_with("target") {
            walk(&path, ending, found);
        } else if path.extension().is_some_and(|extension| extension == ending) {
            found.push(path);
        }
    }
}

/// Whether `word` occurs in `code` with nothing but punctuation around it.
pub(crate) fn has_word(code: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word)
        .any(|(at, _)| !code[..at].ends_with(is_part) && !code[at + word.len()..].starts_with(is_part))
}

/// Replaces comments and the contents of literals by nothing, keeping the lines.
fn blank(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = literal_or_comment(rest, code.chars().next_back());
        if skipped == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            code.push(' ');
            code.extend(rest[..skipped].chars().filter(|c| *c == '\n'));
            rest = &rest[skipped..];
        }
    }
    code
}

/// The length of the comment or literal with which `text` begins, 0 when it begins with neither.
fn literal_or_comment(text: &str, before: Option<char>) -> usize {
    let to_end =
        |end: &str, from: usize| text[from..].find(end).map_or(text.len(), |at| from + at + end.len());
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return to_end("*/", 2);
    }
    if text.starts_with('"') {
        return quoted(text, '"');
    }
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if !in_word && text.starts_with('r') {
        let hashes = text[1..].chars().take_while(|c| *c == '#').count();
        if text[1 + hashes..].starts_with('"') {
            return to_end(&format!("\"{}", "#".repeat(hashes)), 2 + hashes);
        }
    }
    // A quote that no other quote follows soon is a lifetime.
    let is_char = text.starts_with("'\\") || text.chars().nth(2) == Some('\'');
    if text.starts_with('\'') && is_char { quoted(text, '\'') } else { 0 }
}

fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[test]
fn comments_and_literals_are_not_code() {
    let text = "a // HashMap\n\"b\\\"c\" r#\"d\"# 'e' '\\'' <'f> /* g\nh */ i";
    let code = blank(text);
    for gone in ["HashMap", "b", "c", "d", "e", "g", "h"] {
        assert!(!has_word(&code, gone), "{gone} in {code}");
    }
    assert!(has_word(&code, "a") && has_word(&code, "f") && has_word(&code, "i"), "{code}");
    assert_eq!(code.lines().count(), text.lines().count());
}
