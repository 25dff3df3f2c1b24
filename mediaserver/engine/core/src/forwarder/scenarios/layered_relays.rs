//! Another node that pulls a stream with layers: each apart, those that somebody watches, each from its newest key frame.

#![allow(clippy::cast_possible_truncation)] // Test data.

use super::super::testing::*;
use super::contiguous;
use super::layers::{FRAME, LAYERS, Simulcast, seen, viewer_spec};
use crate::border::*;
use crate::rtcp;
use crate::srtp::SrtpProfile::AeadAes128Gcm;

/// A node that has a track for each layer.
pub fn relay_spec() -> ViewerSpec {
    let whole = viewer_spec();
    let layer = |at: u32| ViewerTrack {
        ssrc: VIDEO_SSRC + at,
        rtx_ssrc: Some(RTX_SSRC + at),
        rid: Some(LAYERS[at as usize].0.to_owned()),
        ..whole.tracks[1].clone()
    };
    let tracks = std::iter::once(whole.tracks[0].clone()).chain((0..3).map(layer)).collect();
    ViewerSpec { tracks, relay: true, ..whole }
}

#[test]
fn another_node_begins_with_each_layers_newest_key_frame_and_the_publisher_is_asked_for_none() {
    let mut world = World::new(58);
    let mut publication = Simulcast::publish(&mut world, &[0, 1, 2], 11, SourceKind::Publisher);
    let _witness = world.join(viewer_spec(), AeadAes128Gcm);
    publication.live(&mut world, 100);
    for at in 0..3 {
        publication.key[at] = true;
        publication.live(&mut world, 5);
    }
    let relay = world.join(relay_spec(), AeadAes128Gcm);
    let joined = world.now;
    publication.live(&mut world, 30);
    for layer in 0..3 {
        let packets = &world.player(relay).packets[&(VIDEO_SSRC + layer)];
        assert_eq!(
            (packets[0].payload[0], packets[0].payload[6] & 1),
            (0x90, 0),
            "layer {layer} begins at a key frame"
        );
        // In the order in which they came, four times as fast.
        assert!(packets[0].at - joined < FRAME * (1 + 5 * layer / 4 + 1), "layer {layer}");
        // Five, ten and fifteen frames old: all of them, and those that came since.
        assert_eq!(packets.len(), 2 * (30 + 15 - 5 * layer as usize), "layer {layer}");
        assert!(contiguous(&world.player(relay).numbers(VIDEO_SSRC + layer)));
        assert!(!packets.windows(2).any(|pair| pair[1].timestamp.wrapping_sub(pair[0].timestamp).cast_signed() < 0));
        assert!(world.player(relay).last_report(VIDEO_SSRC + layer).is_some());
    }
    assert_eq!(publication.asked, [0; 3]);
}

#[test]
fn of_a_layer_whose_key_frame_is_too_old_another_node_gets_a_new_one_while_it_catches_up_with_the_others() {
    let mut world = World::new(59);
    let mut publication = Simulcast::publish(&mut world, &[0, 1, 2], 12, SourceKind::Publisher);
    let _witness = world.join(viewer_spec(), AeadAes128Gcm);
    publication.live(&mut world, 100);
    (publication.key[1], publication.key[2]) = (true, true);
    publication.live(&mut world, 40);
    let before = publication.asked.clone();
    let relay = world.join(relay_spec(), AeadAes128Gcm);
    let joined = world.now;
    publication.live(&mut world, 30);
    let began = |layer: u32| world.player(relay).packets[&(VIDEO_SSRC + layer)][0].at - joined;
    assert!(began(1) < FRAME && began(2) < FRAME);
    assert!(began(0) < 3 * FRAME, "{:?}", began(0));
    assert_eq!(publication.asked, [before[0] + 1, before[1], before[2]]);
    for layer in 0..3 {
        assert!(contiguous(&world.player(relay).numbers(VIDEO_SSRC + layer)), "layer {layer}");
    }
}

