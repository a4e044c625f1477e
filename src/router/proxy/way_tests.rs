//! A goodbye comes once, between two frames, and is the last thing that comes.

use super::*;

const HI: &[u8] = &[0x81, 2, b'h', b'i'];
const CLOSE: &[u8] = &[0x88, 2, 0x03, 0xe8];
const GOODBYE: &[u8] = &[0x88, 2, 0x03, 0xe9];

#[test]
fn an_idle_direction_ends_at_once() {
    let mut way = Way::new(Toward::Client);
    assert_eq!(way.pass(HI.into()), HI);
    assert_eq!(way.end(), GOODBYE);
    assert!(way.is_ended());
    assert_eq!(way.pass(HI.into()), "");
    assert_eq!(way.end(), "", "it was said before");
}

#[test]
fn a_frame_under_way_is_finished_and_nothing_after_it_passes() {
    for cut in 1..HI.len() {
        let mut way = Way::new(Toward::Client);
        assert_eq!(way.pass(Bytes::from_static(&HI[..cut])), &HI[..cut]);
        assert_eq!(way.end(), "", "a frame is under way");
        assert!(!way.is_ended());
        let rest = [&HI[cut..], HI].concat();
        assert_eq!(way.pass(rest.into()), [&HI[cut..], GOODBYE].concat());
        assert!(way.is_ended());
    }
}

#[test]
fn what_was_closed_by_its_own_end_gets_no_second_goodbye() {
    let mut way = Way::new(Toward::Client);
    assert_eq!(way.pass(CLOSE.into()), CLOSE);
    assert_eq!(way.end(), "");
    assert!(way.is_ended());

    let mut way = Way::new(Toward::Client);
    way.pass(Bytes::from_static(&CLOSE[..3]));
    way.end();
    assert_eq!(way.pass(Bytes::from_static(&CLOSE[3..])), &CLOSE[3..]);
    assert!(way.is_ended());
}

#[test]
fn what_leads_to_the_service_is_masked() {
    let goodbye = Way::new(Toward::Service).end();
    assert_eq!(&goodbye[..2], [0x88, 0x80 | 2]);
    let unmasked: Vec<u8> =
        goodbye[6..].iter().zip(goodbye[2..6].iter().cycle()).map(|(a, b)| a ^ b).collect();
    assert_eq!(unmasked, 1001_u16.to_be_bytes());
}
