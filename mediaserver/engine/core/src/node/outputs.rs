//! What sessions say, taken: datagrams are sent, media go to the forwarder, the rest changes maps and is told.

use std::net::SocketAddr;
use std::time::Instant;

use super::{Fact, Node, SessionId, Socket, Transmit};
use crate::border::SourceId;
use crate::forwarder::Forwarder;
use crate::session::{Media, Output};
use crate::tcp;
use crate::trace::Direction;

impl Node {
    pub(super) fn take_outputs(&mut self, id: SessionId, now: Instant) {
        while let Some(output) = self.sessions.get_mut(&id).and_then(|entry| entry.session.poll_output()) {
            self.take_output(id, output, now);
        }
    }

    fn take_output(&mut self, id: SessionId, output: Output, now: Instant) {
        let Some(entry) = self.sessions.get_mut(&id) else { return };
        match output {
            Output::Transmit { to, datagram } => {
                self.traces.datagram(id, Direction::Out, to, &datagram, now);
                self.transmits.push(Transmit { socket: entry.socket, to, datagram });
            }
            Output::Packet { track, packet } => self.forward(id, now, |forwarder, source| {
                forwarder.on_source_packet(source, track, packet, now);
            }),
            Output::Retuned { track, spec } => self.forward(id, now, |forwarder, source| {
                forwarder.retune(source, track, spec, now);
            }),
            Output::Report { track, ntp, rtp_timestamp } => self.forward(id, now, |forwarder, source| {
                forwarder.on_source_report(source, track, ntp, rtp_timestamp, now);
            }),
            Output::Moved => {
                let stream = entry.stream.clone();
                self.forwarder.on_source_moved(&stream, now);
            }
            Output::NeedsKeyFrame { track } => {
                if let Some(source) = entry.source {
                    self.forwarder.on_source_gap(source, track, now);
                }
            }
            Output::Connected(keys) => {
                if let Media::Outbound(spec) = &entry.session.media {
                    let (spec, remote) = (spec.clone(), entry.session.remote());
                    let viewer = self.forwarder.add_viewer(&entry.stream, spec, &keys, remote, now);
                    entry.viewer = Some(viewer);
                    self.by_viewer.insert(viewer, id);
                }
                self.relay_connections.extend(entry.session.relay_connection());
                self.directory.connected(id);
                self.traces.connected(id, &keys, now);
                entry.keys = Some(keys);
                self.tell(id, Fact::Connected);
                self.start_legs(id, now);
            }
            Output::Nominated(address) => {
                self.traces.event(id, "nominated", &tcp::plain(address), now);
                self.on_nominated(id, address, now);
            }
            Output::Proved(address) => {
                self.traces.event(id, "proved", &tcp::plain(address), now);
                self.on_proved(id, address);
            }
            Output::RoundTrip(measured) => self.note_round_trip(id, measured),
            Output::Forgotten { ufrag } => {
                self.by_ufrag.remove(&ufrag);
                self.directory.forget_ufrag(&ufrag);
            }
            Output::Closed(reason) => {
                self.traces.event(id, "closed", &reason.name(), now);
                self.end_legs(id, reason, now);
                self.tell(id, Fact::Closed(reason));
                self.remove(id, now, true);
            }
        }
    }

    /// What a source has sent goes to the forwarder. A panic over it ends the source's session, and only it.
    pub(super) fn forward(&mut self, id: SessionId, now: Instant, action: impl FnOnce(&mut Forwarder, SourceId)) {
        let of_leg = self.legs.get(&id).and_then(|leg| leg.source);
        let Some(source) = self.sessions.get(&id).and_then(|entry| entry.source).or(of_leg) else { return };
        if self.spare(|node| action(&mut node.forwarder, source)).is_none() {
            self.forwarder.forget_source(source);
            self.fail(id, now);
        }
    }

    fn on_nominated(&mut self, id: SessionId, address: SocketAddr, now: Instant) {
        let Some(entry) = self.sessions.get(&id) else { return };
        if let Some(viewer) = entry.viewer {
            self.forwarder.set_destination(viewer, Some(address), now);
        }
        if let Socket::Own(id) = entry.socket {
            self.settled.push((id, address));
        } else if self.arrival.by != self.me() && !entry.session.is_connected() && tcp::number(address).is_none() {
            self.leaving = Some((id, self.arrival.by));
        }
        self.redirect_legs(id, address, now);
    }
}
