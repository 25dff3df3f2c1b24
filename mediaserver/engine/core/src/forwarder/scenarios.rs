//! What viewers get, told as short stories.

#![allow(clippy::cast_possible_truncation)] // Low bits are meant.

mod beginnings;
mod connections;
mod continuity;
mod layered_relays;
pub mod layers;
mod reports;
mod start;
mod turns;

use std::time::Duration;

use super::testing::*;
use crate::border::*;
use crate::rtcp::{self, ReportBlock};
use crate::srtp::SrtpProfile::{AeadAes128Gcm, AeadAes256Gcm, Aes128CmSha1_80};

fn contiguous(numbers: &[u64]) -> bool {
    numbers.windows(2).all(|pair| pair[0] + 1 == pair[1])
}

#[test]
fn a_viewer_starts_with_the_first_packet_of_a_key_frame_and_gets_contiguous_numbers() {
    for profile in [AeadAes128Gcm, AeadAes256Gcm, Aes128CmSha1_80] {
        let mut world = World::new(1);
        let mut publication = world.publish(100, 5000);
        world.play(&mut publication, 70, 90);
        let viewer = world.join(browser(true), profile);
        world.play_frame(&mut publication, false);
        assert_eq!(world.player(viewer).numbers(VIDEO_SSRC), [], "no key frame that is near enough");
        assert_eq!(world.player(viewer).numbers(AUDIO_SSRC).len(), 1, "audio at once");
        world.play(&mut publication, 40, 30);
        let player = world.player(viewer);
        let video = &player.packets[&VIDEO_SSRC];
        assert_eq!(video[0].payload[0], 0x65);
        assert!(contiguous(&player.numbers(VIDEO_SSRC)) && contiguous(&player.numbers(AUDIO_SSRC)));
        assert_eq!(video.len(), 40 * 4);
        assert!((1..=32_767).contains(&video[0].number));
        assert_eq!(video.iter().map(|p| p.payload.len()).take(4).collect::<Vec<_>>(), [1000, 1000, 1001, 400]);
        assert_eq!(video.iter().map(|p| p.padding).take(4).collect::<Vec<_>>(), [1, 1, 0, 0]);
        assert!(
            video
                .windows(2)
                .all(|pair| pair[1].timestamp.wrapping_sub(pair[0].timestamp) == if pair[0].marker { 3000 } else { 0 })
        );
    }
}

#[test]
fn a_viewer_may_come_before_its_stream_and_asks_for_a_key_frame_once() {
    let mut world = World::new(1);
    let viewer = world.join(browser(true), AeadAes128Gcm);
    world.wait(ms(500));
    assert_eq!(world.requests(), 0);
    let mut publication = world.publish(100, 5000);
    for _ in 0..20 {
        world.play_frame(&mut publication, false);
        world.now += ms(33);
    }
    assert_eq!(world.requests(), 1);
    world.play(&mut publication, 60, 30);
    assert_eq!((world.requests(), world.player(viewer).numbers(VIDEO_SSRC).len()), (0, 240));
}

#[test]
fn reports_come_with_the_first_packet_then_quickly_then_each_second_always_beside_media() {
    let mut world = World::new(5);
    let viewer = world.join(browser(true), AeadAes128Gcm);
    let mut publication = world.publish(100, 5000);
    let begin = world.now;
    for at in 0..90 {
        world.play_frame(&mut publication, at % 30 == 0);
        world.wait(Duration::from_nanos(33_333_333));
    }
    let player = world.player(viewer);
    let mut times: Vec<u128> = player
        .reports
        .iter()
        .filter(|(_, report)| matches!(report, rtcp::Report::Sender { ssrc: VIDEO_SSRC, .. }))
        .map(|(at, _)| (*at - begin).as_millis())
        .collect();
    // Video's first and audio's first packet bring one each.
    times.dedup();
    assert_eq!(times, [0, 233, 466, 699, 933, 1166, 2199], "with the first frame after it is due");
}

