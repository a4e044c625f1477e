//! The size of the value, and that it can be read at all.

use meshnode::summary::MAX_VALUE_LEN;
use meshnode::time::Instant;

use super::Breach;

#[derive(Debug, Default)]
pub(super) struct Size {
    breaches: Vec<Breach>,
}

impl Size {
    pub(super) fn applied(&mut self, at: Instant, bytes: usize) {
        if bytes > MAX_VALUE_LEN {
            self.add(format!("a value of {bytes} bytes at {at:?}"));
        }
    }

    pub(super) fn unreadable(&mut self, at: Instant) {
        self.add(format!("a value that cannot be read at {at:?}"));
    }

    fn add(&mut self, text: String) {
        self.breaches.push(Breach { promise: "size", text });
    }

    pub(super) fn breaches(self) -> Vec<Breach> {
        self.breaches
    }
}
