//! What foreign servers answer to our offer, and what is made of it.

use super::*;
use crate::negotiation::ingest;

const PION: &str = include_str!("../samples/pion-answer.sdp");
const AIORTC: &str = include_str!("../samples/aiortc-answer.sdp");

fn offered(codecs: &[Codec]) -> Offer {
    Offer::parse(&ingest::offer(&local(), codecs).unwrap()).unwrap()
}

fn accepted(answer: &str, codecs: &[Codec]) -> Result<Receiving, Refusal> {
    ingest::accept(&Offer::parse_answer(answer)?, codecs)
}

/// As one of our own edges answers a viewer.
fn ours(codecs: &[Codec], tracks: &[Track]) -> String {
    let offer = offered(codecs);
    let sending = whep::negotiate(&offer, tracks, &sources()).unwrap();
    whep::answer(&local(), &sources(), &offer, &sending)
}

fn others(receiving: &Receiving) -> Vec<Codec> {
    let video = receiving.media.iter().find(|media| media.kind == Kind::Video).unwrap();
    video.others.iter().map(|other| other.format.codec).collect()
}

#[test]
fn every_codec_that_the_stream_takes_is_offered_in_its_order() {
    let video = |codecs: &[Codec]| {
        let offer = offered(codecs);
        assert!(offer.media.iter().all(|media| media.direction == offer::Direction { sends: false, receives: true }));
        let payloads = offer.media.into_iter().filter(|media| media.kind == Some(Kind::Video));
        let mut codecs: Vec<Codec> = payloads.flat_map(|media| media.payloads).map(|p| p.format.codec).collect();
        codecs.dedup();
        codecs
    };
    assert_eq!(video(&[]), [Codec::H264, Codec::Vp8, Codec::Vp9, Codec::Av1, Codec::H265]);
    assert_eq!(video(&[Codec::Av1, Codec::Vp8, Codec::Av1, Codec::Opus]), [Codec::Av1, Codec::Vp8]);
    assert_eq!(video(&[Codec::Opus]), [], "sound alone");
    assert_eq!(offered(&[Codec::Vp8]).media.len(), 1, "a picture alone");
}

#[test]
fn each_payload_type_is_offered_once_with_what_repairs_it() {
    let offer = offered(&[]);
    let all = offer.media.iter().flat_map(|media| &media.payloads);
    let mut types: Vec<u8> = all.flat_map(|payload| std::iter::once(payload.payload_type).chain(payload.rtx)).collect();
    let count = types.len();
    types.sort_unstable();
    types.dedup();
    assert_eq!((types.len(), types.iter().all(|of| (96..128).contains(of))), (count, true));
    let [audio, video] = &offer.media[..] else { panic!("two sections") };
    assert!(video.payloads.iter().all(|p| p.rtx.is_some() && p.feedback == ["nack", "nack pli", "transport-cc"]));
    assert_eq!(audio.payloads.iter().map(|p| p.feedback.clone()).collect::<Vec<_>>(), [["transport-cc"]]);
    assert_eq!(offer.candidates.len(), 2, "a server that waits for checks has somebody to wait for");
}

/// All that it was offered, whatever its track is; each candidate a second time for RTCP; it begins DTLS.
#[test]
fn pion_may_send_all_that_it_answers() {
    for answer in [PION.to_owned(), PION.replace("a=group:BUNDLE", "a=ice-lite\na=group:BUNDLE")] {
        let receiving = accepted(&answer, &[]).unwrap();
        let expected = vec![(Kind::Audio, Codec::Opus, 96, None), (Kind::Video, Codec::H264, 97, Some(98))];
        assert_eq!(chosen(&receiving), expected);
        assert_eq!(others(&receiving)[3..], [Codec::Vp8, Codec::Vp9, Codec::Av1, Codec::H265]);
        let video = &receiving.media[1];
        assert_eq!((video.ssrc, video.rtx_ssrc), (Some(2_044_497_213), Some(3_325_707_019)));
        assert_eq!((video.payload.nack, video.payload.pli, video.payload.transport_cc), (true, true, true));
        assert_eq!(receiving.peer.setup, Setup::Active);
    }
}

/// Without reduced-size RTCP, with fingerprints of three kinds.
#[test]
fn aiortc_answers_h264_and_vp8() {
    let receiving = accepted(AIORTC, &[]).unwrap();
    let expected = vec![(Kind::Audio, Codec::Opus, 96, None), (Kind::Video, Codec::H264, 97, Some(98))];
    assert_eq!((chosen(&receiving), others(&receiving)), (expected, vec![Codec::H264, Codec::Vp8]));
    let video = &receiving.media[1];
    assert_eq!((video.payload.pli, video.payload.transport_cc, video.reduced_size), (true, false, false));
    assert_eq!(receiving.peer.fingerprint.0, "sha-256");
}

#[test]
fn an_edge_of_ours_answers_with_what_it_has() {
    let receiving = accepted(&ours(&[], &[track(Codec::Vp8, ""), opus()]), &[]).unwrap();
    assert_eq!(chosen(&receiving)[1].1, Codec::Vp8);
    let silent = accepted(&ours(&[], &[track(Codec::Vp8, "")]), &[]).unwrap();
    assert_eq!(chosen(&silent).iter().map(|choice| choice.0).collect::<Vec<_>>(), [Kind::Video]);
}

#[test]
fn ssrcs_need_not_be_said() {
    let without = PION.replace("a=ssrc", "a=x-ssrc");
    let receiving = accepted(&without, &[]).unwrap();
    assert!(receiving.media.iter().all(|media| media.ssrc.is_none() && media.rtx_ssrc.is_none()));
}

#[test]
fn an_answer_that_cannot_be_used_says_why() {
    let only: &[Codec] = &[Codec::Vp8, Codec::Opus];
    for (name, answer, codecs, expected) in [
        ("nothing is sent", PION.replace("a=sendonly", "a=inactive"), only, "nothing of what was offered (vp8, opus)"),
        ("it wants to receive", PION.replace("a=sendonly", "a=recvonly"), only, "nothing of what was offered"),
        (
            "both ports are 0",
            PION.replace("audio 9", "audio 0")
                .replace("video 9", "video 0")
                .replace("a=group:BUNDLE 0 1", "a=group:BUNDLE"),
            only,
            "no audio or video section",
        ),
        (
            "only codecs that the stream does not take",
            PION.to_owned(),
            &[Codec::Opus],
            "no common video codec: the stream takes none",
        ),
        (
            "a section of its own",
            PION.replace("a=mid:1", "a=mid:2").replace("BUNDLE 0 1", "BUNDLE 0 2"),
            only,
            "not offered",
        ),
        ("nobody begins", PION.replace("a=setup:active", "a=setup:actpass"), only, "a=setup"),
        ("no setup at all", PION.replace("a=setup:active\n", ""), only, "a=setup"),
        ("no rtcp-mux", PION.replace("a=rtcp-mux\n", ""), only, "a=rtcp-mux"),
        ("a page", "<html>hello</html>".to_owned(), only, "does not begin with v=0"),
        ("long parameters", PION.replace("useinbandfec=1", &"x".repeat(1_025)), only, "a=fmtp is longer"),
    ] {
        let error = accepted(&answer, codecs).expect_err(name).to_string();
        assert!(error.contains(expected), "{name}: {error}");
    }
    assert!(ingest::offer(&local(), &[Codec::Vp8]).is_ok());
}
