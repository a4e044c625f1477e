//! Where the frames of a WebSocket end, found by their headers alone (RFC 6455, 5.2).

/// The opcode of a frame that ends its direction.
const CLOSE: u8 = 8;

/// Follows the frames of one direction, and reads nothing of what they carry.
#[derive(Debug, Clone, Default)]
pub(super) struct Frames {
    /// The header of the frame that began.
    header: [u8; 10],
    /// Bytes of it that have come.
    got: usize,
    /// Bytes of the frame after what `got` counts; meaningful once the header is whole.
    left: u64,
    closed: bool,
}

impl Frames {
    /// Goes over `piece`, as far as the end of the first frame that ends in it. Returns how far that is, or `None`
    /// when no frame ends in it.
    pub(super) fn next_end(&mut self, piece: &[u8]) -> Option<usize> {
        let mut at = 0;
        loop {
            if self.is_header_whole() {
                let rest = (piece.len() - at) as u64;
                if self.left > rest {
                    self.left -= rest;
                    return None;
                }
                at += usize::try_from(self.left).unwrap_or(usize::MAX);
                self.closed |= self.header[0] & 0x0f == CLOSE;
                (self.got, self.left) = (0, 0);
                return Some(at);
            }
            let byte = *piece.get(at)?;
            at += 1;
            self.header[self.got] = byte;
            self.got += 1;
            if self.is_header_whole() {
                self.left = self.length() + self.mask();
            }
        }
    }

    /// Goes over all of `piece`.
    pub(super) fn pass(&mut self, piece: &[u8]) {
        let mut rest = piece;
        while !rest.is_empty()
            && let Some(end) = self.next_end(rest)
        {
            rest = &rest[end..];
        }
    }

    /// Whether no frame is under way.
    pub(super) const fn is_between(&self) -> bool {
        self.got == 0
    }

    /// Whether a frame has ended the direction.
    pub(super) const fn is_closed(&self) -> bool {
        self.closed
    }

    /// What the header counts without the mask, which no decision needs.
    const fn is_header_whole(&self) -> bool {
        self.got >= 2 && self.got == 2 + self.extension()
    }

    const fn extension(&self) -> usize {
        match self.header[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        }
    }

    const fn mask(&self) -> u64 {
        if self.header[1] & 0x80 == 0 { 0 } else { 4 }
    }

    fn length(&self) -> u64 {
        match self.extension() {
            0 => u64::from(self.header[1] & 0x7f),
            // A length of more than 63 bits is against the rules; it only means that no frame ends any more.
            n => {
                self.header[2..2 + n].iter().fold(0, |length, byte| length << 8 | u64::from(*byte))
                    & (u64::MAX >> 1)
            }
        }
    }
}

#[cfg(test)]
#[path = "frames_tests.rs"]
mod tests;
