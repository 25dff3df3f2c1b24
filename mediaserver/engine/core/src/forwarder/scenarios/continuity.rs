//! One source after another: what a viewer sees goes on.

use std::time::Duration;

use super::super::testing::*;
use super::contiguous;
use crate::border::*;
use crate::negotiation::Codec;
use crate::picture;
use crate::srtp::SrtpProfile::AeadAes128Gcm;

#[test]
fn over_a_change_of_incarnation_numbers_go_on_and_timestamps_advance_by_the_time_that_passed() {
    let mut world = World::new(3);
    let mut first = world.publish(65_000, u32::MAX - 100_000);
    let viewer = world.join(browser(true), AeadAes128Gcm);
    world.play(&mut first, 60, 30);
    world.wait(ms(2000));
    let mut second = world.publish(7, 123);
    world.play_frame(&mut second, false);
    world.now += ms(100);
    world.play(&mut second, 30, 30);
    // The old source is still heard, but no longer on air.
    world.play_frame(&mut first, true);
    let player = world.player(viewer);
    for (ssrc, rate, extra) in [(VIDEO_SSRC, 90_000.0, 0.1), (AUDIO_SSRC, 48_000.0, 0.0)] {
        let packets = &player.packets[&ssrc];
        assert!(contiguous(&player.numbers(ssrc)), "{ssrc}");
        let jump = packets.windows(2).max_by_key(|pair| pair[1].at - pair[0].at).unwrap();
        let media = f64::from(jump[1].timestamp.wrapping_sub(jump[0].timestamp)) / rate;
        let wall = (jump[1].at - jump[0].at).as_secs_f64();
        assert!((2.0 + extra..2.2).contains(&wall) && (media - wall).abs() < 0.001, "{ssrc}: {media} {wall}");
    }
    assert_eq!(player.packets[&VIDEO_SSRC].len(), (60 + 30) * 4);
}

#[test]
fn sender_reports_of_both_tracks_agree_within_a_millisecond_over_changes_and_wraps() {
    let mut world = World::new(4);
    let viewer = world.join(browser(true), AeadAes128Gcm);
    for round in 0..2_u64 {
        // Audio and video of one capture time bear these timestamps; video is sent 40 ms late.
        let mut publication = world.publish(10, u32::MAX - 50_000);
        let (audio_zero, video_zero) = (publication.timestamp[AUDIO], publication.timestamp[VIDEO]);
        let ntp_zero = (3_000_000_000 + round * 1000) << 32;
        let begin = world.now;
        for at in 0..90_u64 {
            world.play_frame(&mut publication, at % 30 == 0);
            if at % 30 == 5 {
                let since = world.now - begin;
                let ntp = ntp_zero + ((since.as_nanos() << 32) / 1_000_000_000) as u64;
                for (track, zero, rate) in [(AUDIO, audio_zero, 48_000), (VIDEO, video_zero, 90_000)] {
                    let ticks = (since.as_nanos() * rate / 1_000_000_000) as u32;
                    world.forwarder.on_source_report(publication.id, track, ntp, zero.wrapping_add(ticks), world.now);
                }
            }
            world.now += Duration::from_nanos(33_333_333);
        }
        world.wait(ms(100));
        let player = world.player(viewer);
        let (audio_ntp, audio) = player.last_report(AUDIO_SSRC).unwrap();
        let (video_ntp, video) = player.last_report(VIDEO_SSRC).unwrap();
        assert_eq!(audio_ntp, video_ntp, "one compound packet");
        // Frame `n` of video and packet `n` of audio were captured together: so must the reports say.
        let of = |ssrc: u32| player.packets[&ssrc].last().unwrap().timestamp;
        let ago = |now: u32, then: u32, rate: f64| f64::from(now.wrapping_sub(then).cast_signed()) * 1000.0 / rate;
        let difference = ago(video, of(VIDEO_SSRC), 90_000.0) - ago(audio, of(AUDIO_SSRC), 48_000.0);
        assert!(difference.abs() < 1.0, "round {round}: {difference} ms");
        world.wait(ms(1000));
    }
}

