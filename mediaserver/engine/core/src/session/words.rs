//! The words in which a session is spoken of.

use std::net::SocketAddr;
use std::time::Duration;

use crate::border::{SourcePacket, TrackSpec};
use crate::srtp::SrtpKeys;

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Publisher,
    Viewer,
    /// We pull from another node.
    RelayIn,
    /// We pull from a foreign server: what it sends is published here.
    Ingest,
    /// Another node pulls from us.
    RelayOut,
    /// We pull from another node, many streams by one session.
    LinkIn,
    /// Another node does so from us.
    LinkOut,
}

impl Role {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Publisher => "publisher",
            Self::Viewer => "viewer",
            Self::RelayIn => "relay_in",
            Self::Ingest => "ingest",
            Self::RelayOut => "relay_out",
            Self::LinkIn => "link_in",
            Self::LinkOut => "link_out",
        }
    }

    /// Whether the peer sends the media.
    #[must_use]
    pub const fn receives(self) -> bool {
        matches!(self, Self::Publisher | Self::RelayIn | Self::Ingest | Self::LinkIn)
    }

    /// Whether we open the session.
    #[must_use]
    pub const fn is_ours(self) -> bool {
        matches!(self, Self::RelayIn | Self::Ingest | Self::LinkIn)
    }

    /// Whether it carries legs.
    #[must_use]
    pub const fn is_link(self) -> bool {
        matches!(self, Self::LinkIn | Self::LinkOut)
    }

    /// Whether it may be sealed without GCM.
    #[must_use]
    pub const fn takes_any_cipher(self) -> bool {
        !matches!(self, Self::RelayOut | Self::LinkIn | Self::LinkOut)
    }
}

/// Why a session ended without our asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    PeerClosed,
    HandshakeTimeout,
    ConsentExpired,
    /// A viewer that lost more than 30 % for 10 s.
    TooLossy,
    /// A publisher that sent more than it may, for more than a moment.
    TooFast,
    Failed,
    Shutdown,
    /// The stream goes on in a codec that the viewer did not agree to.
    CodecChanged,
    /// Of a relay over TCP: no connection to the parent came about.
    Unreachable,
    /// Of a relay over TCP: its connection has broken.
    ConnectionLost,
}

impl CloseReason {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PeerClosed => "peer-closed",
            Self::HandshakeTimeout => "handshake-timeout",
            Self::ConsentExpired => "consent-expired",
            Self::TooLossy => "too-lossy",
            Self::TooFast => "too-fast",
            Self::Failed => "failed",
            Self::Shutdown => "shutdown",
            Self::CodecChanged => "codec-changed",
            Self::Unreachable => "unreachable",
            Self::ConnectionLost => "connection-lost",
        }
    }
}

/// What comes out of a session.
pub enum Output {
    Transmit {
        to: SocketAddr,
        datagram: Vec<u8>,
    },
    /// The handshake is done and the peer is who its fingerprint says.
    Connected(SrtpKeys),
    /// Where media goes from now on.
    Nominated(SocketAddr),
    /// Our check to this address was answered.
    Proved(SocketAddr),
    /// How long that took, on a link.
    RoundTrip(Duration),
    /// Datagrams under this ICE user name of ours lead here no more.
    Forgotten {
        ufrag: String,
    },
    Packet {
        track: usize,
        packet: SourcePacket,
    },
    Retuned {
        track: usize,
        spec: TrackSpec,
    },
    Report {
        track: usize,
        ntp: u64,
        rtp_timestamp: u32,
    },
    /// What the peer sent of a track is lost in part, for good.
    NeedsKeyFrame {
        track: usize,
    },
    /// A publisher has another address: what was under way meanwhile has gone elsewhere.
    Moved,
    /// The last thing that is said.
    Closed(CloseReason),
}

/// Whether a datagram is SRTP or SRTCP by its first byte (RFC 7983).
#[must_use]
pub fn is_srtp(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|byte| (128..192).contains(byte))
}

/// Whether it is SRTP, not SRTCP (RFC 5761).
#[must_use]
pub fn is_rtp(datagram: &[u8]) -> bool {
    is_srtp(datagram) && datagram.get(1).is_some_and(|byte| !(192..224).contains(byte))
}
