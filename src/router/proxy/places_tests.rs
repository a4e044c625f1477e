//! Who shares a limit, and who has none.

use super::*;

async fn take(places: &Places, peer: &str) -> Option<Place> {
    let room = places.room().await.unwrap();
    places.take(peer.parse().unwrap(), room).ok()
}

#[tokio::test]
async fn a_client_has_so_many_and_leaves_the_rest_to_others() {
    let places = Places::new(100, 2, watch::Sender::new(0));
    for (client, neighbour, other) in [
        ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", "2001:db8:0:2::1"),
    ] {
        let first = take(&places, client).await;
        let second = take(&places, neighbour).await;
        assert!(first.is_some() && second.is_some());
        assert!(take(&places, client).await.is_none());
        assert!(take(&places, other).await.is_some());
        drop(first);
        assert!(take(&places, client).await.is_some());
    }
    assert!(locked(&places.taken).is_empty(), "clients that have gone are forgotten");
}

#[tokio::test]
async fn what_comes_from_this_machine_is_not_counted_for_one_client() {
    let clients = watch::Sender::new(0);
    let places = Places::new(5, 1, clients.clone());
    let mut taken = Vec::new();
    for _ in 0..5 {
        taken.push(take(&places, "127.0.0.1").await.unwrap());
    }
    assert_eq!(*clients.borrow(), 5);
    let no_room = tokio::time::timeout(std::time::Duration::from_millis(20), places.room()).await;
    assert!(no_room.is_err(), "all places of the listener are taken");
    taken.clear();
    assert_eq!(*clients.borrow(), 0);
}
