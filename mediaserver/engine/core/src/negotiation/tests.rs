//! What is made of the offers of real clients.

mod foreign;
mod ingest;
mod layers;

use super::*;

const CHROMIUM_PUBLISH: &str = include_str!("samples/chromium-publish.sdp");
const CHROMIUM_PLAY: &str = include_str!("samples/chromium-play.sdp");
const FIREFOX_PLAY: &str = include_str!("samples/firefox-play.sdp");
const OBS_PUBLISH: &str = include_str!("samples/obs-publish.sdp");
const AIORTC_PLAY: &str = include_str!("samples/aiortc-play.sdp");
const PION_PLAY: &str = include_str!("samples/pion-play.sdp");

fn local() -> LocalTransport {
    LocalTransport {
        session_id: 7,
        ufrag: "ours".to_owned(),
        password: "a-password-of-24-letters".to_owned(),
        fingerprint: ["AB"; 32].join(":"),
        candidates: vec!["198.51.100.1:7000".parse().unwrap(), "[2001:db8::7]:7000".parse().unwrap()],
        tcp: false,
    }
}

fn sources() -> LocalSources {
    LocalSources { cname: "us".to_owned(), ssrcs: [11, 12, 13, 14, 15, 16, 17, 18] }
}

fn track(codec: Codec, fmtp: &str) -> Track {
    Track { kind: codec.kind(), format: Format { codec, fmtp: fmtp.to_owned() }, layers: vec![] }
}

fn h264(profile: &str) -> Track {
    track(Codec::H264, &format!("level-asymmetry-allowed=1;packetization-mode=1;profile-level-id={profile}"))
}

fn opus() -> Track {
    track(Codec::Opus, "")
}

fn play(offer: &str, tracks: &[Track]) -> Result<Sending, Refusal> {
    whep::negotiate(&Offer::parse(offer)?, tracks, &sources())
}

fn publish(offer: &str, codecs: &[Codec]) -> Result<Receiving, Refusal> {
    whip::negotiate(&Offer::parse(offer)?, codecs)
}

/// Kind, codec, payload type, RTX.
type Choice = (Kind, Codec, u8, Option<u8>);

fn chosen(receiving: &Receiving) -> Vec<Choice> {
    let row = |m: &ReceivedMedia| (m.kind, m.payload.format.codec, m.payload.payload_type, m.payload.rtx);
    receiving.media.iter().map(row).collect()
}

fn first_payload(sending: &Sending, kind: Kind) -> (Codec, u8, Option<u8>) {
    let media = sending.media.iter().find(|m| m.kind == kind).unwrap();
    (media.payloads[0].format.codec, media.payloads[0].payload_type, media.payloads[0].rtx)
}

#[test]
fn parameters_that_would_fill_every_nodes_table_are_refused() {
    let offer = |more: usize| {
        let known = "a=fmtp:111 minptime=10;useinbandfec=1";
        let grown = format!("{known};{}", "x".repeat(more));
        CHROMIUM_PUBLISH.replace(known, &grown)
    };
    let most = 1_024 - "minptime=10;useinbandfec=1;".len();
    assert!(publish(&offer(most), &[]).is_ok());
    let refused = publish(&offer(most + 1), &[]);
    assert_eq!(refused.unwrap_err(), Refusal::malformed("an a=fmtp is longer than 1024 bytes"));
    assert!(play(&offer(most + 1).replace("sendonly", "recvonly"), &[opus()]).is_ok(), "a viewer's go nowhere");
}

fn lines<'a>(text: &'a str, prefix: &str) -> Vec<&'a str> {
    text.lines().filter(|line| line.starts_with(prefix)).collect()
}

#[test]
fn a_publisher_is_thought_to_send_the_first_codec_by_the_streams_order() {
    use Kind::{Audio, Video};
    let opus = (Audio, Codec::Opus, 111, None);
    let cases: [(&str, &[Codec], Vec<Choice>); 5] = [
        ("the default is H.264 in mode 1, 42e01f", &[], vec![opus, (Video, Codec::H264, 109, Some(114))]),
        ("VP8 first", &[Codec::Vp8, Codec::H264, Codec::Opus], vec![opus, (Video, Codec::Vp8, 96, Some(97))]),
        ("VP9 in profile 0", &[Codec::Vp9, Codec::Opus], vec![opus, (Video, Codec::Vp9, 98, Some(99))]),
        ("AV1", &[Codec::Av1, Codec::Opus], vec![opus, (Video, Codec::Av1, 45, Some(46))]),
        (
            "what is not offered is passed over",
            &[Codec::H265, Codec::Vp8, Codec::Opus],
            vec![opus, (Video, Codec::Vp8, 96, Some(97))],
        ),
    ];
    for (name, codecs, expected) in cases {
        assert_eq!(chosen(&publish(CHROMIUM_PUBLISH, codecs).unwrap()), expected, "{name}");
    }
}

