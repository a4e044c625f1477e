//! A view that was kept up shows what one that is built anew would show.

use super::cluster::Cluster;
use crate::time::Duration;
use crate::view::Status;

fn compare(cluster: &mut Cluster) {
    let now = cluster.now;
    for node in cluster.nodes.values_mut() {
        let renewed = node.mesh.refreshed_view(now);
        node.mesh.snapshot.forget();
        let anew = node.mesh.refreshed_view(now);
        assert_eq!(format!("{:#?}", renewed.members), format!("{:#?}", anew.members));
    }
}

#[test]
fn a_view_that_is_renewed_shows_what_one_built_anew_shows() {
    let mut cluster = Cluster::of(5);
    compare(&mut cluster);
    for step in 0..40 {
        match step {
            4 => cluster.kill(4),
            12 => cluster.start(4),
            20 => cluster.start(5),
            28 => cluster.handle(2, crate::mesh::Input::Leave),
            _ => {}
        }
        cluster.run(Duration::from_millis(700));
        compare(&mut cluster);
    }
    assert_eq!(cluster.view(0).members.len(), 6);
    assert!(cluster.view(0).members.iter().any(|member| member.status == Status::Left));
}

#[test]
fn a_member_of_which_nothing_changed_is_not_copied_for_the_next_view() {
    let mut cluster = Cluster::of(3);
    let now = cluster.now;
    let mesh = &mut cluster.nodes.get_mut(&0).unwrap().mesh;
    let (before, after) = (mesh.refreshed_view(now), mesh.refreshed_view(now));
    let kept = before.members.iter().zip(&after.members).filter(|(a, b)| std::sync::Arc::ptr_eq(a, b));
    assert_eq!(kept.count(), 2, "all but this node itself");
}