#[test]
fn what_is_missing_is_repaired_as_rtx_once_per_round_trip() {
    let mut world = World::new(6);
    let viewer = world.join(browser(true), AeadAes128Gcm);
    let mut publication = world.publish(100, 5000);
    world.play(&mut publication, 20, 30);
    let missing = world.player(viewer).packets[&VIDEO_SSRC][5].clone();
    for _ in 0..2 {
        world.feedback(viewer, |b| rtcp::write_nack(b, 1, VIDEO_SSRC, &[missing.number as u16]));
        world.settle();
    }
    let repairs = &world.player(viewer).packets[&RTX_SSRC];
    assert_eq!(repairs.len(), 1);
    assert_eq!(repairs[0].payload, [&(missing.number as u16).to_be_bytes()[..], &missing.payload].concat());
    assert_eq!((repairs[0].timestamp, repairs[0].padding), (missing.timestamp, 0));
    let stats = world.forwarder.viewer_stats(viewer, world.now).unwrap();
    assert_eq!((stats.nacks, stats.repaired), (2, 1));
}

#[test]
fn without_rtx_a_repair_is_the_same_bytes_and_only_without_transport_cc() {
    for (profile, transport_cc) in [(AeadAes128Gcm, false), (Aes128CmSha1_80, false), (AeadAes128Gcm, true)] {
        let mut world = World::new(7);
        let mut spec = browser(false);
        if transport_cc {
            spec.tracks[1].extensions.insert(crate::negotiation::Extension::TransportCc, 3);
        }
        let viewer = world.join(spec, profile);
        let mut publication = world.publish(100, 5000);
        world.play(&mut publication, 20, 30);
        let number = world.player(viewer).numbers(VIDEO_SSRC)[5] as u16;
        let before = world.forwarder.totals().packets;
        world.feedback(viewer, |b| rtcp::write_nack(b, 1, VIDEO_SSRC, &[number]));
        world.settle();
        assert_eq!(world.forwarder.totals().packets - before, u64::from(!transport_cc));
    }
}

#[test]
fn every_datagram_to_a_viewer_is_counted_reports_and_repairs_too() {
    for profile in [AeadAes128Gcm, Aes128CmSha1_80] {
        let mut world = World::new(9);
        let viewer = world.join(browser(true), profile);
        let mut publication = world.publish(100, 5000);
        world.live(&mut publication, 0..60, 30);
        let number = world.player(viewer).numbers(VIDEO_SSRC)[5] as u16;
        world.feedback(viewer, |b| rtcp::write_nack(b, 1, VIDEO_SSRC, &[number]));
        world.settle();
        let (player, totals) = (world.player(viewer), world.forwarder.totals());
        assert!(!player.reports.is_empty() && player.packets.contains_key(&RTX_SSRC));
        assert_eq!((totals.packets, totals.bytes), player.taken);
    }
}

#[test]
fn a_gap_of_the_source_stays_a_gap_and_the_late_repair_fits_in_also_after_an_outage() {
    for outage in [0, 5000] {
        let mut world = World::new(8);
        let viewer = world.join(browser(true), AeadAes128Gcm);
        let mut publication = world.publish(100, 5000);
        world.play(&mut publication, 2, 30);
        world.wait(ms(outage));
        let mut frame = World::frame(&mut publication, false, &[1000, 1000, 1000, 400]);
        let late = frame.remove(0);
        world.push(&publication, VIDEO, frame);
        world.wait(ms(21));
        let before = world.player(viewer).numbers(VIDEO_SSRC);
        assert_eq!(before[before.len() - 4] + 2, before[before.len() - 3]);
        world.push(&publication, VIDEO, [late.clone(), late]);
        world.settle();
        let after = world.player(viewer).numbers(VIDEO_SSRC);
        assert_eq!(after[before.len()..], [before[before.len() - 4] + 1], "after {outage} ms");
    }
}

#[test]
fn a_key_frame_whose_beginning_came_late_is_still_a_beginning() {
    let mut world = World::new(9);
    let viewer = world.join(browser(true), AeadAes128Gcm);
    let mut publication = world.publish(100, 5000);
    let mut frame = World::frame(&mut publication, false, &[1000, 1000, 1000, 400]);
    let mut first = frame.remove(0);
    let mut payload = first.payload.to_vec();
    payload[0] = 0x65;
    first.payload = payload.into();
    // Something must have been heard before for the first packet to be late.
    let earlier = SourcePacket { sequence: 99, timestamp: 4000, ..frame[0].clone() };
    world.push(&publication, VIDEO, [earlier]);
    world.push(&publication, VIDEO, frame);
    world.wait(ms(6));
    assert_eq!(world.player(viewer).numbers(VIDEO_SSRC), []);
    world.push(&publication, VIDEO, [first]);
    world.settle();
    let player = world.player(viewer);
    assert_eq!(player.packets[&VIDEO_SSRC][0].payload[0], 0x65);
    assert_eq!(player.packets[&VIDEO_SSRC].len(), 4);
    assert!(contiguous(&player.numbers(VIDEO_SSRC)));
}