#[test]
fn a_publishers_ssrcs_extensions_and_feedback_are_kept() {
    let receiving = publish(CHROMIUM_PUBLISH, &[]).unwrap();
    let video = &receiving.media[1];
    assert_eq!((video.ssrc, video.rtx_ssrc), (Some(2_231_627_014), Some(632_943_048)));
    assert_eq!((video.payload.nack, video.payload.pli, video.payload.transport_cc), (true, true, true));
    assert_eq!(video.extensions.id(Extension::TransportCc), Some(3));
    assert_eq!(video.extensions.id(Extension::PlayoutDelay), None);
    assert_eq!(receiving.media[0].extensions.id(Extension::AudioLevel), Some(1));
}

#[test]
fn obs_gets_h264_and_is_asked_for_stereo() {
    let receiving = publish(OBS_PUBLISH, &[]).unwrap();
    let expected = vec![(Kind::Audio, Codec::Opus, 111, None), (Kind::Video, Codec::H264, 96, None)];
    assert_eq!(chosen(&receiving), expected);
    assert_eq!(receiving.media[0].payload.format.parameter("stereo"), Some("1"));
    assert_eq!(receiving.media[1].ssrc, Some(1_806_487_454));
}

#[test]
fn a_whip_answer_says_what_was_chosen_and_nothing_else() {
    let answer = whip::answer(&local(), &publish(CHROMIUM_PUBLISH, &[]).unwrap());
    // H.264, VP8, VP9, AV1, and their repairs.
    let video = "m=video 9 UDP/TLS/RTP/SAVPF 109 96 98 45 114 97 99 46";
    assert_eq!(lines(&answer, "m="), vec!["m=audio 9 UDP/TLS/RTP/SAVPF 111", video]);
    assert_eq!(lines(&answer, "a=group"), vec!["a=group:BUNDLE 0 1"]);
    assert_eq!(lines(&answer, "a=setup"), vec!["a=setup:passive"; 2]);
    assert_eq!(lines(&answer, "a=recvonly").len(), 2);
    assert_eq!(lines(&answer, "a=rtcp-mux-only").len(), 2);
    assert_eq!(
        lines(&answer, "a=candidate"),
        vec![
            "a=candidate:1 1 udp 2130706431 198.51.100.1 7000 typ host",
            "a=candidate:2 1 udp 2130706175 2001:db8::7 7000 typ host",
        ]
    );
    for absent in ["red", "ulpfec", "simulcast", "a=rid", "a=msid:", "a=ssrc", "ice-lite"] {
        assert!(!answer.contains(absent), "{absent}");
    }
    Offer::parse(&answer).expect("our own answer is consistent");
}

#[test]
fn every_real_viewer_plays_h264_and_vp8_with_opus() {
    let offers = [
        ("chromium", CHROMIUM_PLAY, 109, 96, 111),
        ("firefox", FIREFOX_PLAY, 126, 120, 109),
        ("aiortc", AIORTC_PLAY, 101, 97, 96),
        ("pion", PION_PLAY, 102, 96, 111),
    ];
    for (name, offer, h264_type, vp8_type, opus_type) in offers {
        let sending = play(offer, &[h264("42e01f"), opus()]).unwrap();
        assert_eq!(first_payload(&sending, Kind::Video).1, h264_type, "{name}");
        assert_eq!(first_payload(&sending, Kind::Audio), (Codec::Opus, opus_type, None), "{name}");
        let sending = play(offer, &[track(Codec::Vp8, ""), opus()]).unwrap();
        assert_eq!(first_payload(&sending, Kind::Video).1, vp8_type, "{name}");
    }
}

#[test]
fn an_h264_profile_chooses_among_payload_types_and_never_refuses() {
    let cases = [("42001f", 103), ("42e01f", 109), ("4d001f", 39), ("4d401f", 39), ("640032", 109), ("nonsense", 109)];
    for (profile, expected) in cases {
        let sending = play(CHROMIUM_PLAY, &[h264(profile)]).unwrap();
        assert_eq!(first_payload(&sending, Kind::Video).1, expected, "{profile}");
    }
}

