//! Viewers that start from the stream's log, or begin again from there.

use std::time::{Duration, Instant};

use super::super::testing::*;
use super::contiguous;
use crate::border::*;
use crate::pacing::WayOut;
use crate::rtcp::{self, Report};
use crate::srtp::SrtpProfile::{AeadAes128Gcm, Aes128CmSha1_80};

const FRAME: Duration = Duration::from_nanos(33_333_333);

/// A stream with one viewer from the beginning, `behind` frames after its second key frame.
fn running(seed: u64, gop: usize, behind: usize) -> (World, Publication, ViewerId) {
    let mut world = World::new(seed);
    let mut publication = world.publish(65_000, u32::MAX - 300_000);
    let witness = world.join(browser(true), AeadAes128Gcm);
    world.live(&mut publication, 0..gop + behind, gop);
    let _ = world.requests();
    (world, publication, witness)
}

/// First packets of the frames.
fn frames(world: &World, viewer: ViewerId) -> Vec<Received> {
    let packets = world.player(viewer).packets.get(&VIDEO_SSRC).cloned().unwrap_or_default();
    packets.chunk_by(|a, b| a.timestamp == b.timestamp).map(|frame| frame[0].clone()).collect()
}

/// How far each frame's timestamp is ahead of what it would be live, ticks; and when it came.
fn squeezed(world: &World, viewer: ViewerId, witness: ViewerId) -> Vec<(i32, Instant)> {
    let (ours, theirs) = (frames(world, viewer), frames(world, witness));
    let live = |frame: &Received| {
        theirs
            .iter()
            .find(|other| other.source_number() == frame.source_number())
            .expect("the witness has all")
            .timestamp
    };
    let last = ours.last().expect("frames");
    let offset = last.timestamp.wrapping_sub(live(last));
    ours.iter().map(|f| (f.timestamp.wrapping_sub(live(f)).wrapping_sub(offset).cast_signed(), f.at)).collect()
}

#[test]
fn a_viewer_gets_the_newest_key_frame_at_once_and_is_live_soon_without_missing_a_frame() {
    for (gop, behind) in [(30, 3), (30, 12), (30, 21), (60, 9), (60, 30), (60, 44)] {
        let (mut world, mut publication, witness) = running(50, gop, behind);
        let viewer = world.join(browser(true), AeadAes128Gcm);
        let joined = world.now;
        world.settle();
        let name = format!("{behind} frames into {gop}");
        assert_eq!(world.player(viewer).numbers(VIDEO_SSRC).len(), 4, "{name}: the key frame, whole");
        world.live(&mut publication, gop + behind..gop + behind + 30, gop * 2);
        let got = frames(&world, viewer);
        assert_eq!(got[0].payload[0], 0x65, "{name}");
        assert_eq!(got.len(), behind + 30, "{name}: each frame once");
        assert!(contiguous(&world.player(viewer).numbers(VIDEO_SSRC)), "{name}");
        let sources: Vec<u64> = world.player(viewer).packets[&VIDEO_SSRC].iter().map(Received::source_number).collect();
        assert!(contiguous(&sources), "{name}");
        assert_eq!(world.requests(), 0, "{name}: nobody else is disturbed");
        let squeezed = squeezed(&world, viewer, witness);
        let caught_up = squeezed.iter().position(|(ahead, _)| *ahead == 0).unwrap();
        let took = squeezed[caught_up].1 - joined;
        assert!(took <= FRAME * u32::try_from(behind).unwrap() / 3 + FRAME * 2, "{name}: {took:?}");
        assert!(
            squeezed[caught_up..].iter().all(|(ahead, _)| *ahead == 0),
            "{name}: on the live timeline from then on"
        );
    }
}

#[test]
fn replayed_timestamps_are_those_of_the_live_edge_at_the_time_and_grow_with_every_frame() {
    let (mut world, mut publication, witness) = running(51, 60, 44);
    let viewer = world.join(browser(true), AeadAes128Gcm);
    world.live(&mut publication, 104..150, 300);
    let got = frames(&world, viewer);
    assert!(got.windows(2).all(|pair| pair[1].timestamp.wrapping_sub(pair[0].timestamp).cast_signed() > 0));
    let reference = frames(&world, witness);
    let offset = got.last().unwrap().timestamp.wrapping_sub(reference.last().unwrap().timestamp);
    for frame in &got {
        let live = reference.iter().rev().find(|other| other.at <= frame.at).unwrap();
        let elapsed = i32::try_from((frame.at - live.at).as_micros() * 9 / 100).unwrap();
        let ahead = frame.timestamp.wrapping_sub(offset).wrapping_sub(live.timestamp).cast_signed() - elapsed;
        assert!(ahead.abs() <= 90 * 10, "within 10 ms of the live edge: {ahead} ticks");
    }
}

