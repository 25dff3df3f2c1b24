//! The fixed profile of links: payload types and extension ids of relays, known to both sides beforehand, so nothing is offered and
//! nothing answered but names and SSRCs.

use std::net::SocketAddr;

use super::offer::{ice_token, sha_256};
use super::relay::{EXTENSIONS, payload_types};
use super::whep::default_format;
use super::{
    Codec, Extension, ExtensionIds, Format, Kind, LocalTransport, NegotiatedPayload, PeerTransport, ReceivedMedia,
    Refusal, Setup, Track, simulcast,
};
use crate::border::{CodecPayload, ViewerTrack};

/// Tracks of a leg at most: audio, and a video track for each layer.
const MOST_TRACKS: usize = 1 + simulcast::MAX_LAYERS;

/// One end of a link, as it tells the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkTransport {
    pub ufrag: String,
    pub password: String,
    /// SHA-256 of the certificate, hex pairs with colons.
    pub fingerprint: String,
    /// UDP host candidates, best first; of the parent only.
    pub candidates: Vec<SocketAddr>,
}

impl LinkTransport {
    #[must_use]
    pub fn of(local: &LocalTransport) -> Self {
        let LocalTransport { ufrag, password, fingerprint, candidates, .. } = local.clone();
        Self { ufrag, password, fingerprint, candidates }
    }

    /// The other end; `setup` is its part in DTLS: whoever opens the link is active.
    ///
    /// # Errors
    /// `Malformed` when a value cannot be one.
    pub fn peer(&self, setup: Setup) -> Result<PeerTransport, Refusal> {
        Ok(PeerTransport {
            ufrag: ice_token(&self.ufrag, 4..=256, "ice-ufrag")?,
            password: ice_token(&self.password, 22..=256, "ice-pwd")?,
            fingerprint: ("sha-256".to_owned(), sha_256(&self.fingerprint)?),
            setup,
            over_tcp: false,
        })
    }
}

/// One track of a leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegTrack {
    pub kind: Kind,
    /// The layer that it is for good.
    pub rid: Option<String>,
    pub ssrc: u32,
    /// Of its repairs (RFC 4588).
    pub rtx_ssrc: Option<u32>,
}

/// What a puller asks for: the SSRCs of one leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegWish {
    /// The puller's own: its reports and requests are from it.
    pub feedback: u32,
    pub tracks: Vec<LegTrack>,
}

impl LegWish {
    /// For the first track of each kind, each layer by itself.
    ///
    /// # Errors
    /// `Unsupported` when there is nothing to pull.
    pub fn of(tracks: &[Track], draw: &mut impl FnMut() -> u32) -> Result<Self, Refusal> {
        let mut wish = Self { feedback: draw(), tracks: Vec::new() };
        for track in tracks {
            if wish.tracks.iter().any(|other| other.kind == track.kind) {
                continue;
            }
            let named = track.layers.iter().cloned().map(Some);
            for rid in named.chain(track.layers.is_empty().then_some(None)) {
                let rtx_ssrc = (track.kind == Kind::Video).then(&mut *draw);
                wish.tracks.push(LegTrack { kind: track.kind, rid, ssrc: draw(), rtx_ssrc });
            }
        }
        if wish.tracks.is_empty() {
            return Err(Refusal::unsupported("the stream has no tracks yet"));
        }
        Ok(wish)
    }

    /// All SSRCs that the leg takes of its link.
    #[must_use]
    pub fn ssrcs(&self) -> Vec<u32> {
        let of_tracks = self.tracks.iter().flat_map(|track| [Some(track.ssrc), track.rtx_ssrc]).flatten();
        std::iter::once(self.feedback).chain(of_tracks).collect()
    }

    /// What the puller's receiver expects; of each kind in any codec, in the stream's own first.
    #[must_use]
    pub fn received(&self, tracks: &[Track]) -> Vec<ReceivedMedia> {
        let media = |wished: &LegTrack| {
            let track = tracks.iter().find(|track| track.kind == wished.kind)?;
            Some(ReceivedMedia {
                mid: String::new(),
                kind: wished.kind,
                payload: payload(track.format.clone()),
                others: other_codecs(track).map(|codec| payload(default_format(codec))).collect(),
                extensions: extensions(),
                reduced_size: true,
                ssrc: Some(wished.ssrc),
                rtx_ssrc: wished.rtx_ssrc,
                layers: wished.rid.iter().cloned().collect(),
            })
        };
        self.tracks.iter().filter_map(media).collect()
    }

    /// What the parent sends of `tracks`; what the stream does not have is left out.
    ///
    /// # Errors
    /// `Malformed`, and `Unsupported` when nothing is left.
    pub fn sent(&self, tracks: &[Track]) -> Result<Vec<ViewerTrack>, Refusal> {
        if self.tracks.len() > MOST_TRACKS {
            return Err(Refusal::malformed(format!("a leg has at most {MOST_TRACKS} tracks")));
        }
        let mut sent: Vec<ViewerTrack> = Vec::new();
        for wished in &self.tracks {
            let has = |track: &&Track| {
                track.kind == wished.kind && wished.rid.as_ref().is_none_or(|rid| track.layers.contains(rid))
            };
            let twice = |other: &ViewerTrack| {
                other.kind == wished.kind && (other.rid == wished.rid || other.rid.is_none() || wished.rid.is_none())
            };
            if let Some(track) = tracks.iter().find(has).filter(|_| !sent.iter().any(twice)) {
                sent.push(viewer_track(wished, track));
            }
        }
        if sent.is_empty() {
            return Err(Refusal::unsupported("the stream has none of the tracks that are asked for"));
        }
        Ok(sent)
    }
}

