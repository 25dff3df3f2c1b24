//! What a session carries, and what comes of it where the peer sends it.

use super::{CloseReason, Output, Session};
use crate::border::ViewerSpec;
use crate::link::Link;
use crate::receive::{Received, Receiver};

/// The media of a session.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // One for each session, never moved.
pub enum Media {
    Inbound(Receiver),
    Outbound(ViewerSpec),
    /// Those of its legs, which the node has.
    Link(Link),
}

impl Session {
    /// Ask the peer for a key frame of `track`.
    pub fn request_key_frame(&mut self, track: usize) {
        if let Media::Inbound(receiver) = &mut self.media {
            receiver.request_key_frame(track);
            self.take_received();
        }
    }

    /// Have the peer, another node, send the layer that is `track`, or send it no more.
    pub fn want_layer(&mut self, track: usize, wanted: bool) {
        if let Media::Inbound(receiver) = &mut self.media {
            receiver.want_layer(track, wanted);
            self.take_received();
        }
    }

    pub(super) fn take_received(&mut self) {
        let Media::Inbound(receiver) = &mut self.media else { return };
        let mut ended = None;
        while let Some(received) = receiver.poll_output() {
            self.outputs.push_back(match received {
                Received::Packet { track, packet } => Output::Packet { track, packet },
                Received::Report { track, ntp, rtp_timestamp } => Output::Report { track, ntp, rtp_timestamp },
                Received::Retuned { track, spec } => Output::Retuned { track, spec },
                Received::NeedsKeyFrame { track } => Output::NeedsKeyFrame { track },
                Received::Feedback(datagram) => {
                    let Some(to) = self.nominated else { continue };
                    Output::Transmit { to, datagram }
                }
                Received::Ended => {
                    ended = Some(CloseReason::PeerClosed);
                    continue;
                }
                Received::TooFast => {
                    ended = Some(CloseReason::TooFast);
                    continue;
                }
            });
        }
        if let Some(reason) = ended {
            self.end(reason);
        }
    }
}