#[test]
fn another_node_gets_every_layer_apart_and_none_that_it_has_paused() {
    let mut world = World::new(55);
    let mut publication = Simulcast::publish(&mut world, &[0, 1, 2], 8, SourceKind::Publisher);
    let relay = world.join(relay_spec(), AeadAes128Gcm);
    publication.live(&mut world, 30);
    let count = |world: &World, layer: u32| world.player(relay).numbers(VIDEO_SSRC + layer).len();
    for layer in 0..3 {
        assert!(count(&world, layer) >= 56, "layer {layer}");
        assert!(contiguous(&world.player(relay).numbers(VIDEO_SSRC + layer)));
    }
    let before = count(&world, 0);
    for _ in 0..2 {
        world.feedback(relay, |b| rtcp::write_pause(b, 1, VIDEO_SSRC, true, 1));
        publication.live(&mut world, 30);
    }
    assert_eq!(count(&world, 0), before, "paused");
    world.feedback(relay, |b| rtcp::write_pause(b, 1, VIDEO_SSRC, false, 2));
    publication.live(&mut world, 30);
    let packets = &world.player(relay).packets[&VIDEO_SSRC];
    assert!(packets.len() > before + 50 && packets[before].payload[6] & 1 == 0, "from a key frame on");
    assert!(contiguous(&world.player(relay).numbers(VIDEO_SSRC)));
    // A viewer that is no node has no say in that.
    let mut stranger = relay_spec();
    stranger.relay = false;
    let stranger = world.join(stranger, AeadAes128Gcm);
    world.feedback(stranger, |b| rtcp::write_pause(b, 1, VIDEO_SSRC, true, 1));
    publication.live(&mut world, 30);
    assert!(world.player(stranger).numbers(VIDEO_SSRC).len() > 50);
}

#[test]
fn of_another_node_only_the_layers_that_somebody_watches_are_wanted() {
    let mut world = World::new(56);
    let mut publication = Simulcast::publish(&mut world, &[0, 1, 2], 9, SourceKind::Relay);
    let first = world.join(viewer_spec(), AeadAes128Gcm);
    let requests = |world: &mut World| -> Vec<(usize, bool)> {
        std::iter::from_fn(|| world.forwarder.poll_layer_request())
            .map(|request| (request.track, request.wanted))
            .collect()
    };
    publication.live(&mut world, 20);
    assert_eq!(requests(&mut world), [], "all, until they are known");
    publication.live(&mut world, 20);
    assert_eq!(requests(&mut world), [(2, false), (3, false)]);
    (publication.sent[1], publication.sent[2]) = (false, false);
    publication.live(&mut world, 60);
    let second = world.join(viewer_spec(), AeadAes128Gcm);
    world.forwarder.choose_layer(second, Some("l"), world.now);
    publication.live(&mut world, 5);
    assert_eq!(requests(&mut world), [(3, true)]);
    (publication.sent[2], publication.key[2]) = (true, true);
    publication.live(&mut world, 60);
    assert_eq!((seen(&world, first).last(), seen(&world, second).last()), (Some(&0), Some(&2)));
    world.forwarder.remove_viewer(first, true, world.now);
    publication.live(&mut world, 10);
    assert_eq!(requests(&mut world), [(1, false)]);
    world.forwarder.remove_viewer(second, true, world.now);
    publication.live(&mut world, 10);
    assert_eq!(requests(&mut world), [], "the next viewer may be near");
}

#[test]
fn a_layer_that_another_node_sends_late_is_looked_at_before_it_is_done_without() {
    let mut world = World::new(57);
    let mut publication = Simulcast::publish(&mut world, &[0, 1, 2], 10, SourceKind::Relay);
    publication.sent = vec![false, false, true];
    let viewer = world.join(viewer_spec(), AeadAes128Gcm);
    publication.live(&mut world, 150);
    assert_eq!(world.forwarder.poll_layer_request(), None, "what has never come costs nothing");
    publication.sent = vec![true; 3];
    publication.key = vec![true; 3];
    publication.live(&mut world, 150);
    assert_eq!(seen(&world, viewer).last(), Some(&0));
}