fn play_vp8(world: &mut World, publication: &mut Publication, frames: u16, first: (u16, u8)) {
    for at in 0..frames {
        let picture = (first.0.wrapping_add(at) & 0x7fff, first.1.wrapping_add(u8::try_from(at).unwrap()));
        let frame = World::vp8_frame(publication, at == 0, picture);
        world.push(publication, VIDEO, frame);
        world.settle();
        world.wait(ms(33));
    }
}

fn vp8_viewer() -> ViewerSpec {
    let mut spec = browser(true);
    spec.tracks[1].payloads[0].codec = Codec::Vp8;
    spec
}

#[test]
fn vp8_picture_ids_go_on_over_incarnations_and_repairs_say_the_same() {
    let mut world = World::new(40);
    let viewer = world.join(vp8_viewer(), AeadAes128Gcm);
    let mut first = world.publish_as(Codec::Vp8, 100, 5000);
    play_vp8(&mut world, &mut first, 10, (32_760, 250));
    let mut second = world.publish_as(Codec::Vp8, 7, 123);
    play_vp8(&mut world, &mut second, 10, (4, 4));
    let player = world.player(viewer);
    let pictures: Vec<(u16, u8)> = player.packets[&VIDEO_SSRC]
        .iter()
        .map(|p| (u16::from_be_bytes([p.payload[2] & 0x7f, p.payload[3]]), p.payload[4]))
        .collect();
    let expected: Vec<(u16, u8)> = (0..20_u16)
        .flat_map(|at| [((32_760 + at) & 0x7fff, 250_u8.wrapping_add(u8::try_from(at).unwrap())); 2])
        .collect();
    assert_eq!(pictures, expected);
    let second_key = player.packets[&VIDEO_SSRC][20].clone();
    assert_eq!(
        (second_key.payload[0], second_key.payload[1], &second_key.payload[5..8]),
        (0x90, 0xe0, &[0x20, 0, 9][..])
    );
    world.feedback(viewer, |b| crate::rtcp::write_nack(b, 1, VIDEO_SSRC, &[second_key.number as u16]));
    world.settle();
    assert_eq!(world.player(viewer).packets[&RTX_SSRC][0].payload[2..], second_key.payload);
}

/// Not another source: the same one, in the same numbers.
#[test]
fn a_source_that_goes_on_in_another_codec_plays_on_with_those_who_have_it() {
    let mut world = World::new(43);
    let mut both = browser(true);
    both.tracks[1].payloads.push(CodecPayload { codec: Codec::Vp8, payload_type: 98, rtx: None });
    let (viewer, one) = (world.join(both, AeadAes128Gcm), world.join(browser(true), AeadAes128Gcm));
    let mut publication = world.publish(100, 0);
    world.play(&mut publication, 5, 30);
    let spec = TrackSpec::plain(Codec::Vp8);
    world.forwarder.retune(publication.id, VIDEO, spec, world.now);
    assert!(
        world
            .events()
            .iter()
            .any(|event| matches!(event, ForwarderEvent::Tracks { tracks, .. } if tracks[1].codec == Codec::Vp8))
    );
    play_vp8(&mut world, &mut publication, 5, (7, 7));
    let packets = &world.player(viewer).packets[&VIDEO_SSRC];
    assert!(contiguous(&world.player(viewer).numbers(VIDEO_SSRC)));
    assert_eq!((packets.len(), packets[20].payload[0]), (5 * 4 + 5 * 2, 0x90));
    assert_eq!(world.player(one).packets[&VIDEO_SSRC].len(), 20);
    assert!(world.events().contains(&ForwarderEvent::CodecChanged { viewer: one }));
}

/// AV1 frames of one packet, the first a key frame, with dependency descriptors from `number` on.
fn play_av1(world: &mut World, publication: &mut Publication, frames: u16, number: u16) {
    for at in 0..frames {
        let [high, low] = number.wrapping_add(at).to_be_bytes();
        let first = if at == 0 { 0x18 } else { 0x10 };
        let mut packet = World::packet(publication, VIDEO, first, 50, true);
        packet.extensions.dependency_descriptor = Some([0xc0, high, low].into());
        publication.timestamp[VIDEO] = publication.timestamp[VIDEO].wrapping_add(3000);
        world.push(publication, VIDEO, [packet]);
        world.settle();
        world.wait(ms(33));
    }
}