#[test]
fn a_replay_is_four_times_as_fast_as_live_and_no_faster() {
    let (mut world, mut publication, _) = running(52, 60, 44);
    let viewer = world.join(browser(true), AeadAes128Gcm);
    let joined = world.now;
    world.live(&mut publication, 104..110, 300);
    let times: Vec<u128> = frames(&world, viewer).iter().map(|frame| (frame.at - joined).as_micros()).collect();
    assert!(times.len() >= 24, "{times:?}");
    for (number, at) in times.iter().enumerate() {
        let due = number as u128 * 33_333 / 4;
        assert!(
            (due.saturating_sub(2)..due + 2000).contains(at),
            "frame {number} is due after {due} us and came after {at}"
        );
    }
}

#[test]
fn sound_comes_from_the_live_edge_and_reports_at_once() {
    let (mut world, mut publication, witness) = running(53, 60, 44);
    let viewer = world.join(browser(true), AeadAes128Gcm);
    let joined = world.now;
    let sound = publication.sequence[AUDIO];
    world.live(&mut publication, 104..107, 300);
    let player = world.player(viewer);
    assert_eq!(player.packets[&AUDIO_SSRC][0].source_number(), sound);
    let report = player.reports.iter().find_map(|(at, report)| match report {
        Report::Sender { ssrc: VIDEO_SSRC, ntp, timestamp } => Some((*at, *ntp, *timestamp)),
        _ => None,
    });
    let (at, ntp, timestamp) = report.expect("a report");
    assert_eq!(at, joined);
    // It speaks of the live edge: the same as the witness's, but for the viewer's own beginning.
    world.live(&mut publication, 107..160, 300);
    let offset = |ssrc| {
        let last = |viewer| world.player(viewer).packets[&ssrc].last().unwrap().timestamp;
        last(viewer).wrapping_sub(last(witness))
    };
    let (their_ntp, theirs) = world.player(witness).last_report(VIDEO_SSRC).unwrap();
    let ticks = theirs.wrapping_add(offset(VIDEO_SSRC)).wrapping_sub(timestamp);
    let passed = ((their_ntp - ntp) * 90_000) >> 32;
    assert!(passed.abs_diff(ticks.into()) < 90, "{ticks} ticks instead of {passed}");
}

#[test]
fn replayed_packets_are_repaired_from_the_ring_also_late() {
    for (rtx, profile) in [(true, AeadAes128Gcm), (false, AeadAes128Gcm), (false, Aes128CmSha1_80)] {
        let (mut world, mut publication, _) = running(54, 60, 58);
        let viewer = world.join(browser(rtx), profile);
        world.settle();
        let first: Vec<Received> = world.player(viewer).packets[&VIDEO_SSRC].clone();
        assert_eq!(first.len(), 4);
        // The key frame is 1.9 s old by now, and will be 3.3 s.
        world.live(&mut publication, 118..160, 300);
        let before = world.forwarder.totals().packets;
        let lost: Vec<u16> = first.iter().map(|p| p.number as u16).collect();
        world.feedback(viewer, |b| rtcp::write_nack(b, 1, VIDEO_SSRC, &lost));
        world.settle();
        assert_eq!(world.forwarder.totals().packets - before, 4, "rtx {rtx}: plain ones are checked byte for byte");
        if rtx {
            let repairs = &world.player(viewer).packets[&RTX_SSRC];
            assert!(repairs.iter().zip(&first).all(|(r, p)| r.timestamp == p.timestamp && r.payload[2..] == p.payload));
        }
    }
}

#[test]
fn a_key_frame_that_comes_meanwhile_ends_the_replay() {
    let (mut world, mut publication, witness) = running(55, 60, 56);
    let viewer = world.join(browser(true), AeadAes128Gcm);
    world.live(&mut publication, 116..150, 60);
    let got = frames(&world, viewer);
    let keys: Vec<usize> = (0..got.len()).filter(|&at| got[at].payload[0] == 0x65).collect();
    assert_eq!(keys.len(), 2);
    assert!(keys[1] < 20, "what lay between is left out: {keys:?}");
    assert!(contiguous(&world.player(viewer).numbers(VIDEO_SSRC)));
    assert!(got.windows(2).all(|pair| pair[1].timestamp.wrapping_sub(pair[0].timestamp).cast_signed() > 0));
    let late = squeezed(&world, viewer, witness).iter().rev().take(30).filter(|(ahead, _)| *ahead != 0).count();
    assert_eq!(late, 0, "live since then");
}

