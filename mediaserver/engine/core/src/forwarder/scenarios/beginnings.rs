//! Where viewers begin when the source's packets come late, leap, or not at all.

use super::super::testing::*;
use super::contiguous;
use crate::border::*;
use crate::rtcp;
use crate::srtp::SrtpProfile::AeadAes128Gcm;
use crate::timeline;

/// A key frame with its parameter sets in a packet of their own.
fn with_parameter_sets(publication: &mut Publication) -> Vec<SourcePacket> {
    let mut packet = |first, len, marker| World::packet(publication, VIDEO, first, len, marker);
    let packets = vec![packet(0x67, 30, false), packet(0x65, 1000, false), packet(0x65, 1000, true)];
    publication.timestamp[VIDEO] = publication.timestamp[VIDEO].wrapping_add(3000);
    packets
}

fn firsts(world: &World, viewer: ViewerId) -> Vec<u8> {
    world.player(viewer).packets[&VIDEO_SSRC].iter().map(|packet| packet.payload[0]).collect()
}

#[test]
fn who_began_with_a_key_frame_whose_parameter_sets_came_late_gets_it_again_whole() {
    let mut world = World::new(61);
    let witness = world.join(browser(true), AeadAes128Gcm);
    let mut publication = world.publish(100, 5000);
    world.live(&mut publication, 0..30, 30);
    let mut key_frame = with_parameter_sets(&mut publication);
    let parameter_sets = key_frame.remove(0);
    world.push(&publication, VIDEO, key_frame);
    world.wait(ms(10));
    let viewer = world.join(browser(true), AeadAes128Gcm);
    world.live(&mut publication, 1..4, 30);
    assert_eq!(firsts(&world, viewer), [&[0x65; 2][..], &[0x41; 12]].concat(), "nothing of it can be decoded");
    let before = world.player(witness).numbers(VIDEO_SSRC).len();
    world.push(&publication, VIDEO, [parameter_sets]);
    world.wait(ms(10));
    let whole = [&[0x67][..], &[0x65; 2], &[0x41; 12]].concat();
    assert_eq!(firsts(&world, viewer)[14..], whole);
    assert!(contiguous(&world.player(viewer).numbers(VIDEO_SSRC)));
    let packets = &world.player(viewer).packets[&VIDEO_SSRC];
    let back = |pair: &[Received]| pair[1].timestamp.wrapping_sub(pair[0].timestamp).cast_signed() < 0;
    assert!(!packets.windows(2).any(back), "time does not go back");
    assert_eq!(firsts(&world, witness)[before..], [0x67], "who had all before gets what was missing, once");
    let late = world.join(browser(true), AeadAes128Gcm);
    world.wait(ms(200));
    assert_eq!(firsts(&world, late), whole);
    world.live(&mut publication, 4..8, 30);
    for viewer in [witness, viewer, late] {
        assert!(firsts(&world, viewer).ends_with(&[0x41; 16]));
        let mut numbers = world.player(viewer).numbers(VIDEO_SSRC);
        numbers.sort_unstable();
        assert!(contiguous(&numbers));
    }
    let stats = world.forwarder.source_stats(publication.id, world.now).unwrap();
    assert_eq!(stats.key_frames, 2, "it is one key frame");
}

#[test]
fn a_key_frame_that_comes_backwards_is_not_sent_as_often_as_it_has_packets() {
    let mut world = World::new(66);
    let mut publication = world.publish(100, 5000);
    let viewer = world.join(browser(true), AeadAes128Gcm);
    world.live(&mut publication, 0..5, 30);
    let slices = World::frame(&mut publication, true, &[1000; 40]);
    let before = world.player(viewer).numbers(VIDEO_SSRC).len();
    for slice in slices.into_iter().rev() {
        world.push(&publication, VIDEO, [slice]);
        world.wait(ms(21));
    }
    let sent = world.player(viewer).numbers(VIDEO_SSRC).len() - before;
    assert!((40..200).contains(&sent), "{sent}");
    let newcomer = world.join(browser(true), AeadAes128Gcm);
    world.live(&mut publication, 1..9, 30);
    for viewer in [viewer, newcomer] {
        assert!(firsts(&world, viewer).ends_with(&[0x41; 32]));
    }
}

