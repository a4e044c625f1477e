//! What becomes one piece, and what does not.

use super::*;

#[track_caller]
fn check(pieces: &[&[u8]], single: Option<&[u8]>, small: Option<&[u8]>) {
    let pieces: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
    assert_eq!(only(&pieces), single);
    assert_eq!(gather(&pieces, &mut space()), small);
}

#[test]
fn small_pieces_become_one_in_their_order_and_long_ones_are_not_copied() {
    check(&[b"head", b"", b"body"], None, Some(b"headbody"));
    check(&[b"", b"head", b""], Some(b"head"), Some(b"head"));
    check(&[], None, Some(b""));
    let (head, body) = (vec![b'h'; 48], vec![b'b'; SMALL - 48]);
    check(&[&head, &body], None, Some(&[&head[..], &body].concat()));
    check(&[b"x", &head, &body], None, None);
    let long = vec![7; 1 << 20];
    check(&[b"", &long], Some(&long), None);
}