#[test]
fn what_is_too_old_or_too_large_is_not_replayed_but_asked_for_once() {
    for (behind, bytes) in [(62, 1000), (40, 26_000)] {
        let mut world = World::new(56);
        let mut publication = world.publish(100, 5000);
        let witness = world.join(browser(true), AeadAes128Gcm);
        for at in 0..behind {
            let frame = World::frame(&mut publication, at == 0, &[bytes]);
            world.push(&publication, VIDEO, frame);
            world.wait(FRAME);
        }
        let _ = world.requests();
        let viewers = [(); 3].map(|()| world.join(browser(true), AeadAes128Gcm));
        world.wait(ms(1));
        assert_eq!(world.requests(), 1, "one for all");
        assert!(viewers.iter().all(|viewer| world.player(*viewer).numbers(VIDEO_SSRC).is_empty()));
        world.live(&mut publication, 0..2, 300);
        assert!(viewers.iter().all(|viewer| frames(&world, *viewer)[0].payload[0] == 0x65));
        assert!(contiguous(&world.player(witness).numbers(VIDEO_SSRC)));
    }
}

#[test]
fn a_source_that_has_ended_is_not_replayed() {
    let (mut world, publication, _) = running(57, 60, 10);
    world.forwarder.end_source(publication.id, world.now);
    let viewer = world.join(browser(true), AeadAes128Gcm);
    world.wait(ms(500));
    assert_eq!(world.player(viewer).numbers(VIDEO_SSRC), []);
    let mut next = world.publish(7, 123);
    world.live(&mut next, 0..3, 30);
    assert_eq!(frames(&world, viewer).len(), 3);
}

#[test]
fn replays_take_no_more_than_their_share_of_the_way_out() {
    // The stream has 100 kbyte/s; 8 Mbit/s are 1,000, half of them for replays.
    let config = ForwarderConfig { way_out: WayOut::new(8, 1), ..ForwarderConfig::default() };
    let mut world = World::with(58, config);
    let mut publication = world.publish(100, 5000);
    let _witness = world.join(browser(true), AeadAes128Gcm);
    world.live(&mut publication, 0..45, 300);
    let _ = world.requests();
    let crowd = [(); 6].map(|()| world.join(browser(true), AeadAes128Gcm));
    let joined = world.now;
    world.live(&mut publication, 45..55, 300);
    let bytes = |world: &World, viewer: ViewerId| {
        let packets = world.player(viewer).packets.get(&VIDEO_SSRC).cloned().unwrap_or_default();
        packets.iter().map(|p| p.payload.len()).sum::<usize>()
    };
    let sent: Vec<usize> = crowd.iter().map(|viewer| bytes(&world, *viewer)).collect();
    let (served, waiting): (Vec<usize>, Vec<usize>) = sent.iter().partition(|bytes| **bytes > 0);
    assert!(!served.is_empty() && !waiting.is_empty(), "{sent:?}");
    let passed = world.now - joined;
    assert!(sent.iter().sum::<usize>() < 550 * passed.as_millis() as usize, "{sent:?} bytes in {passed:?}");
    assert_eq!(world.requests(), 1, "the others wait for the next one");
    world.live(&mut publication, 0..3, 300);
    assert!(crowd.iter().all(|viewer| !frames(&world, *viewer).is_empty()));
}

#[test]
fn a_queue_that_was_too_late_is_caught_up_with_and_nothing_is_missing() {
    let (mut world, mut publication, viewer) = running(59, 60, 20);
    let before = frames(&world, viewer).len();
    world.room = 0;
    world.play(&mut publication, 9, 300);
    world.room = usize::MAX;
    world.live(&mut publication, 1..30, 300);
    let stats = world.forwarder.viewer_stats(viewer, world.now).unwrap();
    assert_eq!((stats.cut, stats.replays, world.requests()), (1, 1, 0));
    let got = frames(&world, viewer);
    assert!(contiguous(&world.player(viewer).numbers(VIDEO_SSRC)));
    assert!(got.windows(2).all(|pair| pair[1].timestamp.wrapping_sub(pair[0].timestamp).cast_signed() > 0));
    assert_eq!(got.len(), before + 9 + 29, "each frame once");
    // Once more within seconds: the path does not carry it, and more would not help.
    world.room = 0;
    world.play(&mut publication, 9, 300);
    world.room = usize::MAX;
    world.live(&mut publication, 1..3, 300);
    let stats = world.forwarder.viewer_stats(viewer, world.now).unwrap();
    assert_eq!((stats.cut, stats.replays, world.requests()), (2, 1, 1));
}

