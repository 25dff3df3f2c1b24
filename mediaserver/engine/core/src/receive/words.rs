//! What a receiver says.

use std::time::Duration;

use crate::border::{SourcePacket, TrackSpec};

/// What comes out.
#[derive(Debug)]
pub enum Received {
    Packet {
        track: usize,
        packet: SourcePacket,
    },
    /// What comes of this track from now on has another codec.
    Retuned {
        track: usize,
        spec: TrackSpec,
    },
    /// A sender report.
    Report {
        track: usize,
        ntp: u64,
        rtp_timestamp: u32,
    },
    /// Something of a track is lost for good: only a key frame helps.
    NeedsKeyFrame {
        track: usize,
    },
    /// The peer said BYE for all tracks.
    Ended,
    /// The peer sends more than it may, and has for some time.
    TooFast,
    /// SRTCP for the peer.
    Feedback(Vec<u8>),
}

/// Counters since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Figures {
    /// Numbers that we asked for, repetitions counted.
    pub nacks: u64,
    /// Those that came then.
    pub repaired: u64,
    /// Those that we stopped asking for.
    pub given_up: u64,
    /// Packets that came too late to be passed on.
    pub late: u64,
    pub plis: u64,
    /// Worst fraction lost of all tracks in the latest report, before repair.
    pub loss: Option<f64>,
    pub rtt: Option<Duration>,
    /// Datagrams that did not authenticate, were replays, or belong to no track.
    pub rejected: u64,
}
