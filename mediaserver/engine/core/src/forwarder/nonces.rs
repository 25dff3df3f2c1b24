//! Whatever happens, no (key, SSRC, index) seals two byte strings. The guard panics in debug builds; here the receivers check too.

#![allow(clippy::cast_possible_truncation)] // Low bits are meant.

use super::testing::*;
use crate::random::Random;
use crate::rtcp;
use crate::srtp::SrtpProfile::{AeadAes128Gcm, Aes128CmSha1_80};

/// Players fail when they get two different datagrams under one index (`Player::receive`).
fn live_through(seed: u64) {
    let mut random = Random::new(seed);
    let mut world = World::new(seed);
    let below = |random: &mut Random, limit: u32| random.word() % limit;
    let first = u64::from(below(&mut random, 70_000));
    let mut publication = world.publish(first, random.word());
    let mut viewers = vec![];
    let mut held = vec![];
    for _ in 0..250 {
        match below(&mut random, 100) {
            0..=4 => {
                let profile = if below(&mut random, 2) == 0 { AeadAes128Gcm } else { Aes128CmSha1_80 };
                viewers.push(world.join(browser(below(&mut random, 2) == 0), profile));
            }
            // The publisher starts again, or another parent takes over; the old one may still talk.
            5..=8 => {
                let old = std::mem::replace(&mut publication, world.publish(first, random.word()));
                if below(&mut random, 2) == 0 {
                    world.forwarder.end_source(old.id, world.now);
                }
            }
            9..=11 => world.wait(ms(u64::from(below(&mut random, 700)))),
            // Numbers jump, within what a gap may be and beyond.
            12 => publication.sequence[VIDEO] += u64::from(below(&mut random, 9000)),
            13..=15 => world.room = usize::try_from(below(&mut random, 3)).unwrap(),
            16..=25 => world.room = usize::MAX,
            26 if !viewers.is_empty() => {
                let at = below(&mut random, 1000) as usize % viewers.len();
                world.forwarder.remove_viewer(viewers.swap_remove(at), true, world.now);
            }
            27..=30 if !viewers.is_empty() => {
                let at = below(&mut random, 1000) as usize % viewers.len();
                world.forwarder.set_destination(viewers[at], None);
                world.forwarder.set_destination(viewers[at], Some("192.0.2.7:9".parse().unwrap()));
            }
            // Everything is asked for again, and what was never sent too.
            31..=40 => {
                for &viewer in &viewers {
                    let highest = world.player(viewer).numbers(VIDEO_SSRC).last().copied().unwrap_or(0) as u16;
                    let lost: Vec<u16> =
                        (0..200).map(|back| highest.wrapping_add(20).wrapping_sub(199 - back)).collect();
                    world.feedback(viewer, |b| rtcp::write_nack(b, 1, VIDEO_SSRC, &lost));
                }
            }
            // Late, repeated and changed packets of the past.
            41..=50 => {
                for packet in held.drain(..) {
                    world.push(&publication, VIDEO, [packet]);
                }
            }
            choice => {
                let key = choice > 85;
                let mut frame = World::frame(&mut publication, key, &[300, 302, 301, 90]);
                if below(&mut random, 4) == 0 {
                    let lost = frame.remove(below(&mut random, 4) as usize);
                    let mut other = lost.clone();
                    other.payload = vec![choice as u8; 50].into();
                    held.extend([lost.clone(), other, lost]);
                }
                world.push(&publication, VIDEO, frame);
            }
        }
        world.settle();
        world.now += ms(u64::from(below(&mut random, 40)));
    }
}

#[test]
fn an_index_is_never_sealed_with_two_byte_strings() {
    for seed in 0..60 {
        live_through(seed);
    }
}
