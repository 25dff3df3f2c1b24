//! Session descriptions and fragments.

use super::Ground;
use crate::negotiation::fragment::{self, Fragment, Tagged};
use crate::negotiation::{Codec, Format, Kind, LocalSources, LocalTransport, Offer, Track, relay, whep, whip};

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

/// Whatever is taken is answered by a description that says the same when it is read again.
pub fn sdp(_: &mut Ground, data: &[u8]) {
    let text = String::from_utf8_lossy(data);
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
        }
    }
    for codec in [Codec::H264, Codec::Vp8, Codec::Av1] {
        play(&offer, codec, bound);
    }
    if let Ok(receiving) = relay::accept(&offer) {
        assert!(!receiving.media.is_empty());
    }
    for candidate in &offer.candidates {
        // A relay's parent says them, to str0m's own reader.
        let _ = str0m::Candidate::from_sdp_string(&format!("candidate:{candidate}"));
    }
}

fn play(offer: &Offer, codec: Codec, bound: usize) {
    let track =
        |codec: Codec| Track { kind: codec.kind(), format: Format { codec, fmtp: String::new() }, layers: vec![] };
    let sources = LocalSources { cname: "us".to_owned(), ssrcs: [11, 12, 13, 14, 15, 16, 17, 18] };
    let Ok(sending) = whep::negotiate(offer, &[track(codec), track(Codec::Opus)], &sources) else { return };
    let answer = whep::answer(&local(), &sources, offer, &sending);
    let read = Offer::parse(&answer).expect("our own answer");
    assert!(answer.len() <= bound);
    assert_eq!(read.media.len(), offer.media.len());
    let played: Vec<(Option<Kind>, &str)> =
        read.media.iter().filter(|m| m.kind.is_some()).map(|m| (m.kind, m.mid.as_str())).collect();
    assert_eq!(played, sending.media.iter().map(|m| (Some(m.kind), m.mid.as_str())).collect::<Vec<_>>());
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
