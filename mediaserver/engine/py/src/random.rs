//! Names and secrets from the system's random source.

use aws_lc_rs::rand;
use rivulet_core::negotiation::{LocalSources, LocalTransport};

/// ice-char without `+` and `/`: 62 letters and digits.
const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// # Panics
/// When the system has no random source.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).expect("the system's random source");
    bytes
}

pub fn number() -> u64 {
    u64::from_ne_bytes(bytes())
}

/// A session's name; small numbers are the data thread's own tokens.
pub fn session_id() -> u64 {
    number().max(1 << 32)
}

/// Where drawing SSRCs begins.
pub fn ssrc() -> u32 {
    u32::from_ne_bytes(bytes())
}

/// `length` letters and digits, each with nearly 6 bits.
fn letters(length: usize) -> String {
    // Many at once: a draw costs a microsecond. 248 = 4 × 62: equal chances.
    let draws = std::iter::repeat_with(bytes::<32>).flatten().filter(|byte| *byte < 248);
    draws.map(|byte| char::from(LETTERS[usize::from(byte) % LETTERS.len()])).take(length).collect()
}

/// Our side of a new session, without candidates.
pub fn local_transport(fingerprint: &str) -> LocalTransport {
    LocalTransport {
        session_id: number() >> 2,
        ufrag: letters(8),
        password: letters(24),
        fingerprint: fingerprint.to_owned(),
        candidates: Vec::new(),
        tcp: false,
    }
}

/// SSRCs and a CNAME for what we send on a new session.
pub fn local_sources() -> LocalSources {
    let first = u32::from_ne_bytes(bytes()).max(1);
    let step = u32::from_ne_bytes(bytes()) | 1;
    let ssrcs = [0, 1, 2, 3, 4, 5, 6, 7].map(|n: u32| match first.wrapping_add(step.wrapping_mul(n)) {
        // 0 is what probes use; an odd step gives different numbers, and this one is none of them.
        0 => first.wrapping_sub(step),
        ssrc => ssrc,
    });
    LocalSources { cname: letters(16), ssrcs }
}
