//! Floors: a file imports only from floors below its own, and modules of one floor never import each other.

use super::source::Source;

/// Modules and the files below them, lowest floor first.
const FLOORS: [&[&str]; 13] = [
    &["id", "time"],
    &["manifest"],
    &["view", "wire"],
    &["members"],
    &["membership", "gossip", "election", "summary", "router", "probe"],
    &["mesh"],
    &["clock", "entropy", "metrics"],
    &["transport", "summary::stores"],
    &["config"],
    &["admin", "router::proxy", "probe::checker"],
    &["node", "edge"],
    &["dev"],
    &["cli"],
];

/// The first floor that may touch the world.
const WORLD: usize = 6;

/// Who may name which libraries: an architecture that depends on them everywhere cannot change them anywhere.
const LIBRARIES: [(&[&str], &[&str]); 3] = [
    (&["libp2p_tls", "libp2p_identity", "rcgen"], &["transport"]),
    (&["opentelemetry", "opentelemetry_http", "opentelemetry_otlp", "opentelemetry_sdk"], &["router::proxy"]),
    (
        &["hyper", "hyper_util", "h2"],
        &["transport", "summary::stores", "admin", "router::proxy", "probe::checker", "edge", "cli", "dev"],
    ),
];

/// The name in [`FLOORS`] that covers a path from the crate, and its floor.
fn place(path: &[&str]) -> Option<(&'static str, usize)> {
    let covers = |name: &str| name.split("::").eq(path.iter().take(name.split("::").count()).copied());
    let places = FLOORS.iter().enumerate();
    let covering = places.flat_map(|(floor, names)| names.iter().map(move |name| (*name, floor)));
    covering.filter(|(name, _)| covers(name)).max_by_key(|(name, _)| name.len())
}

/// Whether a file belongs to the core.
pub(crate) fn is_core(source: &Source) -> bool {
    source.module().and_then(|module| place(&module)).is_some_and(|(_, floor)| floor < WORLD)
}

pub(crate) fn complaints(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources.iter().filter(|source| !source.is_test()) {
        let Some(module) = source.module().filter(|module| !module.is_empty()) else { continue };
        let Some((name, floor)) = place(&module) else {
            complaints.push(format!("{}: a module without a floor; see tests/tidy/floors.rs", source.path));
            continue;
        };
        for path in references(&source.code, &module) {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            let Some((other, below)) = place(&path) else { continue };
            if other != name && below >= floor {
                complaints.push(format!("{}: {name} is not above {other}", source.path));
            }
        }
    }
    complaints.sort();
    complaints.dedup();
    complaints
}

pub(crate) fn foreign(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources.iter().filter(|source| !source.is_test() && source.path.starts_with("src/")) {
        let home = source.module().and_then(|module| place(&module)).map_or("", |(name, _)| name);
        for (libraries, homes) in LIBRARIES {
            let named = libraries.iter().filter(|library| names(&source.code, library));
            if !homes.contains(&home) {
                complaints.extend(named.map(|library| format!("{}: names {library}", source.path)));
            }
        }
    }
    complaints
}

/// Whether `code` has a path that begins with this crate.
fn names(code: &str, library: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    code.match_indices(&format!("{library}::")).any(|(at, _)| !code[..at].ends_with(is_part))
}

/// The paths from the crate that the code of `module` names.
fn references(code: &str, module: &[&str]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (at, start) in code.match_indices("crate::").chain(code.match_indices("super::")) {
        let before = &code[..at];
        if before.ends_with("::") || before.ends_with(|c: char| c.is_alphanumeric() || "_$".contains(c)) {
            continue;
        }
        let mut base: Vec<String> = Vec::new();
        let mut rest = &code[at + start.len()..];
        if start == "super::" {
            base.extend(module.iter().map(|part| (*part).to_owned()));
            base.pop();
            while let Some(further) = rest.strip_prefix(start) {
                base.pop();
                rest = further;
            }
        }
        expand(rest, &base, &mut found);
    }
    found
}

/// Follows a path, and every branch of a group; returns what comes after it.
fn expand<'a>(code: &'a str, base: &[String], found: &mut Vec<Vec<String>>) -> &'a str {
    let code = code.trim_start();
    if let Some(mut rest) = code.strip_prefix('{') {
        loop {
            rest = rest.trim_start_matches([',', ' ', '\n']);
            if let Some(after) = rest.strip_prefix('}') {
                return after;
            }
            let after = expand(rest, base, found);
            if after.len() == rest.len() {
                return after;
            }
            rest = after;
        }
    }
    let end = code.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(code.len());
    let (name, rest) = code.split_at(end);
    let mut path = base.to_vec();
    if name != "self" {
        path.push(name.to_owned());
    }
    match rest.strip_prefix("::") {
        Some(rest) => expand(rest, &path, found),
        None => {
            found.push(path);
            let alias = rest.trim_start().strip_prefix("as ");
            alias.map_or(rest, |alias| alias.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_'))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{complaints, foreign, is_core};
    use crate::source::Source;

    #[track_caller]
    fn check(path: &str, code: &str, count: usize) {
        let found = complaints(&[Source::new(path, code)]);
        assert_eq!(found.len(), count, "{path} with {code}: {found:?}");
    }

    #[test]
    fn upward_and_sideways_imports_are_caught() {
        check("src/mesh/own.rs", "use crate::membership::Member;", 0);
        check("src/membership/mod.rs", "use crate::gossip::Digest;", 1);
        check("src/membership/mod.rs", "use crate::mesh::Mesh;", 1);
        check("src/wire/packet.rs", "fn f(view: crate::view::View) {}", 1);
        check("src/transport/udp.rs", "use crate::{id::{NodeId}, time as t, node::{log, Node as N}};", 1);
        check("src/summary/policy.rs", "use super::stores::Store;", 1);
        check("src/summary/stores/file.rs", "use super::super::{Value, policy::Policy};", 0);
        check("src/router/mod.rs", "pub mod proxy;", 0);
        check("src/unheard_of.rs", "", 1);
        check("src/mesh/tests/stories.rs", "use crate::node::Node;", 0);
    }

    #[test]
    fn libraries_outside_their_homes_are_caught() {
        let source = |path| Source::new(path, "use libp2p_tls::certificate;");
        assert_eq!(foreign(&[source("src/node/mod.rs"), source("src/transport/tls.rs")]).len(), 1);
        assert_eq!(foreign(&[Source::new("src/node/mod.rs", "fn f(b: hyper::body::Incoming) {}")]).len(), 1);
    }

    #[test]
    fn the_world_inside_a_core_module_is_not_core() {
        assert!(is_core(&Source::new("src/router/balance.rs", "")));
        assert!(!is_core(&Source::new("src/router/proxy/exit.rs", "")));
    }
}
