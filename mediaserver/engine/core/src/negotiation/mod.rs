//! Offers and answers (RFC 9429) by pure rules: what a peer offers, what we answer, what the session then carries.
//!
//! Answers are written here from the ground up, never edited: what is not in them was not negotiated.

mod answer;
pub mod codec;
pub mod extension;
pub mod fragment;
pub mod ingest;
pub mod link;
pub mod offer;
pub mod relay;
pub mod sdp;
pub mod simulcast;
#[cfg(test)]
mod tests;
pub mod whep;
pub mod whip;

use std::fmt;
use std::net::SocketAddr;

pub use codec::{Codec, Format, Kind};
pub use extension::{Extension, ExtensionIds};
pub use offer::{Offer, PeerTransport, Setup};

/// Why a description is not answered; the text is a sentence for the peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// No SDP, or against WHIP, WHEP or WebRTC (HTTP 400).
    Malformed(String),
    /// Well-formed, but not possible here (HTTP 422).
    Unsupported(String),
}

impl Refusal {
    pub(crate) fn malformed(text: impl Into<String>) -> Self {
        Self::Malformed(text.into())
    }

    pub(crate) fn unsupported(text: impl Into<String>) -> Self {
        Self::Unsupported(text.into())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(text) | Self::Unsupported(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Refusal {}

/// What our side of a session is called: goes into our descriptions, chosen (at random) by the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalTransport {
    pub session_id: u64,
    pub ufrag: String,
    pub password: String,
    /// sha-256, hex pairs with colons.
    pub fingerprint: String,
    /// Best first.
    pub candidates: Vec<SocketAddr>,
    /// Whether they take TCP connections too.
    pub tcp: bool,
}

/// SSRCs and names of what we send, chosen (at random) by the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalSources {
    pub cname: String,
    /// Distinct, none 0: two for each track.
    pub ssrcs: [u32; 8],
}

/// One payload type as negotiated.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is one line of the description")]
pub struct NegotiatedPayload {
    pub payload_type: u8,
    pub rtx: Option<u8>,
    pub format: Format,
    pub nack: bool,
    pub pli: bool,
    pub transport_cc: bool,
    /// The receiver's estimate comes as REMB.
    pub remb: bool,
}

/// A track that the peer sends us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedMedia {
    pub mid: String,
    pub kind: Kind,
    /// What it is thought to send: the first of the answer.
    pub payload: NegotiatedPayload,
    /// What it may send instead.
    pub others: Vec<NegotiatedPayload>,
    pub extensions: ExtensionIds,
    /// The peer takes RTCP of one packet (RFC 5506).
    pub reduced_size: bool,
    /// As signalled; None: learnt from the packets.
    pub ssrc: Option<u32>,
    pub rtx_ssrc: Option<u32>,
    /// Rids of its layers; empty: it has only one, without a name.
    pub layers: Vec<String>,
}

/// A track that we send to the peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentMedia {
    pub mid: String,
    pub kind: Kind,
    /// The current codec's first.
    pub payloads: Vec<NegotiatedPayload>,
    pub extensions: ExtensionIds,
    pub ssrc: u32,
    /// Some when a payload type has RTX.
    pub rtx_ssrc: Option<u32>,
    /// The layer that it is for good; None: whichever is chosen.
    pub rid: Option<String>,
}

/// A track as it stands in a stream's table entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Track {
    pub kind: Kind,
    pub format: Format,
    /// Rids of its layers; empty: it has only one, without a name.
    pub layers: Vec<String>,
}

/// Everything that became of an exchange where the peer sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiving {
    pub peer: PeerTransport,
    pub media: Vec<ReceivedMedia>,
}

/// Everything that became of an exchange where we send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sending {
    pub peer: PeerTransport,
    pub media: Vec<SentMedia>,
}