#[test]
fn a_viewer_that_asks_is_answered_from_the_log_alone_and_an_old_key_frame_is_none() {
    let (mut world, mut publication, viewer) = running(60, 60, 20);
    let other = world.join(browser(true), AeadAes128Gcm);
    world.live(&mut publication, 80..88, 300);
    let (before, others) = (frames(&world, viewer).len(), frames(&world, other).len());
    world.feedback(viewer, |b| rtcp::write_pli(b, 1, VIDEO_SSRC));
    world.live(&mut publication, 88..110, 300);
    let got = frames(&world, viewer);
    assert_eq!(got[before].payload[0], 0x65, "at once");
    assert_eq!(got.len(), before + 28 + 22, "the group so far again, then live");
    assert_eq!(frames(&world, other).len(), others + 22, "nobody else is touched");
    assert!(contiguous(&world.player(viewer).numbers(VIDEO_SSRC)));
    assert!(got.windows(2).all(|pair| pair[1].timestamp.wrapping_sub(pair[0].timestamp).cast_signed() > 0));
    assert_eq!(world.requests(), 0);
    world.live(&mut publication, 110..200, 300);
    world.feedback(viewer, |b| rtcp::write_pli(b, 1, VIDEO_SSRC));
    world.settle();
    assert_eq!(world.requests(), 1, "3 s after the key frame only the source can help");
}

#[test]
fn a_viewer_without_video_asks_nobody_for_key_frames() {
    let mut world = World::new(61);
    let mut publication = world.publish(100, 5000);
    world.live(&mut publication, 0..90, 300);
    let mut spec = browser(true);
    spec.tracks.truncate(1);
    let viewer = world.join(spec, AeadAes128Gcm);
    world.live(&mut publication, 90..95, 300);
    assert_eq!((world.requests(), world.player(viewer).numbers(AUDIO_SSRC).len()), (0, 5));
}

#[test]
fn a_cold_edge_starts_from_its_parents_log_and_so_do_its_viewers() {
    let (mut parent, mut publication, witness) = running(62, 60, 40);
    let relay = parent.join(ViewerSpec { relay: true, ..browser(true) }, AeadAes128Gcm);
    let mut edge = World::new(63);
    edge.now = parent.now;
    let pulled = edge.publish(0, 0);
    let joined = edge.now;
    let early = edge.join(browser(true), AeadAes128Gcm);
    let mut passed = [0, 0];
    let mut late = None;
    for step in 0..1200 {
        if step % 33 == 0 {
            parent.play_frame(&mut publication, false);
        }
        parent.wait(ms(1));
        edge.wait(ms(1));
        for (track, ssrc) in [(AUDIO, AUDIO_SSRC), (VIDEO, VIDEO_SSRC)] {
            let packets = parent.player(relay).packets.get(&ssrc).cloned().unwrap_or_default();
            let fresh = packets[passed[track]..].iter().map(|p| SourcePacket {
                sequence: p.number,
                timestamp: p.timestamp,
                marker: p.marker,
                payload: p.payload.clone().into(),
                extensions: ExtensionValues::default(),
            });
            edge.push(&pulled, track, fresh);
            passed[track] = packets.len();
        }
        edge.settle();
        if step == 700 {
            late = Some((edge.join(browser(true), AeadAes128Gcm), edge.now));
        }
    }
    let (late, late_joined) = late.unwrap();
    for (viewer, since) in [(early, joined), (late, late_joined)] {
        let got = frames(&edge, viewer);
        assert!(got[0].payload[0] == 0x65 && got[0].at - since <= ms(3), "{:?}", got[0].at - since);
        assert!(contiguous(&edge.player(viewer).numbers(VIDEO_SSRC)));
        assert!(got.windows(2).all(|pair| pair[1].timestamp.wrapping_sub(pair[0].timestamp).cast_signed() > 0));
        let (ours, theirs) = (got.last().unwrap(), frames(&parent, witness).last().cloned().unwrap());
        assert_eq!(ours.source_number(), theirs.source_number(), "at the live edge");
    }
}