#[test]
fn h264_in_mode_1_does_not_fit_a_receiver_of_mode_0() {
    let offer = AIORTC_PLAY.replace("packetization-mode=1", "packetization-mode=0").replace("VP8", "XVP8");
    let refusal = play(&offer, &[h264("42e01f")]).unwrap_err();
    let text = "no common video codec: published is h264 (packetization-mode=1), \
                offered was h264 (packetization-mode=0), xvp8";
    assert_eq!(refusal, Refusal::Unsupported(text.to_owned()));
}

/// The two profiles as Chromium offers them where the machine has them, but Main 10 first.
fn with_h265(offer: &str) -> String {
    let payload = |number: u8, profile: u8| {
        let line = |word: &str, value: &str| format!("a={word}:{number} {value}\r\n");
        [line("rtpmap", "H265/90000"), line("fmtp", &format!("level-id=93;profile-id={profile};tx-mode=SRST"))].concat()
    };
    let (audio, video) = offer.split_once("m=video 9 UDP/TLS/RTP/SAVPF ").unwrap();
    format!("{audio}m=video 9 UDP/TLS/RTP/SAVPF 51 52 {video}{}{}", payload(51, 2), payload(52, 1))
}

#[test]
fn h265_is_taken_in_main_and_played_in_the_profile_in_which_it_was_published() {
    let receiving = publish(&with_h265(CHROMIUM_PUBLISH), &[Codec::H265, Codec::Opus]).unwrap();
    assert_eq!(chosen(&receiving)[1], (Kind::Video, Codec::H265, 52, None));
    let offer = with_h265(CHROMIUM_PLAY);
    for (fmtp, expected) in [("profile-id=2", 51), ("profile-id=1", 52), ("", 52)] {
        let sending = play(&offer, &[track(Codec::H265, fmtp)]).unwrap();
        assert_eq!(first_payload(&sending, Kind::Video).1, expected, "{fmtp}");
    }
    let main_only = offer.replace("profile-id=2;tx-mode", "profile-id=1;tx-mode");
    let refusal = play(&main_only, &[track(Codec::H265, "profile-id=2")]).unwrap_err().to_string();
    assert!(refusal.contains("published is h265 (profile-id=2), offered was h265 (profile-id=1)"), "{refusal}");
}

#[test]
fn a_viewer_is_answered_with_every_codec_the_current_one_first() {
    let sending = play(CHROMIUM_PLAY, &[track(Codec::Vp9, "profile-id=0"), opus()]).unwrap();
    let video: Vec<Codec> = sending.media[1].payloads.iter().map(|p| p.format.codec).collect();
    assert_eq!(video, vec![Codec::Vp9, Codec::H264, Codec::Vp8, Codec::Av1]);
    assert_eq!((sending.media[1].ssrc, sending.media[1].rtx_ssrc), (13, Some(14)));
    assert_eq!((sending.media[0].ssrc, sending.media[0].rtx_ssrc), (11, None));
}

#[test]
fn a_kind_that_the_stream_lacks_is_answered_with_port_0_outside_bundle() {
    let offer = Offer::parse(CHROMIUM_PLAY).unwrap();
    let sending = whep::negotiate(&offer, &[opus()], &sources()).unwrap();
    let answer = whep::answer(&local(), &sources(), &offer, &sending);
    assert_eq!(lines(&answer, "m="), vec!["m=audio 9 UDP/TLS/RTP/SAVPF 111", "m=video 0 UDP/TLS/RTP/SAVPF 96"]);
    assert_eq!(lines(&answer, "a=group"), vec!["a=group:BUNDLE 0"]);
    assert_eq!(lines(&answer, "a=msid:"), vec!["a=msid:us us-audio"]);
}

#[test]
fn candidates_stand_in_the_first_section_that_is_not_rejected() {
    let offer = Offer::parse(CHROMIUM_PLAY).unwrap();
    let sending = whep::negotiate(&offer, &[h264("42e01f")], &sources()).unwrap();
    let answer = whep::answer(&local(), &sources(), &offer, &sending);
    let (rejected, played) = answer.split_once("m=video").unwrap();
    assert_eq!((lines(rejected, "a=candidate").len(), lines(played, "a=candidate").len()), (0, 2));
    assert_eq!(lines(played, "a=ssrc-group"), vec!["a=ssrc-group:FID 11 12"]);
    assert_eq!(lines(played, "a=sendonly").len(), 1);
}

#[test]
fn published_stereo_is_announced_to_the_viewer() {
    let stereo = track(Codec::Opus, "minptime=10;stereo=1;useinbandfec=1");
    let sending = play(CHROMIUM_PLAY, &[stereo]).unwrap();
    assert_eq!(sending.media[0].payloads[0].format.fmtp, "minptime=10;useinbandfec=1;sprop-stereo=1");
}

