//! What is held of a member whose boots are heard of out of order.

use super::cluster::Cluster;
use super::settings::id;
use crate::id::Version;
use crate::mesh::Input;
use crate::wire::digest::DigestKey;
use crate::wire::link::EntryState;
use crate::wire::{Fact, FactKind};

#[test]
fn the_manifest_of_an_earlier_boot_counts_as_none_in_the_digest() {
    let mut cluster = Cluster::of(2);
    let (subject, now) = (id(1).hash(), cluster.now);
    let mesh = &mut cluster.nodes.get_mut(&0).unwrap().mesh;
    let before = mesh.membership.member(subject).unwrap().claim.version;
    let held = mesh.membership.members().version(subject).unwrap();
    assert!(held.epoch == before.epoch && held.seq > 0, "the manifest of the first boot is held");
    // Nobody told of the next boot before its death was told, and then that it is not dead.
    let epoch = before.epoch + 1;
    for (incarnation, kind) in [(0, FactKind::Dead), (1, FactKind::Alive)] {
        let fact = Fact::about(subject, Version { epoch, incarnation }, kind);
        mesh.membership.handle_fact(&fact, subject, now);
        mesh.handle(Input::Tick, now);
    }
    let after = mesh.membership.member(subject).unwrap();
    assert_eq!((after.state(), after.claim.version.epoch), (EntryState::Alive, epoch));
    let key = DigestKey::new("test");
    let members = mesh.membership.members();
    let own = members.covered(id(0).hash()).unwrap();
    let own_seq = members.version(own.hash).unwrap().seq;
    let leaves = [
        key.leaf(&own.id, own.claim.version, EntryState::Alive, own_seq),
        key.leaf(&after.id, after.claim.version, EntryState::Alive, 0),
    ];
    assert_eq!(
        members.root(),
        leaves[0].wrapping_add(leaves[1]),
        "the seq of another boot's manifest hides nothing"
    );
}
