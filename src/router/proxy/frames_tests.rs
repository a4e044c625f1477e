//! Frames of all lengths, cut anywhere.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// A frame with this opcode and so many bytes of payload.
fn frame(opcode: u8, masked: bool, len: usize) -> Vec<u8> {
    let mask = if masked { 0x80 } else { 0 };
    let mut frame = vec![0x80 | opcode];
    match len {
        0..126 => frame.push(mask | u8::try_from(len).unwrap()),
        126..=0xffff => {
            frame.push(mask | 126);
            frame.extend(u16::try_from(len).unwrap().to_be_bytes());
        }
        _ => {
            frame.push(mask | 127);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    frame.extend(vec![0x88; if masked { len + 4 } else { len }]);
    frame
}

proptest! {
    #[test]
    fn every_end_of_a_frame_is_found_wherever_the_bytes_are_cut(
        frames in vec((0_u8..8, any::<bool>(), prop_oneof![0_usize..300, 65_000_usize..66_000]), 1..5),
        cuts in vec(1_usize..70_000, 1..20),
    ) {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for (opcode, masked, len) in frames {
            bytes.extend(frame(opcode, masked, len));
            ends.push(bytes.len());
        }
        let (mut walker, mut found, mut at) = (Frames::default(), Vec::new(), 0);
        for cut in cuts.into_iter().cycle() {
            if at == bytes.len() {
                break;
            }
            let piece_end = (at + cut).min(bytes.len());
            while at < piece_end {
                let Some(end) = walker.next_end(&bytes[at..piece_end]) else { break };
                at += end;
                found.push(at);
            }
            at = piece_end;
        }
        prop_assert_eq!(found, ends);
        prop_assert!(walker.is_between() && !walker.is_closed());
    }

    #[test]
    fn no_bytes_panic(pieces in vec(vec(any::<u8>(), 0..40), 0..20)) {
        let mut frames = Frames::default();
        for piece in pieces {
            frames.pass(&piece);
        }
    }
}

#[test]
fn a_close_counts_once_it_is_whole() {
    let mut frames = Frames::default();
    let close = frame(CLOSE, true, 2);
    frames.pass(&close[..close.len() - 1]);
    assert!(!frames.is_closed() && !frames.is_between());
    frames.pass(&close[close.len() - 1..]);
    assert!(frames.is_closed() && frames.is_between());
}
