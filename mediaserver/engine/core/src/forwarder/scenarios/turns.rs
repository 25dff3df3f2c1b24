//! Turns: what leaves together, and what waits.

use super::super::testing::*;
use super::contiguous;
use crate::border::*;
use crate::egress::Flow;
use crate::pacing::WayOut;
use crate::srtp::SrtpProfile::AeadAes128Gcm;

#[test]
fn a_frame_leaves_as_one_message_and_audio_alone() {
    let mut world = World::new(1);
    let mut publication = world.publish(100, 5000);
    world.join(browser(true), AeadAes128Gcm);
    world.play(&mut publication, 2, 30);
    world.shapes.clear();
    world.play_frame(&mut publication, false);
    let counts: Vec<usize> = world.shapes.iter().map(|(count, _)| *count).collect();
    assert_eq!(counts, [4, 1]);
}

#[test]
fn sound_that_waits_beside_a_frame_leaves_in_the_same_turn_at_the_end_of_its_message() {
    for (name, lengths, expected) in [
        ("of equal packets", &[1000, 1000, 1001][..], &[4][..]),
        ("whose last packet is shorter", &[1000, 1000, 400], &[3, 1]),
    ] {
        let mut world = World::new(1);
        let mut publication = world.publish(100, 5000);
        let viewer = world.join(browser(true), AeadAes128Gcm);
        world.play(&mut publication, 2, 30);
        world.shapes.clear();
        let frame = World::frame(&mut publication, false, lengths);
        world.push(&publication, VIDEO, frame);
        let sound = World::packet(&mut publication, AUDIO, 7, 100, false);
        world.push(&publication, AUDIO, [sound]);
        world.settle();
        let counts: Vec<usize> = world.shapes.iter().map(|(count, _)| *count).collect();
        assert_eq!(counts, expected, "{name}");
        let player = world.player(viewer);
        assert_eq!(
            (player.numbers(AUDIO_SSRC).len(), player.numbers(VIDEO_SSRC).len()),
            (3, 8 + lengths.len()),
            "{name}"
        );
    }
}

#[test]
fn a_paced_frame_is_gathered_and_leaves_after_the_hold() {
    let mut world = World::new(1);
    let mut publication = world.publish(100, 5000);
    let viewer = world.join(browser(true), AeadAes128Gcm);
    let frame = World::frame(&mut publication, true, &[1000, 1000, 1000]);
    for packet in frame.into_iter().take(2) {
        world.push(&publication, VIDEO, [packet]);
        world.settle();
        world.now += ms(2);
    }
    world.wait(ms(15));
    assert_eq!(world.player(viewer).numbers(VIDEO_SSRC), []);
    world.wait(ms(1));
    assert_eq!(world.player(viewer).numbers(VIDEO_SSRC).len(), 2);
}

#[test]
fn sound_that_comes_while_a_frame_is_gathered_leaves_with_it_and_other_sound_at_once() {
    let mut world = World::new(1);
    let mut publication = world.publish(100, 5000);
    let viewer = world.join(browser(true), AeadAes128Gcm);
    world.play(&mut publication, 2, 30);
    let sounds = |world: &World| world.player(viewer).numbers(AUDIO_SSRC).len() - 2;
    let sound = |world: &mut World, publication: &mut Publication| {
        let sound = World::packet(publication, AUDIO, 7, 100, false);
        world.push(publication, AUDIO, [sound]);
        world.settle();
    };
    sound(&mut world, &mut publication);
    assert_eq!(sounds(&world), 1, "before the frame");
    let [first, second, last] = World::frame(&mut publication, false, &[1000; 3]).try_into().unwrap();
    world.push(&publication, VIDEO, [first]);
    sound(&mut world, &mut publication);
    world.wait(ms(5));
    world.push(&publication, VIDEO, [second]);
    world.settle();
    assert_eq!(sounds(&world), 1, "the frame is not complete");
    world.shapes.clear();
    world.push(&publication, VIDEO, [last]);
    world.settle();
    let counts: Vec<usize> = world.shapes.iter().map(|(count, _)| *count).collect();
    assert_eq!((counts, sounds(&world)), (vec![4], 2), "one message");
    // Of the next frame the rest does not come, and of the one after the source's end does.
    let packet = |publication: &mut Publication| World::frame(publication, false, &[1000, 900]).remove(0);
    let begun = packet(&mut publication);
    world.push(&publication, VIDEO, [begun]);
    sound(&mut world, &mut publication);
    world.wait(ms(19));
    assert_eq!(sounds(&world), 2);
    world.wait(ms(1));
    assert_eq!(sounds(&world), 3, "no longer than the frame is held");
    let begun = packet(&mut publication);
    world.push(&publication, VIDEO, [begun]);
    sound(&mut world, &mut publication);
    world.forwarder.end_source(publication.id, world.now);
    world.settle();
    assert_eq!(sounds(&world), 4);
    assert!(contiguous(&world.player(viewer).numbers(AUDIO_SSRC)));
}

#[test]
fn a_full_socket_keeps_the_order_and_a_late_queue_is_cut_to_the_next_key_frame() {
    let mut world = World::new(10);
    let viewer = world.join(browser(true), AeadAes128Gcm);
    let mut publication = world.publish(100, 5000);
    world.play(&mut publication, 10, 30);
    world.room = 0;
    world.play(&mut publication, 4, 30);
    assert_eq!(world.settle(), Flow::Blocked);
    world.room = usize::MAX;
    assert_eq!(world.settle(), Flow::Idle);
    assert_eq!(world.player(viewer).numbers(VIDEO_SSRC).len(), 14 * 4, "133 ms are not too late");
    world.room = 0;
    world.play(&mut publication, 75, 100);
    world.room = usize::MAX;
    for _ in 0..5 {
        world.play_frame(&mut publication, false);
        world.now += ms(33);
    }
    assert_eq!(world.forwarder.viewer_stats(viewer, world.now).unwrap().cut, 1);
    assert!(world.requests() > 0);
    world.play(&mut publication, 10, 30);
    let player = world.player(viewer);
    assert!(contiguous(&player.numbers(VIDEO_SSRC)) && contiguous(&player.numbers(AUDIO_SSRC)));
    let resumed = player.packets[&VIDEO_SSRC].windows(2).max_by_key(|pair| pair[1].at - pair[0].at).unwrap();
    assert_eq!(resumed[1].payload[0], 0x65);
}

#[test]
fn a_large_fan_out_is_spread_by_the_rate_but_ends_in_time() {
    let config = ForwarderConfig { way_out: WayOut::new(10, 1), ..ForwarderConfig::default() };
    let mut world = World::with(15, config);
    for _ in 0..20 {
        world.join(browser(true), AeadAes128Gcm);
    }
    let mut publication = world.publish(100, 5000);
    let frame = World::frame(&mut publication, true, &[1000, 1000, 1000]);
    world.push(&publication, VIDEO, frame);
    assert_eq!(world.settle(), Flow::Paced);
    let served = |world: &World| world.players.values().filter(|p| p.numbers(VIDEO_SSRC).len() == 3).count();
    let at_once = served(&world);
    assert!((1..5).contains(&at_once), "{at_once}");
    world.wait(ms(4));
    let later = served(&world);
    assert!(later > at_once && later < 20, "{later}");
    world.wait(ms(4));
    assert_eq!(served(&world), 20);
}