#[test]
fn the_peers_setup_decides_ours() {
    let cases =
        [("actpass", Ok("passive")), ("active", Ok("passive")), ("passive", Ok("active")), ("holdconn", Err(()))];
    for (theirs, expected) in cases {
        let offer = CHROMIUM_PUBLISH.replace("a=setup:actpass", &format!("a=setup:{theirs}"));
        let answer = publish(&offer, &[]).map(|receiving| whip::answer(&local(), &receiving));
        match (answer, expected) {
            (Ok(answer), Ok(ours)) => assert!(answer.contains(&format!("a=setup:{ours}\r\n")), "{theirs}"),
            (Err(Refusal::Malformed(_)), Err(())) => {}
            (answer, _) => panic!("{theirs}: {answer:?}"),
        }
    }
}

#[test]
fn malformed_offers_are_refused() {
    let cases = [
        ("empty", String::new()),
        ("no SDP", "hello".to_owned()),
        ("no media", "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n".to_owned()),
        ("cut in a line", CHROMIUM_PLAY[..700].to_owned() + "\r\nrubbish"),
        ("too long", format!("{CHROMIUM_PLAY}a=x:{}\r\n", "x".repeat(sdp::MAX_SDP_BYTES))),
        ("too many sections", CHROMIUM_PLAY.to_owned() + &"m=audio 0 X 1\r\n".repeat(100)),
        ("more formats than payload types", CHROMIUM_PLAY.replace("SAVPF ", &format!("SAVPF {}", "96 ".repeat(128)))),
        ("a line's end in the midst of it", CHROMIUM_PLAY.replace("a=fmtp:111 ", "a=fmtp:111 x\ra=y;")),
        ("no ufrag", CHROMIUM_PLAY.replace("a=ice-ufrag:EsAw\n", "")),
        ("a ufrag with a space", CHROMIUM_PLAY.replace("ice-ufrag:EsAw", "ice-ufrag:Es Aw")),
        ("a short password", CHROMIUM_PLAY.replace("bP+XJMM09aR8AiX1jdukzR6Y", "short")),
        ("no fingerprint", CHROMIUM_PLAY.replace("a=fingerprint", "a=fingerpaint")),
        ("a short fingerprint", CHROMIUM_PLAY.replace("6B:8B:F0", "6B:8B")),
        ("a fingerprint with a sign", CHROMIUM_PLAY.replace("6B:8B:F0", "6B:+B:F0")),
        ("a port with a sign", CHROMIUM_PLAY.replace("m=audio 9", "m=audio +9")),
        ("no rtcp-mux", CHROMIUM_PLAY.replace("a=rtcp-mux\n", "")),
        ("outside BUNDLE", CHROMIUM_PLAY.replace("BUNDLE 0 1", "BUNDLE 0")),
        ("one mid twice", CHROMIUM_PLAY.replace("a=mid:1", "a=mid:0")),
        (
            "a long mid",
            CHROMIUM_PLAY
                .replace("a=mid:1", "a=mid:12345678901234567")
                .replace("BUNDLE 0 1", "BUNDLE 0 12345678901234567"),
        ),
        ("plain RTP", CHROMIUM_PLAY.replace("UDP/TLS/RTP/SAVPF", "RTP/AVP")),
    ];
    for (name, offer) in cases {
        assert!(matches!(Offer::parse(&offer), Err(Refusal::Malformed(_))), "{name}: {:?}", Offer::parse(&offer));
    }
}

#[test]
fn no_byte_flipped_or_cut_away_makes_the_reader_fall_over() {
    for offer in [CHROMIUM_PUBLISH, FIREFOX_PLAY, OBS_PUBLISH] {
        for position in (0..offer.len()).step_by(7) {
            let _ = play(&offer[..position], &[h264("42e01f"), opus()]);
            let mut bytes = offer.as_bytes().to_vec();
            bytes[position] ^= 0x15;
            let _ = publish(&String::from_utf8_lossy(&bytes), &[]);
        }
    }
}

#[test]
fn what_cannot_be_published_is_said_in_a_sentence() {
    let two_videos = {
        let (head, video) = CHROMIUM_PUBLISH.split_once("m=video").unwrap();
        let second = video.replace("a=mid:1", "a=mid:2").replace("22316", "12316");
        format!("{}m=video{video}m=video{second}", head.replace("BUNDLE 0 1", "BUNDLE 0 1 2"))
    };
    let data = format!("{CHROMIUM_PUBLISH}m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\n");
    let cases = [
        (two_videos, "at most one video track can be published"),
        (data, "a publisher's application section cannot be taken"),
        (
            OBS_PUBLISH.replace("H264", "MPEG4"),
            "no common video codec: the stream takes h264, vp8, vp9, av1, h265, offered was mpeg4",
        ),
        (OBS_PUBLISH.replace("v=0\n", "v=0\na=ice-lite\n"), "ICE lite clients are not supported: one side must check"),
    ];
    for (offer, expected) in cases {
        assert_eq!(publish(&offer, &[]), Err(Refusal::Unsupported(expected.to_owned())));
    }
    let backwards = publish(CHROMIUM_PLAY, &[]);
    assert_eq!(backwards, Err(Refusal::Malformed("a WHIP offer must be sendonly (RFC 9725, 4.2)".to_owned())));
}