#[test]
fn plis_of_a_viewer_count_once_in_two_seconds_and_not_after_a_key_frame() {
    let mut world = World::new(11);
    let viewer = world.join(browser(true), AeadAes128Gcm);
    let mut publication = world.publish(100, 5000);
    world.play(&mut publication, 10, 300);
    let _ = world.requests();
    let pli = |world: &mut World| {
        world.feedback(viewer, |b| rtcp::write_pli(b, 1, VIDEO_SSRC));
        world.settle();
        world.requests()
    };
    assert_eq!(pli(&mut world), 0, "a key frame 333 ms ago");
    for _ in 0..40 {
        world.play_frame(&mut publication, false);
        world.now += ms(33);
    }
    assert_eq!((pli(&mut world), pli(&mut world)), (1, 0));
    assert_eq!(world.forwarder.viewer_stats(viewer, world.now).unwrap().plis, 3);
}

#[test]
fn receiver_reports_give_round_trip_and_loss() {
    let mut world = World::new(12);
    let viewer = world.join(browser(true), AeadAes128Gcm);
    let mut publication = world.publish(100, 5000);
    world.play_frame(&mut publication, true);
    let (ntp, _) = world.player(viewer).last_report(VIDEO_SSRC).unwrap();
    world.wait(ms(150));
    let block =
        ReportBlock { ssrc: VIDEO_SSRC, fraction_lost: 64, last_report: (ntp >> 16) as u32, delay: 65_536 / 10 };
    world.feedback(viewer, |b| rtcp::write_receiver_report(b, 1, block, 0));
    let stats = world.forwarder.viewer_stats(viewer, world.now).unwrap();
    assert_eq!(stats.loss, Some(0.25));
    assert!((49..=51).contains(&stats.rtt.unwrap().as_millis()), "{stats:?}");
    world.forwarder.on_viewer_datagram(viewer, b"\x80\xc9 not of this session at all, but long enough", world.now);
    assert_eq!(world.forwarder.totals().rejected, 1);
}

#[test]
fn a_leaving_viewer_hears_bye_and_an_unproven_address_hears_nothing() {
    let mut world = World::new(13);
    let viewer = world.join(browser(true), AeadAes128Gcm);
    let mut publication = world.publish(100, 5000);
    world.play(&mut publication, 3, 30);
    world.forwarder.set_destination(viewer, None, world.now);
    world.play(&mut publication, 70, 90);
    assert_eq!(world.player(viewer).numbers(VIDEO_SSRC).len(), 12);
    world.forwarder.set_destination(viewer, Some("192.0.2.9:1".parse().unwrap()), world.now);
    world.play(&mut publication, 3, 30);
    assert_eq!(world.player(viewer).numbers(VIDEO_SSRC).len(), 24);
    assert!(contiguous(&world.player(viewer).numbers(VIDEO_SSRC)));
    assert_eq!(world.forwarder.viewer_stats(viewer, world.now).unwrap().cut, 0);
    world.forwarder.remove_viewer(viewer, true, world.now);
    world.settle();
    assert!(world.player(viewer).bye);
    world.forwarder.end_source(publication.id, world.now);
    assert_eq!(world.forwarder.stream_stats(world.now), []);
    world.wait(ms(1000));
    assert_eq!(world.forwarder.next_deadline(), None);
}

#[test]
fn a_publisher_whose_profile_changes_with_every_packet_is_told_of_now_and_then() {
    let mut world = World::new(15);
    let mut publication = world.publish(100, 5000);
    for at in 0..180_u8 {
        let mut frame = World::frame(&mut publication, at == 0, &[100]);
        frame[0].payload = vec![0x67, 0x42, at % 2, 0x1f].into();
        world.push(&publication, VIDEO, frame);
        world.wait(Duration::from_nanos(33_333_333));
    }
    let told = world.events().into_iter().filter(|event| matches!(event, ForwarderEvent::Tracks { .. })).count();
    assert!((1..=3).contains(&told), "{told} times in 6 s");
}

