//! Every reader of foreign bytes as a function of bytes, with what must hold whatever they are: `rivulet-bench fuzz` calls them.
//!
//! A check panics when something does not hold. It depends on its bytes alone, so whatever is found can be found again.

mod checks;
mod connections;
mod descriptions;
mod links;
mod media;
mod parsers;
mod peer;
mod sessions;
#[cfg(test)]
mod tests;

use std::cell::OnceCell;
use std::time::{Duration, Instant};

use crate::border::{ForwarderConfig, WallClock};
use crate::dtls::Crypto;
use crate::srtp::{SrtpKeys, SrtpProfile};

/// What is kept from input to input because it is dear to make.
pub struct Ground {
    start: Instant,
    verifier: parsers::Verifiers,
    crypto: OnceCell<Crypto>,
    scene: Option<sessions::Scene>,
    chain: Option<links::Chain>,
    street: Option<checks::Street>,
}

impl Default for Ground {
    fn default() -> Self {
        let (start, verifier, crypto) = (Instant::now(), parsers::Verifiers::default(), OnceCell::new());
        Self { start, verifier, crypto, scene: None, chain: None, street: None }
    }
}

impl Ground {
    fn crypto(&self) -> Crypto {
        self.crypto.get_or_init(|| Crypto::new().expect("a certificate")).clone()
    }

    fn scene(&mut self) -> &mut sessions::Scene {
        let (crypto, start) = (self.crypto(), self.start);
        self.scene.take_if(|scene| scene.is_used_up());
        self.scene.get_or_insert_with(|| sessions::Scene::connected(&crypto, start))
    }

    fn chain(&mut self) -> &mut links::Chain {
        let (crypto, start) = (self.crypto(), self.start);
        self.chain.take_if(|chain| chain.is_used_up());
        self.chain.get_or_insert_with(|| links::Chain::connected(&crypto, start))
    }

    fn street(&mut self) -> &mut checks::Street {
        let (crypto, start) = (self.crypto(), self.start);
        self.street.get_or_insert_with(|| checks::Street::connected(&crypto, start))
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

pub const TARGETS: [Target; 20] = [
    Target { name: "stun", share: 90, is_text: false, check: parsers::stun },
    Target { name: "rtp", share: 90, is_text: false, check: parsers::rtp },
    Target { name: "rtcp", share: 90, is_text: false, check: parsers::rtcp },
    Target { name: "payload", share: 90, is_text: false, check: parsers::payload },
    Target { name: "framing", share: 30, is_text: false, check: connections::framing },
    Target { name: "address", share: 10, is_text: false, check: connections::address },
    Target { name: "inlet", share: 25, is_text: false, check: connections::inlet },
    Target { name: "dtls", share: 60, is_text: false, check: parsers::dtls },
    Target { name: "certificate", share: 60, is_text: false, check: parsers::certificate },
    Target { name: "trace", share: 60, is_text: false, check: parsers::trace },
    Target { name: "sdp", share: 100, is_text: true, check: descriptions::sdp },
    Target { name: "fragment", share: 60, is_text: true, check: descriptions::fragment },
    Target { name: "link", share: 25, is_text: true, check: links::link },
    Target { name: "refragment", share: 70, is_text: false, check: media::refragment },
    Target { name: "receive", share: 40, is_text: false, check: media::receive },
    Target { name: "forward", share: 25, is_text: false, check: media::forward },
    Target { name: "legs", share: 10, is_text: false, check: links::legs },
    Target { name: "node", share: 50, is_text: false, check: sessions::garbage },
    Target { name: "checks", share: 10, is_text: false, check: checks::checks },
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
