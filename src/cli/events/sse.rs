//! Decodes a stream of server-sent events.

/// The longest event, in bytes.
const MAX_LEN: usize = 1 << 20;

/// Collects bytes until events are whole.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// The line that is not whole yet.
    line: Vec<u8>,
    /// The data lines of the event that is not whole yet.
    data: String,
}

/// An event is longer than this client takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event of more than {MAX_LEN} bytes")]
pub(super) struct TooLong;

impl Decoder {
    /// The data of the events that `bytes` completes.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<String>, TooLong> {
        let mut events = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.line.len() + self.data.len() + piece.len() > MAX_LEN {
                return Err(TooLong);
            }
            self.line.extend_from_slice(piece);
            if self.line.last() == Some(&b'\n') {
                let line = std::mem::take(&mut self.line);
                events.extend(self.line(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n'])));
            }
        }
        Ok(events)
    }

    fn line(&mut self, line: &str) -> Option<String> {
        if let Some(data) = line.strip_prefix("data:") {
            if !self.data.is_empty() {
                self.data.push('\n');
            }
            self.data.push_str(data.strip_prefix(' ').unwrap_or(data));
        }
        (line.is_empty() && !self.data.is_empty()).then(|| std::mem::take(&mut self.data))
    }
}