#[test]
fn a_key_frame_that_is_older_than_the_newest_begins_nothing() {
    let mut world = World::new(62);
    let mut publication = world.publish(100, 5000);
    world.live(&mut publication, 0..5, 30);
    let mut old = with_parameter_sets(&mut publication);
    let late = old.remove(0);
    world.push(&publication, VIDEO, old);
    world.live(&mut publication, 0..5, 30);
    let viewer = world.join(browser(true), AeadAes128Gcm);
    world.wait(ms(200));
    let before = firsts(&world, viewer);
    world.push(&publication, VIDEO, [late]);
    world.wait(ms(50));
    assert_eq!(firsts(&world, viewer), before);
}

#[test]
fn a_silent_source_is_not_asked_for_key_frames_and_is_at_once_when_it_is_back() {
    let mut world = World::new(63);
    let viewer = world.join(browser(true), AeadAes128Gcm);
    let mut publication = world.publish(100, 5000);
    world.live(&mut publication, 0..60, 60);
    let misses = |world: &mut World| {
        world.feedback(viewer, |b| rtcp::write_pli(b, 1, VIDEO_SSRC));
        world.wait(ms(600));
        world.requests()
    };
    let asked: usize = (0..5).map(|_| misses(&mut world)).sum();
    assert!((1..=4).contains(&asked), "{asked}");
    world.wait(ms(500));
    let _ = world.requests();
    assert_eq!((0..10).map(|_| misses(&mut world)).sum::<usize>(), 0, "nobody is there");
    world.play_frame(&mut publication, false);
    world.wait(ms(1));
    assert_eq!(world.requests(), 1);
    world.play_frame(&mut publication, true);
    assert_eq!(firsts(&world, viewer).last(), Some(&0x65));
}

#[test]
fn a_source_whose_numbers_and_timestamps_begin_anew_goes_on_in_the_viewers_time() {
    let mut world = World::new(64);
    let viewer = world.join(browser(true), AeadAes128Gcm);
    let mut publication = world.publish(100, 5000);
    world.live(&mut publication, 0..30, 30);
    // As after another SSRC in the same session.
    publication.sequence = [100_000; 2];
    publication.timestamp[VIDEO] = publication.timestamp[VIDEO].wrapping_sub(1_000_000_000);
    world.live(&mut publication, 0..30, 30);
    let packets = &world.player(viewer).packets[&VIDEO_SSRC];
    assert!(contiguous(&world.player(viewer).numbers(VIDEO_SSRC)));
    for pair in packets.windows(2) {
        let media = f64::from(pair[1].timestamp.wrapping_sub(pair[0].timestamp)) / 90_000.0;
        let wall = (pair[1].at - pair[0].at).as_secs_f64();
        assert!((media - wall).abs() < 0.05, "{media} {wall}");
    }
    let (ntp, timestamp) = world.player(viewer).last_report(VIDEO_SSRC).unwrap();
    let last = packets.last().unwrap();
    let since = (timeline::ntp(world.forwarder.clock, last.at).wrapping_sub(ntp) * 90_000) >> 32;
    let media = u64::from(last.timestamp.wrapping_sub(timestamp));
    assert!(since.abs_diff(media) < 9_000, "the report is of the new time: {since} {media}");
}

#[test]
fn an_older_source_that_takes_over_from_a_silent_one_is_asked() {
    let mut world = World::new(65);
    let viewer = world.join(browser(true), AeadAes128Gcm);
    let (mut older, mut newer) = (world.publish(100, 5000), world.publish(100, 5000));
    world.live(&mut older, 0..10, 30);
    world.live(&mut newer, 0..10, 30);
    world.live(&mut older, 1..120, 1000);
    world.forwarder.end_source(newer.id, world.now);
    let _ = world.requests();
    world.live(&mut older, 1..2, 1000);
    world.feedback(viewer, |b| rtcp::write_pli(b, 1, VIDEO_SSRC));
    world.wait(ms(10));
    assert_eq!(world.requests(), 1);
}
