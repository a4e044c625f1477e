//! Keyrings, seals and replay windows.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::keyring::{InvalidKeyring, Keyring};
use super::super::keys::Keys;
use super::super::open::{GENERATION, OpenError, Opener};
use super::super::replay::{ReplayWindow, WINDOW};
use super::super::seal::Sealer;
use super::{identity, key, keyring, unhex};
use crate::id::IdHash;
use crate::wire::packet::{Join, Ping};
use crate::wire::{self, Body, MAX_PACKET_LEN, Packet};

const RECIPIENT: IdHash = IdHash(7);

fn opener(seed: u8) -> Opener {
    Opener::new(RECIPIENT, "test", Keys::new(keyring(seed)))
}

fn sealed(recipient: Option<IdHash>, plaintext: &[u8]) -> Vec<u8> {
    Sealer::new("test", &keyring(1)).unwrap().seal(recipient, plaintext).unwrap().to_vec()
}

fn packet(body: Body) -> Vec<u8> {
    wire::encode(&Packet { body: Some(body), ..Packet::default() })
}

#[test]
fn only_the_recipient_with_the_key_of_the_same_cluster_opens_and_only_once() {
    let datagram = sealed(Some(RECIPIENT), b"hello");
    let mut opener = opener(1);
    assert_eq!(opener.open(&datagram), Ok(b"hello".as_slice()));
    assert_eq!(opener.open(&datagram), Err(OpenError::Replay));

    let other_recipient =
        Opener::new(IdHash(8), "test", Keys::new(keyring(1))).open(&datagram).map(<[u8]>::to_vec);
    assert_eq!(other_recipient, Err(OpenError::Seal));
    let other_cluster =
        Opener::new(RECIPIENT, "live", Keys::new(keyring(1))).open(&datagram).map(<[u8]>::to_vec);
    assert_eq!(other_cluster, Err(OpenError::Seal));
    let other_key = Opener::new(RECIPIENT, "test", Keys::new(keyring(2))).open(&datagram).map(<[u8]>::to_vec);
    assert_eq!(other_key, Err(OpenError::Key));
}

#[test]
fn a_failed_open_leaves_no_trace_in_the_replay_window() {
    let mut opener = opener(1);
    let datagram = sealed(Some(RECIPIENT), b"hello");
    let mut forged = datagram.clone();
    // Bit by bit: version, key id, seal nonce, counter, ciphertext and tag are all covered.
    for bit in 0..datagram.len() * 8 {
        forged[bit / 8] ^= 1 << (bit % 8);
        assert!(opener.open(&forged).is_err(), "bit {bit}");
        forged[bit / 8] ^= 1 << (bit % 8);
    }
    assert_eq!(opener.open(&datagram), Ok(b"hello".as_slice()));
}

#[test]
fn every_truncation_is_refused() {
    let mut opener = opener(1);
    let datagram = sealed(Some(RECIPIENT), &[5; MAX_PACKET_LEN]);
    for len in 0..datagram.len() {
        assert!(opener.open(&datagram[..len]).is_err(), "{len} bytes");
    }
    let longer = [datagram.as_slice(), &[0]].concat();
    assert_eq!(opener.open(&longer), Err(OpenError::Length));
    assert!(opener.open(&datagram).is_ok());
}

#[test]
fn what_does_not_fit_a_datagram_is_not_sealed() {
    let mut sealer = Sealer::new("test", &keyring(1)).unwrap();
    assert!(sealer.seal(Some(RECIPIENT), &[0; MAX_PACKET_LEN + 1]).is_err());
    assert_eq!(sealer.seal(Some(RECIPIENT), &[0; MAX_PACKET_LEN]).unwrap().len(), wire::MAX_DATAGRAM_LEN);
}

#[test]
fn nobody_in_particular_may_only_be_asked_to_let_someone_join() {
    let join = packet(Body::Join(Join { id: vec![1; 32], token: 1, root: 2 }));
    assert_eq!(opener(1).open(&sealed(None, &join)), Ok(join.as_slice()));
    let ping = packet(Body::Ping(Ping { token: 1, target: RECIPIENT.0, target_epoch: 1, ..Ping::default() }));
    assert_eq!(opener(1).open(&sealed(None, &ping)), Err(OpenError::NotJoin));
}

#[test]
fn during_a_rotation_the_old_key_opens_and_the_first_one_seals() {
    let text = format!("{}\n\n  {}\n", key(2).to_base64(), key(1).to_base64());
    let rotating = Keyring::parse(&text).unwrap();
    assert_eq!(rotating, Keyring::from_keys(&[[2; 32], [1; 32]]).unwrap());
    assert_eq!(Keyring::from_keys(&[]), Err(InvalidKeyring::Empty));
    let mut opener = Opener::new(RECIPIENT, "test", Keys::new(rotating.clone()));
    assert!(opener.open(&sealed(Some(RECIPIENT), b"by the old key")).is_ok());

    let mut sealer = Sealer::new("test", &rotating).unwrap();
    let datagram = sealer.seal(Some(RECIPIENT), b"by the new key").unwrap();
    assert_eq!(datagram[1..5], key(2).id().0.to_be_bytes());
    assert!(opener.open(datagram).is_ok());
}

