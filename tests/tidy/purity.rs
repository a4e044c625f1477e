//! Purity: the core is driven. It reads no clock, opens nothing, spawns nothing, draws no entropy of its own.

use super::floors::is_core;
use super::source::{Source, has_word};

/// What the core never names, and why.
const FORBIDDEN: [(&[&str], &str); 6] = [
    (
        &["tokio", "hyper", "h2", "axum", "futures_util", "async", "await"],
        "the core is driven, it awaits nothing",
    ),
    (
        &["TcpStream", "TcpListener", "UdpSocket", "std::fs", "std::io", "std::env", "std::process"],
        "it opens nothing",
    ),
    (&["std::thread", "Mutex", "RwLock", "OnceLock", "Atomic"], "it shares nothing and spawns nothing"),
    (&["Instant::now", "SystemTime"], "it knows only the time that it is handed"),
    (
        &["rand::rng", "thread_rng", "OsRng", "getrandom"],
        "it draws from the seeded generator that it was given",
    ),
    (&["HashMap", "HashSet"], "their order differs from run to run"),
];

pub(crate) fn complaints(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources.iter().filter(|source| is_core(source) && !source.is_test()) {
        for (words, reason) in FORBIDDEN {
            let named = words.iter().filter(|word| has_word(&source.code, word));
            complaints.extend(named.map(|word| format!("{}: names {word}; {reason}", source.path)));
        }
    }
    complaints
}

#[test]
fn what_touches_the_world_is_caught_in_the_core_only() {
    let impure = "let now = std::time::Instant::now(); let m: HashMap<u8, u8>; async fn f() {}";
    let found = |path| complaints(&[Source::new(path, impure)]).len();
    assert_eq!(found("src/gossip/store.rs"), 3);
    assert_eq!(found("src/node/mod.rs"), 0);
    assert_eq!(found("src/gossip/tests.rs"), 0);
    assert!(complaints(&[Source::new("src/gossip/store.rs", "// tokio, HashMap\n")]).is_empty());
}
