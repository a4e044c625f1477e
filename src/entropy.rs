//! The system's entropy: seeds, nonces and fresh keys come from here.

use aws_lc_rs::rand;

/// Fills an array from the system's generator.
///
/// # Panics
/// When the system has no entropy, which leaves nothing sensible to do.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[expect(clippy::expect_used, reason = "a node without entropy cannot make keys or nonces")]
    rand::fill(&mut bytes).expect("the system's random generator failed");
    bytes
}
