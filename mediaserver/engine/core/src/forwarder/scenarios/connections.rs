//! Viewers on TCP connections that do not take everything at once.

use super::*;
use crate::tcp;

/// A viewer on a connection, who has had a key frame, and what is published.
fn scene() -> (World, Publication, ViewerId) {
    let mut world = World::new(1);
    let mut publication = world.publish(100, 5000);
    let viewer = world.join(browser(true), AeadAes128Gcm);
    let connection = tcp::named(16, "192.0.2.1:5000".parse().unwrap());
    world.forwarder.set_destination(viewer, Some(connection), world.now);
    world.play(&mut publication, 10, 100);
    (world, publication, viewer)
}

fn counts(world: &World, viewer: ViewerId) -> (usize, usize) {
    let player = world.player(viewer);
    (player.numbers(VIDEO_SSRC).len(), player.numbers(AUDIO_SSRC).len())
}

#[test]
fn video_waits_for_a_connection_that_is_behind_and_audio_goes_on() {
    let (mut world, mut publication, viewer) = scene();
    assert_eq!(counts(&world, viewer), (40, 10));
    world.behind = true;
    world.play_frame(&mut publication, false);
    world.now += ms(20);
    assert_eq!(counts(&world, viewer), (40, 10), "the audio after it, too, for order's sake");
    world.behind = false;
    world.forwarder.on_writable(viewer);
    world.settle();
    assert_eq!(counts(&world, viewer), (44, 11));
    assert!(contiguous(&world.player(viewer).numbers(VIDEO_SSRC)));
}

#[test]
fn who_is_behind_for_long_is_cut_to_the_next_key_frame_and_hears_audio_meanwhile() {
    let (mut world, mut publication, viewer) = scene();
    world.behind = true;
    world.live(&mut publication, 10..40, 100);
    let (video, audio) = counts(&world, viewer);
    assert_eq!(video, 40);
    assert!(audio >= 30, "{audio} packets of audio");
    world.behind = false;
    world.forwarder.on_writable(viewer);
    world.live(&mut publication, 40..45, 100);
    assert_eq!(counts(&world, viewer).0, 40, "no picture before a key frame");
    world.live(&mut publication, 0..5, 100);
    let player = world.player(viewer);
    assert_eq!(player.packets[&VIDEO_SSRC][40].payload[0], 0x65);
    assert!(contiguous(&player.numbers(VIDEO_SSRC)), "what was never sent has used no number");
    assert_eq!(world.forwarder.viewer_stats(viewer, world.now).unwrap().cut, 1);
}

/// It would be late again, and later with each time.
#[test]
fn what_a_connection_was_late_with_is_not_sent_after_all() {
    let (mut world, mut publication, viewer) = scene();
    world.live(&mut publication, 10..13, 100);
    world.play_frame(&mut publication, true);
    let video = counts(&world, viewer).0;
    world.behind = true;
    world.live(&mut publication, 1..8, 100);
    world.behind = false;
    world.forwarder.on_writable(viewer);
    world.live(&mut publication, 8..10, 100);
    assert_eq!(counts(&world, viewer).0, video, "although a key frame is near enough for others to begin with");
    assert!(world.requests() > 0, "a new one is asked for");
}

#[test]
fn after_a_cut_in_the_connection_a_key_frame_is_asked_for_and_waited_for() {
    let (mut world, mut publication, viewer) = scene();
    world.wait(ms(5_000));
    world.requests();
    world.forwarder.on_cut(viewer, world.now);
    world.live(&mut publication, 10..13, 100);
    assert_eq!((counts(&world, viewer).0, world.requests()), (40, 1));
    world.play_frame(&mut publication, true);
    assert_eq!(counts(&world, viewer).0, 44);
}

/// It would turn at full speed.
#[test]
fn a_viewer_that_is_behind_keeps_no_timer_in_the_past() {
    let mut world = World::new(1);
    let mut publication = world.publish(100, 5000);
    world.play(&mut publication, 20, 100);
    let viewer = world.join(browser(true), AeadAes128Gcm);
    let connection = tcp::named(16, "192.0.2.1:5000".parse().unwrap());
    world.forwarder.set_destination(viewer, Some(connection), world.now);
    world.behind = true;
    for _ in 0..50 {
        world.now += ms(7);
        world.settle();
        let next = world.forwarder.next_deadline();
        assert!(next.is_none_or(|at| at > world.now), "a replay that cannot go on");
    }
}
