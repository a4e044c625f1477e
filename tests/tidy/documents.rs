//! Documents: the files and the tests that they name are there.

use super::source::Source;

/// A word with so many underscores is the name of a test.
const UNDERSCORES_OF_A_TEST: usize = 4;

/// A document: its path, and its text.
pub(crate) type Document = (String, String);

/// Links to files that `exists` does not know.
pub(crate) fn dead_links(documents: &[Document], exists: impl Fn(&str) -> bool) -> Vec<String> {
    let mut complaints = Vec::new();
    for (path, text) in documents {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            let is_elsewhere = file.is_empty() || file.contains("://") || file.contains(char::is_whitespace);
            if !is_elsewhere && !exists(&resolve(folder, file)) {
                complaints.push(format!("{path}: links to {target}, which is not there"));
            }
        }
    }
    complaints
}

/// Tests that documents name and that no source has.
pub(crate) fn dead_tests(documents: &[Document], sources: &[Source]) -> Vec<String> {
    let is_test = |word: &str| {
        word.matches('_').count() >= UNDERSCORES_OF_A_TEST
            && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    let has = |name: &str| sources.iter().any(|source| source.code.contains(&format!("fn {name}(")));
    let mut complaints = Vec::new();
    for (path, text) in documents {
        let quoted = text.split('`').skip(1).step_by(2);
        let missing = quoted.filter(|word| is_test(word) && !has(word));
        complaints.extend(missing.map(|name| format!("{path}: names the test {name}, which is not there")));
    }
    complaints
}

fn resolve(folder: &str, file: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in file.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." | "" => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::{dead_links, dead_tests};
    use crate::source::Source;

    #[test]
    fn links_to_nowhere_are_caught() {
        let text = "[a](../b.md#c) [d](https://e.org) [f](#g) [h](i.md)".to_owned();
        let documents = [("docs/j.md".to_owned(), text)];
        assert_eq!(dead_links(&documents, |path| path == "b.md" || path == "docs/i.md"), [""; 0]);
        assert_eq!(dead_links(&documents, |path| path == "docs/b.md").len(), 2);
    }

    #[test]
    fn tests_that_are_gone_are_caught() {
        let documents = [("a.md".to_owned(), "`no_test` and `a_test_that_is_named`".to_owned())];
        assert_eq!(dead_tests(&documents, &[Source::new("t.rs", "fn a_test_that_is_named() {}")]), [""; 0]);
        assert_eq!(dead_tests(&documents, &[Source::new("t.rs", "fn a_test_that_is() {}")]).len(), 1);
    }
}
