//! Shape: every file opens with a sentence, is short, leaves nothing for later, and is part of the program.

use std::collections::BTreeSet;

use super::source::{Source, has_word};

/// A file longer than this holds a second idea.
const MAX_LINES: usize = 400;

/// Files that may be longer, and why.
const LONG_FILES: [(&str, &str); 0] = [];

/// What is said of work that is not done; in two parts, so that this file does not say it.
const UNFINISHED: [&str; 4] =
    [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("to", "do!"), concat!("unimple", "mented!")];

/// From where all files are reached. Below `tests/`, `bin/` and `benches/` each file is a program.
const ROOTS: [&str; 4] =
    ["src/lib.rs", "simulations/src/main.rs", "simulations/src/lib.rs", "tests/it/main.rs"];

pub(crate) fn complaints(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources {
        let mut complain = |what: String| complaints.push(format!("{}: {what}", source.path));
        if !source.text.starts_with("//! ") {
            complain("does not open with a sentence on what it does (//!)".to_owned());
        }
        let lines = source.text.lines().count();
        if lines > MAX_LINES && !LONG_FILES.iter().any(|(path, _)| *path == source.path) {
            complain(format!("{lines} lines are more than {MAX_LINES}"));
        }
        for word in UNFINISHED.iter().filter(|word| has_word(&source.text, word.trim_end_matches('!'))) {
            let is_macro = word.ends_with('!');
            if !is_macro || source.code.contains(word) {
                complain(format!("says {word}"));
            }
        }
    }
    complaints
}

/// Files that no `mod` names.
pub(crate) fn dead_files(sources: &[Source]) -> Vec<String> {
    let is_root = |path: &str| {
        let depth = path.matches('/').count();
        ROOTS.contains(&path)
            || depth == 1 && ["tests/", "bin/", "benches/", "examples/"].iter().any(|f| path.starts_with(f))
            || path.starts_with("simulations/tests/") && depth == 2
    };
    let mut open: Vec<&Source> = sources.iter().filter(|source| is_root(&source.path)).collect();
    let mut reached: BTreeSet<&str> = open.iter().map(|source| source.path.as_str()).collect();
    while let Some(source) = open.pop() {
        for path in modules(source) {
            if let Some(found) = sources.iter().find(|other| other.path == path)
                && reached.insert(&found.path)
            {
                open.push(found);
            }
        }
    }
    let dead = sources.iter().filter(|source| !reached.contains(source.path.as_str()));
    dead.map(|source| format!("{}: no mod names it", source.path)).collect()
}

/// Where the files may be that a file names with `mod name;`.
fn modules(source: &Source) -> Vec<String> {
    let (folder, file) = source.path.rsplit_once('/').unwrap_or_default();
    let owns_folder =
        ["mod.rs", "lib.rs", "main.rs"].contains(&file) || folder == "tests" || folder == "benches";
    let below = if owns_folder { folder.to_owned() } else { source.path.trim_end_matches(".rs").to_owned() };
    let mut paths = Vec::new();
    for (at, line) in source.code.lines().enumerate() {
        let declared = line.trim().strip_suffix(';').and_then(|line| line.rsplit_once("mod "));
        let Some((_, name)) = declared.filter(|(before, _)| before.is_empty() || before.starts_with("pub"))
        else {
            continue;
        };
        let above = at.checked_sub(1).and_then(|above| source.text.lines().nth(above)).unwrap_or_default();
        match above.trim().strip_prefix("#[path = \"").and_then(|path| path.strip_suffix("\"]")) {
            Some(path) => paths.push(format!("{folder}/{path}")),
            None => paths.extend([format!("{below}/{name}.rs"), format!("{below}/{name}/mod.rs")]),
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::{UNFINISHED, complaints, dead_files};
    use crate::source::Source;

    #[track_caller]
    fn check(text: &str, count: usize) {
        let found = complaints(&[Source::new("src/id.rs", text)]);
        assert_eq!(found.len(), count, "{found:?}");
    }

    #[test]
    fn bad_shapes_are_caught() {
        check("//! It does.\n", 0);
        check("use std::fmt;\n", 1);
        check(&format!("//! It does.\n{}", "\n".repeat(400)), 1);
        check(&format!("//! It does.\n// {}: later\n", UNFINISHED[0]), 1);
        check(&format!("//! It does.\nfn f() {{ {}() }}\n", UNFINISHED[3]), 1);
        check("//! The todo list of the user.\n", 0);
    }

    #[test]
    fn a_file_that_no_mod_names_is_caught() {
        let named = [
            Source::new("src/lib.rs", "pub mod a;\n#[cfg(test)]\nmod tests;"),
            Source::new("src/a/mod.rs", "mod b;"),
            Source::new("src/a/b.rs", ""),
            Source::new("src/tests.rs", ""),
            Source::new("tests/t.rs", "#[path = \"t/c.rs\"]\nmod c;"),
            Source::new("tests/t/c.rs", ""),
        ];
        assert!(dead_files(&named).is_empty(), "{:?}", dead_files(&named));
        let dead = [Source::new("src/lib.rs", "// mod a;"), Source::new("src/a.rs", "")];
        assert_eq!(dead_files(&dead), ["src/a.rs: no mod names it"]);
    }
}
