//! What is held of a member whose boots are heard of out of order.

use super::cluster::Cluster;
use super::settings::id;
use crate::id::Version;
use crate::mesh::Input;
use crate::wire::link::EntryState;
use crate::wire::{Fact, FactKind};

#[test]
fn the_manifest_of_an_earlier_boot_counts_as_none_in_the_digest() {
    let mut cluster = Cluster::of(2);
    let (subject, now) = (id(1).hash(), cluster.now);
    let mesh = &mut cluster.nodes.get_mut(&0).unwrap().mesh;
    let before = *mesh.gossip.digest.leaf(subject).unwrap();
    assert!(before.seq > 0, "the manifest of the first boot is held");
    // Nobody told of the next boot before its death was told, and then that it is not dead.
    let epoch = before.version.epoch + 1;
    for (incarnation, kind) in [(0, FactKind::Dead), (1, FactKind::Alive)] {
        let fact = Fact::about(subject, Version { epoch, incarnation }, kind);
        mesh.membership.handle_fact(&fact, subject, now);
        mesh.handle(Input::Tick, now);
    }
    let after = *mesh.gossip.digest.leaf(subject).unwrap();
    assert_eq!((after.state, after.version.epoch), (EntryState::Alive, epoch));
    assert_eq!(after.seq, 0, "else a new manifest of the same seq would never be fetched");
}