#[test]
fn dependency_descriptors_pass_and_their_frames_are_counted_on_over_incarnations() {
    let mut world = World::new(42);
    let mut spec = browser(true);
    spec.tracks[1].payloads[0].codec = Codec::Av1;
    let without = world.join(spec.clone(), AeadAes128Gcm);
    spec.tracks[1].extensions.insert(crate::negotiation::Extension::DependencyDescriptor, DESCRIPTOR_ID);
    let viewer = world.join(spec, AeadAes128Gcm);
    let mut first = world.publish_as(Codec::Av1, 100, 5000);
    play_av1(&mut world, &mut first, 10, 65_530);
    let mut second = world.publish_as(Codec::Av1, 7, 123);
    play_av1(&mut world, &mut second, 10, 3);
    let descriptors: Vec<Vec<u8>> =
        world.player(viewer).packets[&VIDEO_SSRC].iter().map(|p| p.descriptor.clone().unwrap()).collect();
    let expected: Vec<Vec<u8>> =
        (0..20_u16).map(|at| [&[0xc0][..], &65_530_u16.wrapping_add(at).to_be_bytes()].concat()).collect();
    assert_eq!(descriptors, expected);
    assert!(world.player(without).packets[&VIDEO_SSRC].iter().all(|packet| packet.descriptor.is_none()));
}

#[test]
fn a_replayed_vp8_picture_has_the_next_id_and_not_its_old_one() {
    let mut world = World::new(41);
    let viewer = world.join(vp8_viewer(), AeadAes128Gcm);
    let mut publication = world.publish_as(Codec::Vp8, 100, 5000);
    play_vp8(&mut world, &mut publication, 20, (10, 20));
    world.feedback(viewer, |b| crate::rtcp::write_pli(b, 1, VIDEO_SSRC));
    world.wait(ms(400));
    let place = picture::Place::find(Codec::Vp8, &world.player(viewer).packets[&VIDEO_SSRC][0].payload).unwrap();
    let ids: Vec<picture::Picture> =
        world.player(viewer).packets[&VIDEO_SSRC].iter().step_by(2).map(|p| place.read(&p.payload)).collect();
    assert_eq!(ids.len(), 40, "20 live, the same 20 again");
    let steps = ids.windows(2).map(|pair| picture::Shift::between(pair[0], pair[1]));
    assert!(steps.into_iter().all(|step| step == picture::Shift::default()), "{ids:?}");
}

#[test]
fn a_source_that_comes_back_with_another_codec_ends_those_who_have_not_agreed_to_it() {
    let mut world = World::new(42);
    let h264_only = world.join(browser(true), AeadAes128Gcm);
    let mut both = browser(true);
    both.tracks[1].payloads.push(CodecPayload { codec: Codec::Vp8, payload_type: 98, rtx: Some(99) });
    let both = world.join(both, AeadAes128Gcm);
    let mut first = world.publish(100, 5000);
    world.play(&mut first, 10, 30);
    let _ = world.events();
    let mut second = world.publish_as(Codec::Vp8, 7, 123);
    world.now += ms(100);
    let mut early = World::vp8_frame(&mut second, false, (1, 1));
    world.push(&second, VIDEO, early.drain(..));
    world.settle();
    assert_eq!(world.events(), [ForwarderEvent::Active { source: second.id }], "not before a key frame");
    play_vp8(&mut world, &mut second, 10, (2, 2));
    play_vp8(&mut world, &mut second, 10, (12, 12));
    assert_eq!(world.events(), [ForwarderEvent::CodecChanged { viewer: h264_only }], "once");
    let player = world.player(both);
    assert_eq!(player.packets[&VIDEO_SSRC].len(), 10 * 4 + 20 * 2);
    assert!(contiguous(&player.numbers(VIDEO_SSRC)));
    assert_eq!(world.player(h264_only).packets[&VIDEO_SSRC].len(), 10 * 4);
}
