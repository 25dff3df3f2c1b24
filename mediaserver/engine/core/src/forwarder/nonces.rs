//! Whatever happens, no (key, SSRC, index) seals two byte strings. The guard panics in debug builds; here the receivers check too.

#![allow(clippy::cast_possible_truncation)] // Low bits are meant.

use super::testing::*;
use crate::border::*;
use crate::negotiation::Codec;
use crate::random::Random;
use crate::rtcp;
use crate::srtp::SrtpProfile::{AeadAes128Gcm, Aes128CmSha1_80};

/// A viewer that takes both codecs of the publications.
fn viewer(rtx: bool) -> ViewerSpec {
    let mut spec = browser(rtx);
    spec.tracks[1].payloads.push(CodecPayload { codec: Codec::Vp8, payload_type: 98, rtx: rtx.then_some(99) });
    spec
}

/// In the order of the numbers, time does not go back.
fn time_goes_forward(player: &Player) -> bool {
    let mut packets: Vec<(u64, u32)> =
        player.packets.get(&VIDEO_SSRC).into_iter().flatten().map(|p| (p.number, p.timestamp)).collect();
    packets.sort_unstable();
    packets.windows(2).all(|pair| pair[1].1.wrapping_sub(pair[0].1).cast_signed() >= 0)
}

/// How many replays there were. Players fail when they get two different datagrams under one index (`Player::receive`).
fn live_through(seed: u64) -> u64 {
    let mut random = Random::new(seed);
    let mut world = World::new(seed);
    let below = |random: &mut Random, limit: u32| random.word() % limit;
    let first = u64::from(below(&mut random, 70_000));
    let codec = |random: &mut Random| if below(random, 2) == 0 { Codec::H264 } else { Codec::Vp8 };
    let mut video = codec(&mut random);
    let mut publication = world.publish_as(video, first, random.word());
    let mut viewers = vec![];
    let (mut held, with_garbage) = (vec![], seed.is_multiple_of(2));
    for _ in 0..250 {
        match below(&mut random, 100) {
            0..=4 => {
                let profile = if below(&mut random, 2) == 0 { AeadAes128Gcm } else { Aes128CmSha1_80 };
                viewers.push(world.join(viewer(below(&mut random, 2) == 0), profile));
            }
            // The publisher starts again, or another parent takes over; the old one may still talk.
            5..=8 => {
                video = codec(&mut random);
                // Packets of one publication in the other are garbage: good for nonces, but their time means nothing.
                held.retain(|_| with_garbage);
                let old = std::mem::replace(&mut publication, world.publish_as(video, first, random.word()));
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
                world.forwarder.set_destination(viewers[at], None, world.now);
                world.forwarder.set_destination(viewers[at], Some("192.0.2.7:9".parse().unwrap()), world.now);
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
            // What they have seen already, or another key frame.
            51..=53 => {
                for &viewer in &viewers {
                    world.feedback(viewer, |b| rtcp::write_pli(b, 1, VIDEO_SSRC));
                }
            }
            choice => {
                let key = choice > 85;
                let mut frame = match video {
                    Codec::Vp8 => World::vp8_frame(&mut publication, key, (random.word() as u16, random.word() as u8)),
                    _ => World::frame(&mut publication, key, &[300, 302, 301, 90]),
                };
                if below(&mut random, 4) == 0 {
                    let lost = frame.remove(below(&mut random, frame.len() as u32) as usize);
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
    assert!(with_garbage || world.players.values().all(time_goes_forward), "seed {seed}");
    world.players.keys().map(|id| world.forwarder.viewer_stats(*id, world.now).map_or(0, |stats| stats.replays)).sum()
}

#[test]
fn an_index_is_never_sealed_with_two_byte_strings() {
    let replays: u64 = (0..60).map(live_through).sum();
    assert!(replays > 100, "{replays} replays are among it");
}
