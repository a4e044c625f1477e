//! Golden vectors: the bytes of every message, as they are written for ever in `tests/golden/wire.hex`.
//!
//! `MESHNODE_BLESS=1 cargo test wire::` writes the file anew; a line that changes breaks every older node.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::{env, fs};

use proptest::prelude::*;

use super::vectors::{self, READERS, Vector, packet};
use crate::wire::{Packet, encode};

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/wire.hex")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

#[test]
fn every_message_is_written_as_it_always_was() {
    let mut text = String::new();
    for Vector { name, bytes, .. } in vectors::all() {
        writeln!(text, "{name} {}", hex(&bytes)).unwrap();
    }
    if env::var_os("MESHNODE_BLESS").is_some() {
        fs::write(file(), &text).unwrap();
    }
    let golden = fs::read_to_string(file()).unwrap();
    for (now, then) in text.lines().zip(golden.lines()) {
        assert_eq!(now, then);
    }
    assert_eq!(text.lines().count(), golden.lines().count());
}

#[test]
fn every_message_survives_reading_and_writing() {
    for Vector { name, bytes, reencode } in vectors::all() {
        assert_eq!(reencode(&bytes).as_deref(), Ok(bytes.as_slice()), "{name}");
    }
}

#[test]
fn a_truncated_message_never_passes_for_the_whole_one() {
    for Vector { name, bytes, reencode } in vectors::all() {
        for len in 0..bytes.len() {
            let cut = reencode(&bytes[..len]);
            assert_ne!(cut.as_deref(), Ok(bytes.as_slice()), "{name} at {len}");
        }
    }
}

#[test]
fn fields_of_later_versions_are_skipped() {
    // Field 1000 as a number, and field 1001 as three bytes.
    let later = [0xc0, 0x3e, 0x05, 0xca, 0x3e, 0x03, 1, 2, 3];
    for Vector { name, bytes, reencode } in vectors::all() {
        let longer = [bytes.as_slice(), &later].concat();
        let read = reencode(&longer);
        if name.starts_with("manifest.") {
            // A manifest is forwarded as its owner's bytes, whoever wrote more into it.
            assert_eq!(read.as_deref(), Ok(longer.as_slice()), "{name}");
        } else {
            assert_eq!(read.as_deref(), Ok(bytes.as_slice()), "{name}");
        }
    }
}

#[test]
fn a_message_of_a_later_version_leaves_the_facts_of_its_packet_readable() {
    let facts = vectors::facts();
    let bytes = encode(&Packet { facts: facts.clone(), ..vectors::bare() });
    // Field 31 is no message yet.
    let packet = Packet::decode(&[bytes.as_slice(), &[0xfa, 0x01, 0x02, 0x08, 0x01]].concat()).unwrap();
    assert_eq!(packet.body, None);
    assert_eq!(packet.facts, facts);
}

#[test]
fn a_packet_grows_by_what_a_fact_says_that_it_takes() {
    let mut packet = vectors::bare();
    for fact in vectors::facts() {
        let before = encode(&packet).len();
        let expected = before + fact.packed_len();
        packet.facts.push(fact);
        assert_eq!(encode(&packet).len(), expected);
    }
}

proptest! {
    #[test]
    fn no_bytes_whatever_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..1500)) {
        for read in READERS {
            let _refused_or_not = read(&bytes);
        }
    }

    #[test]
    fn a_damaged_message_never_makes_a_reader_panic(
        which in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        value in any::<u8>(),
    ) {
        let all = vectors::all();
        let mut bytes = which.get(&all).bytes.clone();
        let at = at.index(bytes.len());
        bytes[at] = value;
        for read in READERS {
            let _refused_or_not = read(&bytes);
        }
    }

    #[test]
    fn what_was_read_can_be_written_and_read_again(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(written) = packet(&bytes) {
            let again = packet(&written);
            prop_assert_eq!(again, Ok(written));
        }
    }
}
