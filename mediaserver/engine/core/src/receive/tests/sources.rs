//! Which SSRC and payload type is whose, and when a source has ended.

use super::*;

#[test]
fn ssrcs_are_learnt_by_mid_or_payload_type_and_may_change() {
    let mut world = World::new(Receiver::new(&receiving(Some(77)), "cname"));
    let probe = world.repair(1, 4);
    world.arrive(&probe);
    assert_eq!(world.receiver.figures().rejected, 1, "nothing to repair yet");
    let first = world.rtp(VIDEO_TYPE, 2000, 100, None, &[0x10, 1]);
    world.arrive(&first);
    let foreign = world.rtp(VIDEO_TYPE, 2001, 5, None, &[0x10, 1]);
    world.arrive(&foreign);
    let of_audio = world.rtp(VIDEO_TYPE, 2001, 6, Some("a"), &[0x10, 1]);
    world.arrive(&of_audio);
    assert_eq!(world.numbers(VIDEO), [100], "the track's SSRC is in use");
    world.wait(ms(250));
    let anew = world.rtp(VIDEO_TYPE, 2001, 7, Some("v"), &[0x10, 1]);
    world.arrive(&anew);
    let next = world.rtp(VIDEO_TYPE, 2001, 9, None, &[0x10, 1]);
    world.arrive(&next);
    let numbers = world.numbers(VIDEO);
    assert!(numbers[1] > 100 + crate::ring::MAX_JUMP && numbers[2] == numbers[1] + 2, "{numbers:?}");
    world.wait(ms(4));
    let asked: Vec<_> = world.feedback.iter().flat_map(|(_, packet)| rtcp::parse(packet)).collect();
    assert!(asked.contains(&Report::Nack { ssrc: 2001, lost: vec![8] }), "by the peer's own number: {asked:?}");
    let repair = world.rtp(RTX_TYPE, 3001, 1, None, &[0, 8, 0x10, 1]);
    world.arrive(&repair);
    assert_eq!(world.numbers(VIDEO)[3], numbers[1] + 1);
}

#[test]
fn goodbye_counts_when_every_track_said_it() {
    let mut world = publisher();
    let (audio, video) = (world.rtp(AUDIO_TYPE, 1000, 1, None, b"a"), world.video(1));
    world.arrive(&audio);
    world.arrive(&video);
    let bye = world.rtcp(|b| rtcp::write_bye(b, &[2000]));
    world.arrive(&bye);
    assert!(!world.ended);
    let bye = world.rtcp(|b| rtcp::write_bye(b, &[1000, 4]));
    world.arrive(&bye);
    assert!(world.ended);
    world.receiver.request_key_frame(VIDEO);
    world.receiver.say_bye();
    world.collect();
    let said: Vec<_> = world.feedback.iter().flat_map(|(_, packet)| rtcp::parse(packet)).collect();
    assert_eq!(said, [Report::KeyFrame { ssrc: 2000 }, Report::Bye { ssrc: ANONYMOUS }]);
    assert_eq!(world.receiver.figures().plis, 1);
}

#[test]
fn who_sends_again_after_its_goodbye_has_only_paused_and_who_never_sent_has_nothing_to_end() {
    let mut world = publisher();
    let (audio, video) = (world.rtp(AUDIO_TYPE, 1000, 1, None, b"a"), world.video(1));
    let bye = |world: &mut World, ssrc| {
        let bye = world.rtcp(|b| rtcp::write_bye(b, &[ssrc]));
        world.arrive(&bye);
    };
    world.arrive(&audio);
    world.arrive(&video);
    bye(&mut world, 2000);
    let again = world.video(2);
    world.arrive(&again);
    bye(&mut world, 1000);
    assert!(!world.ended, "video plays");
    let mut one = publisher();
    let only = one.video(1);
    one.arrive(&only);
    bye(&mut one, 2000);
    assert!(one.ended, "no audio ever came");
}

/// Pion sends VP8 where the answer says H.264 first.
#[test]
fn the_payload_type_that_comes_decides_the_codec_and_not_too_often() {
    const H264_TYPE: u8 = 102;
    let mut receiving = receiving(None);
    let other = receiving.media[VIDEO].payload.clone();
    receiving.media[VIDEO].payload.payload_type = H264_TYPE;
    receiving.media[VIDEO].payload.rtx = None;
    receiving.media[VIDEO].payload.format.codec = Codec::H264;
    receiving.media[VIDEO].others = vec![other];
    let mut world = World::new(Receiver::new(&receiving, "us"));
    assert_eq!(world.receiver.specs()[VIDEO].codec, Codec::H264, "until it is known better");
    let vp8 = world.video(1);
    world.arrive(&vp8);
    assert_eq!((&world.retuned[..], world.packets.len()), (&[(VIDEO, Codec::Vp8)][..], 1));
    assert_eq!(world.receiver.specs()[VIDEO].codec, Codec::Vp8);
    for (wait, packets) in [(1000, 1), (1000, 2)] {
        world.wait(ms(wait));
        let h264 = world.rtp(H264_TYPE, 2000, 1 + wait + packets, None, &[0x65]);
        world.arrive(&h264);
        assert_eq!((world.retuned.len(), world.packets.len() as u64), (packets as usize, packets), "{wait}");
    }
    assert_eq!(world.retuned[1], (VIDEO, Codec::H264));
}

#[test]
fn a_sender_that_has_gone_round_once_before_its_first_packet_came_is_understood() {
    let mut world = publisher();
    for number in [65_536, 65_537] {
        let packet = world.video(number);
        world.arrive(&packet);
    }
    assert_eq!(world.numbers(VIDEO), [65_536, 65_537]);
}
