//! Session descriptions and fragments.

use super::Ground;
use crate::negotiation::fragment::{self, Fragment, Tagged};
use crate::negotiation::{
    Codec, Format, Kind, LocalSources, LocalTransport, Offer, Setup, Track, ingest, relay, simulcast, whep, whip,
};

fn local() -> LocalTransport {
    LocalTransport {
        session_id: 7,
        ufrag: "ours".to_owned(),
        password: "a-password-of-24-letters".to_owned(),
        fingerprint: ["AB"; 32].join(":"),
        candidates: vec!["198.51.100.1:7000".parse().expect("an address")],
        tcp: false,
    }
}

/// What a foreign server answers is taken with the formats that it lists, or not at all.
fn answer(text: &str) {
    let Ok(answer) = Offer::parse_answer(text) else { return };
    assert!(answer.transport.setup != Setup::ActPass);
    for codecs in [&[][..], &[Codec::Av1, Codec::Vp8, Codec::Opus]] {
        let Ok(receiving) = ingest::accept(&answer, codecs) else { continue };
        assert!((1..=2).contains(&receiving.media.len()));
        for media in &receiving.media {
            for payload in std::iter::once(&media.payload).chain(&media.others) {
                assert!(payload.format.codec.kind() == media.kind && payload.format.fmtp.len() <= 1_024);
                assert!(codecs.is_empty() || codecs.contains(&payload.format.codec));
            }
        }
    }
}

/// Whatever is taken is answered by a description that says the same when it is read again.
pub fn sdp(_: &mut Ground, data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    answer(&text);
    let Ok(offer) = Offer::parse(&text) else { return };
    let bound = 8 * text.len() + 8192;
    for codecs in [&[][..], &[Codec::Av1, Codec::Vp8, Codec::Opus]] {
        let Ok(receiving) = whip::negotiate(&offer, codecs) else { continue };
        let answer = whip::answer(&local(), &receiving);
        let read = Offer::parse(&answer).expect("our own answer");
        assert!(answer.len() <= bound && read.media.len() == offer.media.len());
        for (media, wanted) in read.media.iter().zip(&receiving.media) {
            assert_eq!((media.kind, &media.mid), (Some(wanted.kind), &wanted.mid));
            assert_eq!(media.payloads[0].payload_type, wanted.payload.payload_type);
            layers(&answer, &wanted.layers);
        }
    }
    for codec in [Codec::H264, Codec::Vp8, Codec::Av1] {
        play(&offer, codec, &[], bound);
        play(&offer, codec, &["h", "m", "l"], bound);
    }
    if let Ok(receiving) = relay::accept(&offer) {
        assert!(!receiving.media.is_empty());
    }
    for candidate in &offer.candidates {
        // A relay's parent says them, to str0m's own reader.
        let _ = str0m::Candidate::from_sdp_string(&format!("candidate:{candidate}"));
    }
}

/// A publisher's layers are two or three, and the answer names each.
fn layers(answer: &str, layers: &[String]) {
    assert!([0, 2, 3].contains(&layers.len()) && layers.iter().all(|rid| simulcast::is_rid(rid)), "{layers:?}");
    let twice = |at: usize| layers[..at].contains(&layers[at]);
    assert!(!(0..layers.len()).any(twice), "{layers:?}");
    let list = format!("a=simulcast:recv {}\r\n", layers.join(";"));
    assert!(layers.is_empty() || answer.contains(&list));
    assert!(layers.iter().all(|rid| answer.contains(&format!("a=rid:{rid} recv\r\n"))));
}

/// `layers`: of the published video.
fn play(offer: &Offer, codec: Codec, layers: &[&str], bound: usize) {
    let named = |codec: Codec| layers.iter().filter(move |_| codec.kind() == Kind::Video);
    let track = |codec: Codec| Track {
        kind: codec.kind(),
        format: Format { codec, fmtp: String::new() },
        layers: named(codec).map(|rid| (*rid).to_owned()).collect(),
    };
    let sources = LocalSources { cname: "us".to_owned(), ssrcs: [11, 12, 13, 14, 15, 16, 17, 18] };
    let Ok(sending) = whep::negotiate(offer, &[track(codec), track(Codec::Opus)], &sources) else { return };
    let answer = whep::answer(&local(), &sources, offer, &sending);
    let read = Offer::parse(&answer).expect("our own answer");
    assert!(answer.len() <= bound);
    assert_eq!(read.media.len(), offer.media.len());
    let played: Vec<(Option<Kind>, &str)> =
        read.media.iter().filter(|m| m.kind.is_some()).map(|m| (m.kind, m.mid.as_str())).collect();
    assert_eq!(played, sending.media.iter().map(|m| (Some(m.kind), m.mid.as_str())).collect::<Vec<_>>());
    let mut rids: Vec<&String> = sending.media.iter().filter_map(|media| media.rid.as_ref()).collect();
    assert!(rids.iter().all(|rid| layers.contains(&rid.as_str())), "{rids:?}");
    let count = rids.len();
    rids.sort_unstable();
    rids.dedup();
    assert_eq!(rids.len(), count, "a layer twice");
}

/// New credentials come out as they went in.
pub fn fragment(_: &mut Ground, data: &[u8]) {
    let Ok(read) = Fragment::parse(&String::from_utf8_lossy(data)) else { return };
    assert!(read.candidates <= data.len());
    let Ok(Some((ufrag, password))) = read.restart("another") else { return };
    let tagged = Tagged {
        addresses: local().candidates,
        mids: vec!["0".to_owned()],
        first: Some((Kind::Audio, 111)),
        tcp: false,
    };
    let again = Fragment::parse(&fragment::answer(&tagged, &ufrag, &password)).expect("our own fragment");
    assert_eq!((again.ufrag, again.password, again.candidates), (Some(ufrag), Some(password), 1));
}