#[test]
fn events_tell_activity_silence_and_what_the_sps_says() {
    let mut world = World::new(14);
    let mut publication = world.publish(100, 5000);
    let mut frame = World::frame(&mut publication, true, &[100]);
    let mut payload = frame[0].payload.to_vec();
    payload[..4].copy_from_slice(&[0x67, 0x64, 0x00, 0x1f]);
    frame[0].payload = payload.into();
    world.push(&publication, VIDEO, frame);
    let source = publication.id;
    let events = world.events();
    assert_eq!(events[0], ForwarderEvent::Active { source });
    let ForwarderEvent::Tracks { tracks, .. } = &events[1] else { panic!("{events:?}") };
    assert_eq!(tracks[VIDEO].fmtp, "profile-level-id=64001f");
    world.wait(ms(2999));
    assert_eq!(world.events(), []);
    world.wait(ms(1));
    assert_eq!(world.events(), [ForwarderEvent::Silent { source }]);
    world.play_frame(&mut publication, true);
    assert_eq!(world.events(), [ForwarderEvent::Active { source }]);
    let stats = world.forwarder.stream_stats(world.now);
    assert_eq!(
        (stats[0].source, stats[0].incarnation.as_deref(), stats[0].key_frames),
        (Some(source), Some("incarnation 1"), 2)
    );
}

#[test]
fn garbage_of_any_kind_is_passed_over() {
    let mut random = crate::random::Random::new(16);
    let mut world = World::new(16);
    let viewer = world.join(browser(true), AeadAes128Gcm);
    let mut publication = world.publish(100, 5000);
    world.play(&mut publication, 3, 30);
    for round in 0..5000 {
        let mut bytes: Vec<u8> = (0..random.word() % 60).map(|_| random.word() as u8).collect();
        if let Some(first) = bytes.first_mut().filter(|_| round % 2 == 0) {
            *first = 0x80 | *first & 0x3f;
        }
        if let Some(second) = bytes.get_mut(1).filter(|_| round % 4 == 0) {
            *second = 200 + *second % 8;
        }
        let _ = rtcp::parse(&bytes);
        let _ = crate::rtp::RtpView::parse(&bytes).map(|view| view.extensions().count());
        for codec in crate::negotiation::Codec::ALL {
            let _ = crate::key_frame::begins(codec, &bytes);
            if let Some(place) = crate::picture::Place::find(codec, &bytes) {
                let (picture, mut moved) = (place.read(&bytes), bytes.clone());
                place.shift(crate::picture::Shift::between(picture, picture), &mut moved);
            }
        }
        let _ = crate::key_frame::profile_level_id(&bytes);
        world.forwarder.on_viewer_datagram(viewer, &bytes, world.now);
        let packet =
            SourcePacket { payload: bytes.into(), ..World::packet(&mut publication, VIDEO, 0, 9, round % 3 == 0) };
        world.push(&publication, VIDEO, [packet]);
        world.settle();
    }
    assert_eq!(world.forwarder.totals().rejected, 5000);
}

#[test]
fn a_viewer_that_loses_most_for_ten_seconds_is_told_of_and_a_relay_never() {
    for (relay, fractions, expected) in [
        (false, [100; 12], true),
        (false, [100, 100, 100, 100, 100, 100, 76, 100, 100, 100, 100, 100], false),
        (true, [100; 12], false),
    ] {
        let mut world = World::new(14);
        let viewer = world.join(ViewerSpec { relay, ..browser(true) }, AeadAes128Gcm);
        let mut publication = world.publish(100, 5000);
        world.play(&mut publication, 3, 30);
        world.events();
        for fraction_lost in fractions {
            world.wait(ms(1000));
            // Audio has too few packets to tell.
            for (ssrc, fraction_lost) in [(VIDEO_SSRC, fraction_lost), (AUDIO_SSRC, 0)] {
                let block = ReportBlock { ssrc, fraction_lost, last_report: 0, delay: 0 };
                world.feedback(viewer, |b| rtcp::write_receiver_report(b, 1, block, 0));
            }
        }
        let told = world.events().contains(&ForwarderEvent::TooLossy { viewer });
        assert_eq!(told, expected, "relay: {relay}, {fractions:?}");
    }
}
