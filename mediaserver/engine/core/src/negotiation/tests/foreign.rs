//! Offers of the clients of tests/interop that offer otherwise than browsers do.

use super::*;

const GSTREAMER_PUBLISH: &str = include_str!("../samples/gstreamer-publish.sdp");
const GSTREAMER_PLAY: &str = include_str!("../samples/gstreamer-play.sdp");
const FFMPEG_PUBLISH: &str = include_str!("../samples/ffmpeg-publish.sdp");
const PION_PUBLISH: &str = include_str!("../samples/pion-publish.sdp");

/// Port 0 with `bundle-only`, OPUS in capitals, mids of its own making, constrained baseline of its encoder.
#[test]
fn gstreamer_publishes_what_its_pipeline_has() {
    let receiving = publish(GSTREAMER_PUBLISH, &[]).unwrap();
    let expected = vec![(Kind::Video, Codec::H264, 96, None), (Kind::Audio, Codec::Opus, 97, None)];
    assert_eq!(chosen(&receiving), expected);
    assert_eq!((receiving.peer.setup, receiving.media[1].mid.as_str()), (Setup::ActPass, "audio1"));
    let video = &receiving.media[0].payload;
    assert_eq!((video.nack, video.pli, video.transport_cc), (false, true, true));
    let answer = whip::answer(&local(), &receiving);
    assert_eq!(lines(&answer, "m="), vec!["m=video 9 UDP/TLS/RTP/SAVPF 96", "m=audio 9 UDP/TLS/RTP/SAVPF 97"]);
}

/// H.264 without a profile, Opus without a number of channels.
#[test]
fn gstreamer_plays_either_codec() {
    for (track, payload_type) in [(track(Codec::Vp8, ""), 96), (h264("42e01f"), 98), (h264("640c1f"), 98)] {
        let sending = play(GSTREAMER_PLAY, &[track.clone(), opus()]).unwrap();
        assert_eq!(first_payload(&sending, Kind::Video), (track.format.codec, payload_type, None));
        assert_eq!(first_payload(&sending, Kind::Audio), (Codec::Opus, 97, None));
    }
}

/// It is the DTLS server, so we are the client.
#[test]
fn ffmpeg_publishes_as_the_dtls_server() {
    let receiving = publish(FFMPEG_PUBLISH, &[]).unwrap();
    let expected = vec![(Kind::Audio, Codec::Opus, 111, None), (Kind::Video, Codec::H264, 106, Some(105))];
    assert_eq!(chosen(&receiving), expected);
    assert_eq!(receiving.media[1].rtx_ssrc, Some(1_274_447_404));
    assert_eq!(lines(&whip::answer(&local(), &receiving), "a=setup"), vec!["a=setup:active"; 2]);
}

/// All it knows, VP8 first, whatever its track is: so it is answered with all that the stream takes, and sends what it has.
#[test]
fn pion_is_answered_with_all_of_the_streams_codecs() {
    let of = |codecs: &[Codec]| {
        let receiving = publish(PION_PUBLISH, codecs).unwrap();
        let others: Vec<Codec> = receiving.media[0].others.iter().map(|other| other.format.codec).collect();
        (chosen(&receiving)[0], others)
    };
    let (first, others) = of(&[]);
    assert_eq!(first, (Kind::Video, Codec::H264, 106, Some(107)));
    assert!(others.starts_with(&[Codec::Vp8, Codec::Vp9, Codec::Av1]), "{others:?}");
    assert_eq!(of(&[Codec::Vp8, Codec::Opus]), ((Kind::Video, Codec::Vp8, 96, Some(97)), vec![]));
}
