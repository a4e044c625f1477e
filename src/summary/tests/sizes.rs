//! The size of the value, for meshes of all sizes.

use super::*;

/// A mesh in three zones, with 100 services.
fn mesh(members: u16, name: usize, url: usize) -> Census {
    let mut mesh = census(members);
    for (i, member) in mesh.members.iter_mut().enumerate() {
        member.zone = ["eu-central", "us-east", "ap-south"][i % 3].into();
        member.url = format!("{}{}", member.url, "x".repeat(url.saturating_sub(member.url.len())));
    }
    let service = |i| format!("{i:03}{}", "s".repeat(name - 3)).parse::<ServiceName>().unwrap();
    mesh.services = (0..100).map(|i| (service(i), (999, 9_999))).collect();
    mesh
}

#[test]
fn the_value_stays_below_its_limit_at_any_size_of_the_mesh() {
    println!("nodes, bytes of a name, bytes of a URL: bytes of the value, entries, services");
    for members in [10, 1_000, 10_000] {
        for (name, url) in [(12, 32), (63, 32), (12, 128), (63, 128)] {
            let value = Bench::leading(config(), mesh(members, name, url)).writes.remove(0).1;
            let length = value.to_json().len();
            let (nodes, services) = (value.nodes.len(), value.services.len());
            println!("{members:6} {name:3} {url:4}: {length} {nodes} {services}");
            assert!(length <= MAX_VALUE_LEN, "{length} bytes");
            assert!(nodes >= 10 && services >= 20, "{nodes} entries, {services} services");
            assert_eq!(value.workers, u32::from(members));
            assert_eq!(value.services_truncated, services < 100);
        }
    }
}