#[test]
fn nothing_wanted_or_nothing_published_is_refused() {
    let refused = |result: Result<Sending, Refusal>| matches!(result, Err(Refusal::Unsupported(_)));
    assert!(refused(play(CHROMIUM_PLAY, &[])));
    assert!(refused(play(CHROMIUM_PUBLISH, &[opus()])), "a publisher's offer receives nothing");
}

#[test]
fn a_relay_offers_one_fixed_profile_and_reads_its_answer() {
    let tracks = [h264("42e01f"), opus()];
    let text = relay::offer(&LocalTransport { candidates: vec![], ..local() }, &tracks).unwrap();
    assert_eq!(lines(&text, "m="), vec!["m=video 9 UDP/TLS/RTP/SAVPF 96 97", "m=audio 9 UDP/TLS/RTP/SAVPF 111"]);
    let offer = Offer::parse(&text).unwrap();
    let sending = whep::negotiate(&offer, &tracks, &sources()).unwrap();
    assert_eq!(sending.media[0].payloads.len(), 1);
    let ids: Vec<u8> = sending.media[0].extensions.iter().map(|(_, id)| id).collect();
    assert_eq!(ids, vec![1, 2, 3, 4, 5]);
    let answer = whep::answer(&local(), &sources(), &offer, &sending);
    let answer = Offer::parse(&answer).unwrap();
    let receiving = relay::accept(&answer).unwrap();
    assert_eq!(
        chosen(&receiving),
        vec![(Kind::Video, Codec::H264, 96, Some(97)), (Kind::Audio, Codec::Opus, 111, None),]
    );
    assert_eq!((receiving.media[0].ssrc, receiving.media[0].rtx_ssrc), (Some(11), Some(12)));
    assert!(receiving.peer.setup.makes_us_active());
    assert_eq!(answer.candidates.len(), 2);
}

#[test]
fn fragments_are_read_and_restarts_seen() {
    let trickle = "a=ice-ufrag:EsAw\r\na=ice-pwd:bP+XJMM09aR8AiX1jdukzR6Y\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n\
                   a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\na=end-of-candidates\r\n";
    let fragment = fragment::Fragment::parse(trickle).unwrap();
    assert_eq!((fragment.candidates, fragment.restart("EsAw")), (1, Ok(None)));
    let new = Some(("EsAw".to_owned(), "bP+XJMM09aR8AiX1jdukzR6Y".to_owned()));
    assert_eq!(fragment.restart("else"), Ok(new));
    assert!(fragment::Fragment::parse("a=ice-ufrag:EsAw\r\n").unwrap().restart("else").is_err(), "no password");
    for bad in ["", "{\"candidate\": 1}", "a=mid:0\r\n", "a=ice-ufrag:x\r\n"] {
        assert!(fragment::Fragment::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_restart_is_answered_by_the_tagged_section_for_the_whole_bundle() {
    let tagged = fragment::Tagged {
        addresses: local().candidates,
        tcp: true,
        mids: vec!["0".to_owned(), "1".to_owned()],
        first: Some((Kind::Audio, 111)),
    };
    let expected = [
        "a=ice-options:trickle ice2",
        "a=group:BUNDLE 0 1",
        "m=audio 9 UDP/TLS/RTP/SAVPF 111",
        "a=mid:0",
        "a=ice-ufrag:anew",
        "a=ice-pwd:a-password-of-24-letters",
        "a=candidate:1 1 udp 2130706431 198.51.100.1 7000 typ host",
        "a=candidate:2 1 udp 2130706175 2001:db8::7 7000 typ host",
        "a=candidate:3 1 tcp 1520435199 198.51.100.1 7000 typ host tcptype passive",
        "a=candidate:4 1 tcp 1520434943 2001:db8::7 7000 typ host tcptype passive",
        "a=end-of-candidates",
    ];
    let answer = fragment::answer(&tagged, "anew", "a-password-of-24-letters");
    assert_eq!(answer.lines().collect::<Vec<_>>(), expected);
}
