//! A mistake of ours in one viewer's turn is that viewer's end, and nobody else's.

use super::super::testing::*;
use super::contiguous;
use crate::border::*;
use crate::negotiation::{Codec, Kind};
use crate::source::Burst;
use crate::srtp::SrtpProfile::AeadAes128Gcm;

/// What no source makes: no packets in it. Only who has the codec looks for them.
fn impossible(source: SourceId, emitted: std::time::Instant) -> Burst {
    Burst {
        source,
        track: VIDEO,
        ordinal: 0,
        kind: Kind::Video,
        codec: Codec::Vp8,
        clock_rate: 90_000,
        packets: vec![],
        follow: vec![],
        starts_key_frame: false,
        bytes: 0,
        emitted,
    }
}

#[test]
fn a_panic_in_a_viewers_turn_is_told_once_and_the_others_play_on() {
    let mut world = World::new(1);
    let mut publication = world.publish(100, 5000);
    let mut both = browser(true);
    both.tracks[1].payloads.push(CodecPayload { codec: Codec::Vp8, payload_type: 100, rtx: None });
    let (broken, well) = (world.join(both, AeadAes128Gcm), world.join(browser(true), AeadAes128Gcm));
    world.play(&mut publication, 10, 30);
    world.events();
    let burst = impossible(publication.id, world.now);
    for (_, stream) in world.forwarder.streams.iter_mut() {
        stream.push(burst.clone(), ms(400));
    }
    world.play(&mut publication, 1, 30);
    assert_eq!(world.events(), [ForwarderEvent::Broken { viewer: broken }]);
    let before = world.player(broken).numbers(VIDEO_SSRC).len();
    world.play(&mut publication, 10, 30);
    assert_eq!(world.events(), []);
    assert_eq!(world.player(broken).numbers(VIDEO_SSRC).len(), before, "it gets nothing any more");
    let numbers = world.player(well).numbers(VIDEO_SSRC);
    assert!(contiguous(&numbers) && numbers.len() >= 20 * 4, "{}", numbers.len());
}
