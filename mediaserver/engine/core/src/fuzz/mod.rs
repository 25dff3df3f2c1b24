//! Every reader of foreign bytes as a function of bytes, with what must hold whatever they are: `rivulet-bench fuzz` calls them.
//!
//! A check panics when something does not hold. It depends on its bytes alone, so whatever is found can be found again.

mod connections;
mod descriptions;
mod media;
mod parsers;
mod sessions;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use crate::border::{ForwarderConfig, WallClock};
use crate::srtp::{SrtpKeys, SrtpProfile};

/// What is kept from input to input because it is dear to make.
pub struct Ground {
    start: Instant,
    verifier: parsers::Verifiers,
    scenes: sessions::Scenes,
}

impl Default for Ground {
    fn default() -> Self {
        let start = Instant::now();
        Self { start, verifier: parsers::Verifiers::default(), scenes: sessions::Scenes::new(start) }
    }
}

/// One reader.
pub struct Target {
    pub name: &'static str,
    /// Of 1,000 inputs so many are its own.
    pub share: u32,
    /// Lines of text rather than bytes.
    pub is_text: bool,
    /// Panics when something does not hold.
    pub check: fn(&mut Ground, &[u8]),
}

pub const TARGETS: [Target; 16] = [
    Target { name: "stun", share: 100, is_text: false, check: parsers::stun },
    Target { name: "rtp", share: 100, is_text: false, check: parsers::rtp },
    Target { name: "rtcp", share: 100, is_text: false, check: parsers::rtcp },
    Target { name: "payload", share: 100, is_text: false, check: parsers::payload },
    Target { name: "framing", share: 30, is_text: false, check: connections::framing },
    Target { name: "address", share: 10, is_text: false, check: connections::address },
    Target { name: "dtls", share: 60, is_text: false, check: parsers::dtls },
    Target { name: "certificate", share: 60, is_text: false, check: parsers::certificate },
    Target { name: "trace", share: 60, is_text: false, check: parsers::trace },
    Target { name: "sdp", share: 100, is_text: true, check: descriptions::sdp },
    Target { name: "fragment", share: 60, is_text: true, check: descriptions::fragment },
    Target { name: "refragment", share: 80, is_text: false, check: media::refragment },
    Target { name: "receive", share: 50, is_text: false, check: media::receive },
    Target { name: "forward", share: 30, is_text: false, check: media::forward },
    Target { name: "node", share: 55, is_text: false, check: sessions::garbage },
    Target { name: "handshake", share: 5, is_text: false, check: sessions::handshake },
];

fn clock(start: Instant) -> WallClock {
    WallClock { at: start, since_unix_epoch: Duration::from_secs(1_700_000_000) }
}

fn config() -> ForwarderConfig {
    ForwarderConfig { playout_delay: Some((0, 20)), ..ForwarderConfig::default() }
}

/// Ours, or with `theirs` those of the peer that we talk to.
fn keys(theirs: bool) -> SrtpKeys {
    let material: Vec<u8> = (0..120).collect();
    SrtpKeys::from_exporter(SrtpProfile::AeadAes128Gcm, &material, theirs).expect("material enough")
}

/// Several inputs in one: each behind two bytes of its length.
fn parts(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = data.split_first_chunk::<2>()?;
        let (part, rest) = rest.split_at(rest.len().min(u16::from_be_bytes(*length).into()));
        data = rest;
        Some(part)
    })
}
