//! The words between a node and its shell.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::border::{StreamKey, TrackSpec};
use crate::session::{CloseReason, Session};

/// A session's name: shown as 16 hex digits.
pub type SessionId = u64;

/// Which socket a datagram came in or goes out by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Socket {
    /// The port that others open sessions on.
    Shared,
    /// The own socket of a relay that we opened.
    Own(SessionId),
}

/// A datagram that is not media: ICE, DTLS, and reports to those who send to us.
#[derive(Debug)]
pub struct Transmit {
    pub socket: Socket,
    pub to: SocketAddr,
    pub datagram: Vec<u8>,
}

/// Something to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeEvent {
    pub session: SessionId,
    pub stream: StreamKey,
    pub incarnation: Option<String>,
    pub fact: Fact,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    Connected,
    Closed(CloseReason),
    Tracks(Vec<TrackSpec>),
    Active,
    Silent,
    /// A viewer gets the layer of this name from now on.
    Layer(Arc<str>),
}

/// Why a session is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    Sessions,
    Handshakes,
}

#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub sessions: usize,
    pub handshakes: usize,
}

impl Limits {
    /// TCP connections that may be open: a client changes its way now and then, and for a moment has both.
    #[must_use]
    pub const fn connections(&self) -> usize {
        self.sessions * 2
    }
}

/// A session on its way in.
pub struct NewSession {
    pub id: SessionId,
    pub session: Session,
    pub stream: StreamKey,
    /// Of a source.
    pub incarnation: Option<String>,
}
