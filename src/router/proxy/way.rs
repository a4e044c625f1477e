//! One direction of a WebSocket: passed on byte for byte, until it is ended at the end of a frame.

use bytes::{Bytes, BytesMut};

use super::frames::Frames;

/// Whom a direction leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Toward {
    /// The client.
    Client,
    /// The service.
    Service,
}

impl Toward {
    /// The other direction of the same tunnel.
    pub(super) const fn back(self) -> Self {
        match self {
            Self::Client => Self::Service,
            Self::Service => Self::Client,
        }
    }

    /// A frame that says 1001, going away. What leads to the service is masked, here with zeros.
    const fn goodbye(self) -> &'static [u8] {
        match self {
            Self::Client => &[0x88, 2, 0x03, 0xe9],
            Self::Service => &[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9],
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// Everything is passed on.
    Open,
    /// The frame that is under way is passed on.
    Ending,
    /// Nothing is passed on.
    Ended,
}

/// One direction.
#[derive(Debug)]
pub(super) struct Way {
    toward: Toward,
    frames: Frames,
    state: State,
}

impl Way {
    pub(super) fn new(toward: Toward) -> Self {
        Self { toward, frames: Frames::default(), state: State::Open }
    }

    /// What is passed on of `piece`.
    pub(super) fn pass(&mut self, mut piece: Bytes) -> Bytes {
        match self.state {
            State::Open => {
                self.frames.pass(&piece);
                piece
            }
            State::Ending => {
                let Some(end) = self.frames.next_end(&piece) else { return piece };
                piece.truncate(end);
                let goodbye = self.ended();
                if goodbye.is_empty() {
                    return piece;
                }
                let mut last = BytesMut::from(piece);
                last.extend_from_slice(&goodbye);
                last.freeze()
            }
            State::Ended => Bytes::new(),
        }
    }

    /// Ends the direction as soon as no frame is under way. Returns what has to be passed on now.
    pub(super) fn end(&mut self) -> Bytes {
        if self.state != State::Open {
            return Bytes::new();
        }
        self.state = State::Ending;
        if self.frames.is_between() { self.ended() } else { Bytes::new() }
    }

    /// Whether nothing is passed on any more.
    pub(super) fn is_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// The goodbye, unless one was said before.
    fn ended(&mut self) -> Bytes {
        self.state = State::Ended;
        if self.frames.is_closed() { Bytes::new() } else { Bytes::from_static(self.toward.goodbye()) }
    }
}

#[cfg(test)]
#[path = "way_tests.rs"]
mod tests;