#[test]
fn a_renewed_seal_starts_over_under_another_nonce() {
    let mut sealer = Sealer::new("test", &keyring(1)).unwrap();
    let before = sealer.seal(Some(RECIPIENT), b"same").unwrap().to_vec();
    sealer.renew().unwrap();
    let after = sealer.seal(Some(RECIPIENT), b"same").unwrap().to_vec();
    assert_ne!(before[5..21], after[5..21]);
    assert_ne!(before[29..], after[29..]);
    let mut opener = opener(1);
    assert!(opener.open(&after).is_ok());
    assert!(opener.open(&before).is_ok());
}

#[test]
fn a_bad_keyring_is_named_by_its_line_but_never_shown() {
    let check = |text: &str, expected: InvalidKeyring| {
        let error = Keyring::parse(text).unwrap_err();
        assert_eq!(error, expected);
        assert!(!error.to_string().contains("c2hvcnQ="), "{error}");
    };
    let good = key(1).to_base64();
    check("", InvalidKeyring::Empty);
    check(&format!("{good}\nc2hvcnQ="), InvalidKeyring::Line(2));
    check("not base64!", InvalidKeyring::Line(1));
    check(&format!("{good}\n{good}"), InvalidKeyring::Repeated(2));
    let many: Vec<_> = (0..9).map(|seed| key(seed).to_base64()).collect();
    check(&many.join("\n"), InvalidKeyring::TooMany);
    assert!(!format!("{:?}", keyring(1)).contains(&good));
}

#[test]
fn a_datagram_may_be_overtaken_by_a_window_but_not_by_more() {
    let mut window = ReplayWindow::new();
    assert!(window.accept(WINDOW));
    assert!(window.accept(1));
    assert!(!window.accept(0));
    assert!(window.accept(u64::MAX));
    assert!(!window.accept(u64::MAX));
    assert!(!window.accept(WINDOW + 1));
    assert!(window.accept(u64::MAX - WINDOW + 1));
}

#[test]
fn the_identity_does_not_show_in_the_clear() {
    let datagram = sealed(Some(identity(1).id().hash()), b"x");
    let hash = identity(1).id().hash().0.to_be_bytes();
    assert!(!datagram.windows(hash.len()).any(|window| window == hash));
}

/// Made by a second implementation: key of ones, seal nonce 0 to 15, counter 5, recipient 7.
const GOLDEN: &str = "0195150490000102030405060708090a0b0c0d0e0f0000000000000005\
    7846fcd803fa607f8de908b31644874205c4b02016";

#[test]
fn the_golden_datagram_opens() {
    assert_eq!(opener(1).open(&unhex(GOLDEN)), Ok(b"hello".as_slice()));
}

#[test]
fn a_sender_in_use_is_not_forgotten_for_others_and_memory_is_bounded() {
    let keyring = keyring(1);
    let mut opener = opener(1);
    let mut steady = Sealer::new("test", &keyring).unwrap();
    let first = steady.seal(Some(RECIPIENT), b"x").unwrap().to_vec();
    assert!(opener.open(&first).is_ok());
    for _ in 0..3 * GENERATION {
        let other = Sealer::new("test", &keyring).unwrap().seal(Some(RECIPIENT), b"x").unwrap().to_vec();
        assert!(opener.open(&other).is_ok());
        assert!(opener.open(steady.seal(Some(RECIPIENT), b"x").unwrap()).is_ok());
    }
    assert_eq!(opener.open(&first), Err(OpenError::Replay));
    assert!(opener.remembered() <= 2 * GENERATION);
}

proptest! {
    #[test]
    fn random_bytes_are_refused_without_a_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..1300), known_key: bool) {
        if known_key && bytes.len() >= 5 {
            bytes[0] = wire::WIRE_VERSION;
            bytes[1..5].copy_from_slice(&key(1).id().0.to_be_bytes());
        }
        prop_assert!(opener(1).open(&bytes).is_err());
    }

    #[test]
    fn the_window_agrees_with_a_set(steps in proptest::collection::vec((0_u64..3 * WINDOW, any::<bool>()), 1..400)) {
        let (mut window, mut seen, mut highest) = (ReplayWindow::new(), BTreeSet::new(), 0_u64);
        for (step, back) in steps {
            let counter = if back { highest.saturating_sub(step) } else { highest + step };
            let expected = counter + WINDOW > highest && seen.insert(counter);
            prop_assert_eq!(window.accept(counter), expected, "counter {} of {}", counter, highest);
            highest = highest.max(counter);
        }
    }
}
