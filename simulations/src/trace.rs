//! The trace: one line per event and a running hash of all lines, so that two runs can be compared by one number.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::io;

use meshnode::time::Instant;

/// The lines that are kept for the report of a failure.
const TAIL: usize = 40;

/// What happened, line by line.
pub struct Trace {
    hasher: blake3::Hasher,
    lines: u64,
    tail: VecDeque<String>,
    sink: Option<Box<dyn io::Write>>,
    is_silent: bool,
}

impl Default for Trace {
    fn default() -> Self {
        Self {
            hasher: blake3::Hasher::new(),
            lines: 0,
            tail: VecDeque::with_capacity(TAIL),
            sink: None,
            is_silent: false,
        }
    }
}

impl Trace {
    /// A trace whose lines are also written to `sink`.
    pub fn to(sink: Box<dyn io::Write>) -> Self {
        Self { sink: Some(sink), ..Self::default() }
    }

    /// A trace without lines, for runs that are too long to be told.
    pub fn silent() -> Self {
        Self { is_silent: true, ..Self::default() }
    }

    /// Someone reads the lines, so explaining them is worth the time.
    pub const fn is_read(&self) -> bool {
        self.sink.is_some()
    }

    /// Adds a line.
    pub fn record(&mut self, at: Instant, who: Who, what: fmt::Arguments<'_>) {
        self.explain(at, who, what, None);
    }

    /// Adds a line with an explanation, which is shown and not hashed.
    pub fn explain(&mut self, at: Instant, who: Who, what: fmt::Arguments<'_>, explanation: Option<String>) {
        if self.is_silent {
            return;
        }
        let mut line =
            if self.tail.len() == TAIL { self.tail.pop_front().unwrap_or_default() } else { String::new() };
        line.clear();
        let micros = at.as_nanos() / 1_000;
        // Writing to a String cannot fail.
        let _ = write!(line, "{:6}.{:06} {who:<5} {what}", micros / 1_000_000, micros % 1_000_000);
        self.hasher.update(line.as_bytes());
        self.hasher.update(b"\n");
        self.lines += 1;
        if let Some(explanation) = explanation {
            let _ = write!(line, "  | {explanation}");
        }
        if let Some(sink) = &mut self.sink
            && writeln!(sink, "{line}").is_err()
        {
            // A reader that went away (`| head`) must not change the run.
            self.sink = None;
        }
        self.tail.push_back(line);
    }

    /// The hash of all lines so far, in hex.
    pub fn hash(&self) -> String {
        self.hasher.finalize().to_hex()[..32].to_owned()
    }

    /// How many lines there are.
    pub const fn lines(&self) -> u64 {
        self.lines
    }

    /// The last lines, oldest first.
    pub fn tail(&self) -> impl Iterator<Item = &str> {
        self.tail.iter().map(String::as_str)
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace")
            .field("lines", &self.lines)
            .field("hash", &self.hash())
            .finish_non_exhaustive()
    }
}

/// Whom a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// The node with this index.
    Node(usize),
    /// The script, the network, the checkers.
    World,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(index) => f.pad(&format!("n{index}")),
            Self::World => f.pad("-"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash_of(lines: &[&str]) -> String {
        let mut trace = Trace::default();
        for line in lines {
            trace.record(Instant::ORIGIN, Who::Node(1), format_args!("{line}"));
        }
        trace.hash()
    }

    #[test]
    fn the_hash_tells_the_lines_and_their_order() {
        assert_eq!(hash_of(&["a", "b"]), hash_of(&["a", "b"]));
        assert_ne!(hash_of(&["a", "b"]), hash_of(&["b", "a"]));
        assert_ne!(hash_of(&["a", "b"]), hash_of(&["ab"]));
    }

    #[test]
    fn an_explanation_changes_nothing() {
        let mut trace = Trace::default();
        trace.explain(Instant::ORIGIN, Who::Node(1), format_args!("a"), Some("because".to_owned()));
        assert_eq!(trace.hash(), hash_of(&["a"]));
    }

    #[test]
    fn the_tail_keeps_the_last_lines() {
        let mut trace = Trace::default();
        for line in 0..100 {
            trace.record(Instant::ORIGIN, Who::World, format_args!("{line}"));
        }
        assert_eq!(trace.tail().count(), TAIL);
        assert!(trace.tail().last().is_some_and(|line| line.ends_with("99")));
    }
}