fn viewer_track(wished: &LegTrack, track: &Track) -> ViewerTrack {
    let codecs = std::iter::once(track.format.codec).chain(other_codecs(track));
    let payloads = codecs.map(|codec| {
        let (payload_type, rtx) = payload_types(codec);
        CodecPayload { codec, payload_type, rtx: rtx.filter(|_| wished.rtx_ssrc.is_some()) }
    });
    ViewerTrack {
        kind: wished.kind,
        mid: String::new(),
        payloads: payloads.collect(),
        ssrc: wished.ssrc,
        rtx_ssrc: wished.rtx_ssrc,
        extensions: extensions(),
        rid: wished.rid.clone(),
    }
}

/// Nobody reads transport-wide numbers on the way between nodes: they are left out.
fn extensions() -> ExtensionIds {
    EXTENSIONS.into_iter().filter(|(extension, _)| *extension != Extension::TransportCc).collect()
}

fn other_codecs(track: &Track) -> impl Iterator<Item = Codec> + use<> {
    let (kind, own) = (track.kind, track.format.codec);
    Codec::ALL.into_iter().filter(move |codec| codec.kind() == kind && *codec != own)
}

fn payload(format: Format) -> NegotiatedPayload {
    let (payload_type, rtx) = payload_types(format.codec);
    let video = format.codec.kind() == Kind::Video;
    NegotiatedPayload { payload_type, rtx, format, nack: video, pli: video, transport_cc: false, remb: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn track(codec: Codec, layers: &[&str]) -> Track {
        let layers = layers.iter().map(|rid| (*rid).to_owned()).collect();
        Track { kind: codec.kind(), format: Format { codec, fmtp: String::new() }, layers }
    }

    fn wish(tracks: &[Track]) -> LegWish {
        let mut next = 99;
        LegWish::of(tracks, &mut || {
            next += 1;
            next
        })
        .unwrap()
    }

    #[test]
    fn each_layer_has_ssrcs_of_its_own_and_both_sides_make_the_same_of_them() {
        let tracks = [track(Codec::Opus, &[]), track(Codec::Vp8, &["h", "l"]), track(Codec::Vp9, &[])];
        let wish = wish(&tracks);
        assert_eq!(wish.ssrcs(), [100, 101, 103, 102, 105, 104]);
        let (received, sent) = (wish.received(&tracks), wish.sent(&tracks).unwrap());
        assert_eq!((received.len(), sent.len()), (3, 3));
        for (there, here) in received.iter().zip(&sent) {
            assert_eq!((there.ssrc, there.rtx_ssrc), (Some(here.ssrc), here.rtx_ssrc));
            assert_eq!(there.layers.first(), here.rid.as_ref());
            assert_eq!(there.payload.payload_type, here.payloads[0].payload_type);
            let types = |payloads: &[NegotiatedPayload]| payloads.iter().map(|p| p.payload_type).collect::<Vec<_>>();
            let sent_types: Vec<u8> = here.payloads[1..].iter().map(|p| p.payload_type).collect();
            assert_eq!(types(&there.others), sent_types, "whatever codec it goes on in");
            assert_eq!(here.extensions.id(Extension::TransportCc), None);
        }
    }

    #[test]
    fn what_the_stream_does_not_have_is_left_out_and_nothing_at_all_is_refused() {
        let asked = wish(&[track(Codec::Vp8, &["h", "x"]), track(Codec::Opus, &[])]);
        let rids = |tracks: &[Track]| {
            asked.sent(tracks).map(|sent| sent.into_iter().map(|track| track.rid).collect::<Vec<_>>())
        };
        assert_eq!(rids(&[track(Codec::Vp8, &["h"])]), Ok(vec![Some("h".to_owned())]));
        assert!(rids(&[track(Codec::Vp8, &[])]).is_err() && LegWish::of(&[], &mut || 1).is_err());
        let mut twice = wish(&[track(Codec::Opus, &[])]);
        twice.tracks.push(twice.tracks[0].clone());
        assert_eq!(twice.sent(&[track(Codec::Opus, &[])]).unwrap().len(), 1);
        twice.tracks.resize(MOST_TRACKS + 1, twice.tracks[0].clone());
        assert!(matches!(twice.sent(&[track(Codec::Opus, &[])]), Err(Refusal::Malformed(_))));
    }

    #[test]
    fn a_transport_that_cannot_be_one_is_refused() {
        let good = LinkTransport {
            ufrag: "abcd".to_owned(),
            password: "p".repeat(22),
            fingerprint: ["aB"; 32].join(":"),
            candidates: vec![],
        };
        let peer = good.peer(Setup::Active).unwrap();
        assert_eq!(peer.fingerprint, ("sha-256".to_owned(), ["AB"; 32].join(":")));
        for (name, bad) in [
            ("ufrag", LinkTransport { ufrag: "a b c".to_owned(), ..good.clone() }),
            ("password", LinkTransport { password: "p".repeat(21), ..good.clone() }),
            ("fingerprint", LinkTransport { fingerprint: "AB:CD".to_owned(), ..good.clone() }),
        ] {
            assert!(matches!(bad.peer(Setup::Active), Err(Refusal::Malformed(_))), "{name}");
        }
    }
}
