//! Signed manifests: nobody but the owner can make or alter one, and their fields are bounded.

use prost::Message;

use super::vectors::{full_manifest, identity, service, small_manifest};
use crate::id::{Identity, ServiceName};
use crate::manifest::{Health, HostPolicy, Manifest, Protocol, Route, Service, Split};
use crate::time::Duration;
use crate::wire::WireError;
use crate::wire::manifest::{MAX_MANIFEST_LEN, MAX_TTL, SignedManifest, Verified};

/// The outer message, as another implementation would have it.
#[derive(Clone, PartialEq, prost::Message)]
struct Outer {
    #[prost(bytes = "vec", tag = "1")]
    body: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    signature: Vec<u8>,
}

fn signed(manifest: Manifest, owner: &Identity) -> Vec<u8> {
    SignedManifest::sign(manifest, owner).unwrap().bytes().to_vec()
}

/// The manifest with these bytes appended to its body, rightly signed.
fn extended(manifest: Manifest, owner: &Identity, extension: &[u8]) -> Vec<u8> {
    let mut outer = Outer::decode(signed(manifest, owner).as_slice()).unwrap();
    outer.body.extend(extension);
    outer.signature = owner.sign(&[b"mesh/rec/1", outer.body.as_slice()].concat()).to_vec();
    outer.encode_to_vec()
}

#[test]
fn what_is_read_is_what_was_signed() {
    let manifest = full_manifest();
    let read = SignedManifest::verify(&signed(manifest.clone(), &identity(2))).unwrap();
    assert_eq!(**read.manifest(), manifest);
}

#[test]
fn a_flipped_bit_anywhere_is_refused() {
    let mut bytes = signed(full_manifest(), &identity(2));
    for at in 0..bytes.len() {
        bytes[at] ^= 1 << (at % 8);
        assert!(SignedManifest::verify(&bytes).is_err(), "byte {at}");
        bytes[at] ^= 1 << (at % 8);
    }
    assert!(SignedManifest::verify(&bytes).is_ok());
}

#[test]
fn nobody_signs_for_another() {
    let bytes = signed(full_manifest(), &identity(3));
    let expected = WireError::Field { what: "manifest", field: "signature" };
    assert_eq!(SignedManifest::verify(&bytes).unwrap_err(), expected);
}

#[test]
fn a_signature_over_the_body_alone_counts_for_nothing() {
    let owner = identity(2);
    let mut outer = Outer::decode(signed(full_manifest(), &owner).as_slice()).unwrap();
    outer.signature = owner.sign(&outer.body).to_vec();
    assert!(SignedManifest::verify(&outer.encode_to_vec()).is_err());
}

#[test]
fn fields_of_a_later_version_are_covered_by_the_signature_and_forwarded() {
    // Field 100 as a number.
    let bytes = extended(full_manifest(), &identity(2), &[0xa0, 0x06, 0x01]);
    let read = SignedManifest::verify(&bytes).unwrap();
    assert_eq!(**read.manifest(), full_manifest());
    assert_eq!(*read.bytes(), *bytes);
}

#[test]
fn values_of_a_later_version_read_as_the_most_careful_ones_known() {
    // A service "x" whose health is 9, protocol 9, weight 0 and host policy 9.
    let unknown = [0x5a, 0x09, 0x0a, 0x01, b'x', 0x20, 0x09, 0x38, 0x09, 0x68, 0x09];
    let bytes = extended(small_manifest(), &identity(1), &unknown);
    let read = SignedManifest::verify(&bytes).unwrap();
    let service = &read.manifest().services[0];
    assert_eq!(service.health, Health::Unknown);
    assert_eq!((service.protocol, service.host), (Protocol::Http1, HostPolicy::Preserve));
    assert_eq!(service.weight, 1);
}

#[test]
fn nobody_lives_longer_than_the_longest_time_to_live() {
    let manifest = Manifest { ttl: MAX_TTL * 2, ..small_manifest() };
    let read = SignedManifest::verify(&signed(manifest, &identity(1))).unwrap();
    assert_eq!(read.manifest().ttl, MAX_TTL);
}

#[test]
fn a_manifest_that_is_too_large_is_refused_at_its_source_and_by_everyone() {
    let name = |len| Manifest { name: "n".repeat(len), ..small_manifest() };
    let spare = MAX_MANIFEST_LEN - signed(name(20_000), &identity(1)).len();
    let largest = signed(name(20_000 + spare), &identity(1));
    assert_eq!(largest.len(), MAX_MANIFEST_LEN);
    assert!(SignedManifest::verify(&largest).is_ok());
    let refused = SignedManifest::sign(name(20_001 + spare), &identity(1)).unwrap_err();
    assert!(matches!(refused, WireError::TooLong { limit: MAX_MANIFEST_LEN, .. }), "{refused}");
    assert!(SignedManifest::verify(&[largest.as_slice(), &[0xa0, 0x06, 0x01]].concat()).is_err());
}

#[test]
fn lists_and_fields_of_a_manifest_are_bounded() {
    let check = |manifest: Manifest, name: &str| {
        let bytes = signed(manifest, &identity(1));
        let error = SignedManifest::verify(&bytes).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    };
    let named = |i: usize| -> ServiceName { format!("s{i}").parse().unwrap() };
    let services = (0..513).map(|i| Service { name: named(i), tags: Vec::new(), ..service() }).collect();
    check(Manifest { services, ..small_manifest() }, "services");
    let routes = (0..513).map(|i| Route::default_of(named(i))).collect();
    check(Manifest { routes, ..small_manifest() }, "routes");
    let tagged = Service { tags: vec!["t".to_owned(); 65], ..service() };
    check(Manifest { services: vec![tagged], ..small_manifest() }, "tags");
    let split = |count, percent| {
        let split = vec![Split { version: "1".to_owned(), percent }; count];
        vec![Route { split, hedge_after: Duration::ZERO, ..Route::default_of(named(1)) }]
    };
    check(Manifest { routes: split(33, 1), ..small_manifest() }, "splits");
    check(Manifest { routes: split(1, 101), ..small_manifest() }, "split");
}

#[test]
fn the_same_bytes_are_verified_once_and_forgeries_drive_out_nothing() {
    let mut verified = Verified::new(4);
    let bytes = signed(full_manifest(), &identity(2));
    let first = verified.verify(&bytes).unwrap();
    for n in 0..100 {
        let mut forged = bytes.clone();
        let at = forged.len() - 1 - n % 60;
        forged[at] ^= 1 << (n % 8);
        assert_eq!(verified.verify(&forged).unwrap_err(), verified.verify(&forged).unwrap_err());
    }
    let again = verified.verify(&bytes).unwrap();
    assert!(std::sync::Arc::ptr_eq(first.manifest(), again.manifest()), "one copy is shared");
}

#[test]
fn only_so_many_verified_manifests_are_remembered() {
    let mut verified = Verified::new(4);
    let bytes = signed(full_manifest(), &identity(2));
    let first = verified.verify(&bytes).unwrap();
    for seq in 100..110 {
        let mut manifest = full_manifest();
        manifest.version.seq = seq;
        verified.verify(&signed(manifest, &identity(2))).unwrap();
    }
    let again = verified.verify(&bytes).unwrap();
    assert!(!std::sync::Arc::ptr_eq(first.manifest(), again.manifest()), "it was forgotten");
}
