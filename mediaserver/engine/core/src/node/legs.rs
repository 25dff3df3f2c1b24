//! Legs: the relays that one link carries. Each is a session to the outside, with a source or a viewer in the forwarder, and seals
//! for itself under the link's keys.
//!
//! Invariant: a leg is in `legs` exactly as long as its link lives and its SSRCs lead to it; `remove_leg` is the only way out.

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use super::{CloseReason, Fact, Full, Node, SessionId, Transmit};
use crate::border::{SourceId, SourceKind, StreamKey, ViewerId, ViewerSpec};
use crate::link::{Owner, UsedSsrc};
use crate::negotiation::link::LegWish;
use crate::negotiation::{Refusal, Track};
use crate::receive::{Received, Receiver};
use crate::session::{Media, Role, is_rtp};
use crate::trace::Direction;

/// A puller reports on each leg once a second. One that is not heard of for so long was closed there, and the word of it is lost.
const SILENT: Duration = Duration::from_secs(10);
/// A leg that wants another turn at once gets it after this.
const MIN_STEP: Duration = Duration::from_millis(1);

/// Which stream a leg is for.
#[derive(Debug, Clone)]
pub struct NewLeg {
    pub id: SessionId,
    pub link: SessionId,
    pub stream: StreamKey,
    pub cname: String,
}

/// Why there is no leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LegError {
    UnknownLink,
    UsedSsrc,
    Full(Full),
    Refused(Refusal),
}

impl From<UsedSsrc> for LegError {
    fn from(_: UsedSsrc) -> Self {
        Self::UsedSsrc
    }
}

impl From<Full> for LegError {
    fn from(full: Full) -> Self {
        Self::Full(full)
    }
}

impl From<Refusal> for LegError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

pub(super) struct Leg {
    pub link: SessionId,
    pub stream: StreamKey,
    pub incarnation: Option<String>,
    pub media: Media,
    pub created: Instant,
    pub source: Option<SourceId>,
    pub viewer: Option<ViewerId>,
    pub introduced: bool,
    /// The parent has agreed. Its media may come before that is known.
    answered: bool,
    pub connected: bool,
    /// When the puller last reported.
    heard: Instant,
    /// As it stands in `timers`.
    deadline: Option<Instant>,
}

impl Leg {
    fn new(new: &NewLeg, incarnation: Option<String>, media: Media, now: Instant) -> Self {
        Self {
            link: new.link,
            stream: new.stream.clone(),
            incarnation,
            media,
            created: now,
            source: None,
            viewer: None,
            introduced: false,
            answered: false,
            connected: false,
            heard: now,
            deadline: None,
        }
    }

    pub const fn role(&self) -> Role {
        if matches!(self.media, Media::Inbound(_)) { Role::RelayIn } else { Role::RelayOut }
    }

    /// When it wants a turn.
    fn next_deadline(&self) -> Option<Instant> {
        match &self.media {
            Media::Inbound(receiver) => receiver.next_deadline(),
            Media::Outbound(_) | Media::Link(_) => self.viewer.map(|_| self.heard + SILENT),
        }
    }

    fn receiver(&mut self) -> Option<&mut Receiver> {
        if let Media::Inbound(receiver) = &mut self.media { Some(receiver) } else { None }
    }
}

impl Node {
    /// Begin to pull a stream by a link that we open: what the parent is to be asked for. Its packets are known from now on.
    ///
    /// # Errors
    /// `UnknownLink`, `Full`, `Refused` when there is nothing to pull.
    pub fn pull_leg(
        &mut self,
        new: &NewLeg,
        incarnation: &str,
        tracks: &[Track],
        now: Instant,
    ) -> Result<LegWish, LegError> {
        let (_, link) = self.link_mut(new.link).filter(|(role, _)| role.is_ours()).ok_or(LegError::UnknownLink)?;
        let wish = LegWish::of(tracks, &mut || link.draw())?;
        let receiver = Receiver::of_leg(&wish.received(tracks), &new.cname, wish.feedback);
        let specs = receiver.specs();
        self.take_leg(new, Leg::new(new, Some(incarnation.to_owned()), Media::Inbound(receiver), now), &wish)?;
        let source = self.forwarder.start_source(&new.stream, incarnation, SourceKind::Relay, &specs, now);
        self.by_source.insert(source, new.id);
        if let Some(leg) = self.legs.get_mut(&new.id) {
            leg.source = Some(source);
        }
        self.start_leg(new.id, now);
        Ok(wish)
    }

    /// Send a stream by a link that a puller has opened, from now on or from when the link's handshake is done.
    ///
    /// # Errors
    /// `UnknownLink`, `UsedSsrc`, `Full`, `Refused` when the stream has nothing of the wish.
    pub fn serve_leg(&mut self, new: &NewLeg, wish: &LegWish, tracks: &[Track], now: Instant) -> Result<(), LegError> {
        self.link_mut(new.link).filter(|(role, _)| *role == Role::LinkOut).ok_or(LegError::UnknownLink)?;
        let spec = ViewerSpec { tracks: wish.sent(tracks)?, cname: new.cname.clone(), relay: true, layer: None };
        self.take_leg(new, Leg::new(new, None, Media::Outbound(spec), now), wish)?;
        self.start_leg(new.id, now);
        self.settle(now);
        Ok(())
    }

    /// The parent has agreed to a leg. False: it is gone.
    pub fn answer_leg(&mut self, id: SessionId) -> bool {
        let Some(leg) = self.legs.get_mut(&id) else { return false };
        leg.answered = true;
        self.tell_if_connected(id);
        true
    }

    fn take_leg(&mut self, new: &NewLeg, leg: Leg, wish: &LegWish) -> Result<(), LegError> {
        self.directory.admit_leg(new.id, self.me(), self.limits)?;
        let taken = self.link_mut(new.link).map_or(Err(UsedSsrc), |(_, link)| link.take(new.id, &wish.ssrcs()));
        if taken.is_err() {
            self.directory.gone(new.id);
        }
        taken?;
        self.legs.insert(new.id, leg);
        Ok(())
    }

    pub(super) fn legs_of(&self, link: SessionId) -> Vec<SessionId> {
        self.legs.iter().filter(|(_, leg)| leg.link == link).map(|(id, _)| *id).collect()
    }

    /// The link's handshake is done.
    pub(super) fn start_legs(&mut self, link: SessionId, now: Instant) {
        for leg in self.legs_of(link) {
            self.start_leg(leg, now);
        }
    }

    /// Use the link's keys, once it has any.
    fn start_leg(&mut self, id: SessionId, now: Instant) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let Some(entry) = self.sessions.get(&leg.link) else { return };
        let Some(keys) = &entry.keys else { return };
        match &mut leg.media {
            Media::Inbound(receiver) => {
                if let Media::Link(link) = &entry.session.media
                    && let Some(round_trip) = link.round_trip
                {
                    receiver.note_round_trip(round_trip);
                }
                receiver.set_keys(keys, now);
            }
            Media::Outbound(spec) => {
                let (spec, remote) = (spec.clone(), entry.session.remote());
                let viewer = self.forwarder.add_viewer(&leg.stream, spec, keys, remote, now);
                self.by_viewer.insert(viewer, id);
                (leg.viewer, leg.answered, leg.heard) = (Some(viewer), true, now);
            }
            Media::Link(_) => {}
        }
        self.traces.connected(id, keys, now);
        self.tell_if_connected(id);
        self.wake_leg(id);
    }

    fn tell_if_connected(&mut self, id: SessionId) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let has_keys = self.sessions.get(&leg.link).is_some_and(|entry| entry.keys.is_some());
        if has_keys && leg.answered && !leg.connected {
            leg.connected = true;
            self.tell(id, Fact::Connected);
        }
    }

    /// SRTP or SRTCP on a link. False: for none of its legs, now or before.
    pub(super) fn on_leg_datagram(&mut self, link: SessionId, datagram: &[u8], now: Instant) -> bool {
        let at = if is_rtp(datagram) { 8 } else { 4 };
        let Some(ssrc) = datagram.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()) else { return false };
        let owner = self.link_mut(link).map_or(Owner::Nobody, |(_, link)| link.owner(u32::from_be_bytes(ssrc)));
        let Owner::Leg(id) = owner else { return owner == Owner::Gone };
        let Some(entry) = self.sessions.get(&link) else { return false };
        if let Some(from) = entry.session.remote() {
            self.traces.datagram(id, Direction::In, from, datagram, now);
        }
        let Some(leg) = self.legs.get_mut(&id) else { return false };
        match (&leg.media, leg.viewer) {
            (Media::Inbound(_), _) => self.turn_leg(id, now, |receiver| receiver.on_datagram(datagram, now)),
            (_, Some(viewer)) if !is_rtp(datagram) => {
                leg.heard = now;
                self.on_viewer_feedback(id, viewer, datagram, now);
            }
            _ => return false,
        }
        true
    }

    /// Let a leg's receiver do something and take what comes of it. A panic over it ends the leg, and only it.
    pub(super) fn turn_leg(&mut self, id: SessionId, now: Instant, action: impl FnOnce(&mut Receiver)) {
        self.guard(id, now, |node| {
            let Some(receiver) = node.legs.get_mut(&id).and_then(Leg::receiver) else { return };
            action(receiver);
            while let Some(received) = node.legs.get_mut(&id).and_then(Leg::receiver).and_then(Receiver::poll_output) {
                node.take_received(id, received, now);
            }
        });
        self.wake_leg(id);
    }

    fn take_received(&mut self, id: SessionId, received: Received, now: Instant) {
        match received {
            Received::Packet { track, packet } => self.forward(id, now, |forwarder, source| {
                forwarder.on_source_packet(source, track, packet, now);
            }),
            Received::Retuned { track, spec } => self.forward(id, now, |forwarder, source| {
                forwarder.retune(source, track, spec, now);
            }),
            Received::Report { track, ntp, rtp_timestamp } => self.forward(id, now, |forwarder, source| {
                forwarder.on_source_report(source, track, ntp, rtp_timestamp, now);
            }),
            Received::NeedsKeyFrame { track } => self.forward(id, now, |forwarder, source| {
                forwarder.on_source_gap(source, track, now);
            }),
            Received::Feedback(datagram) => self.send_for_leg(id, datagram, now),
            Received::Ended => self.end_leg(id, CloseReason::PeerClosed, now),
            Received::TooFast => self.end_leg(id, CloseReason::TooFast, now),
        }
    }

    fn send_for_leg(&mut self, id: SessionId, datagram: Vec<u8>, now: Instant) {
        let Some(entry) = self.legs.get(&id).and_then(|leg| self.sessions.get(&leg.link)) else { return };
        if let Some(to) = entry.session.remote() {
            let socket = entry.socket;
            self.traces.datagram(id, Direction::Out, to, &datagram, now);
            self.transmits.push(Transmit { socket, to, datagram });
        }
    }

    pub(super) fn on_leg_timeout(&mut self, id: SessionId, now: Instant) {
        let expired =
            |leg: &Leg| !matches!(leg.media, Media::Inbound(_)) && leg.next_deadline().is_some_and(|at| at <= now);
        if self.legs.get(&id).is_some_and(expired) {
            self.end_leg(id, CloseReason::ConsentExpired, now);
            return;
        }
        self.turn_leg(id, now, |receiver| receiver.on_timeout(now));
        let next = self.legs.get(&id).and_then(Leg::next_deadline);
        self.wake_leg_at(id, next.map(|at| at.max(now + MIN_STEP)));
    }

    fn wake_leg(&mut self, id: SessionId) {
        let next = self.legs.get(&id).and_then(Leg::next_deadline);
        self.wake_leg_at(id, next);
    }

    fn wake_leg_at(&mut self, id: SessionId, at: Option<Instant>) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        if leg.deadline != at {
            leg.deadline.map(|before| self.timers.remove(&(before, id)));
            self.timers.extend(at.map(|at| (at, id)));
            leg.deadline = at;
        }
    }

    /// The link has measured its round trip.
    pub(super) fn note_round_trip(&mut self, link: SessionId, measured: Duration) {
        for leg in self.legs.values_mut().filter(|leg| leg.link == link) {
            if let Media::Inbound(receiver) = &mut leg.media {
                receiver.note_round_trip(measured);
            }
        }
    }

    /// The link's media go another way.
    pub(super) fn redirect_legs(&mut self, link: SessionId, to: std::net::SocketAddr, now: Instant) {
        let viewers: Vec<ViewerId> =
            self.legs.values().filter(|leg| leg.link == link).filter_map(|leg| leg.viewer).collect();
        for viewer in viewers {
            self.forwarder.set_destination(viewer, Some(to), now);
        }
    }

    /// End a leg and tell the peer. False: there is none.
    pub(super) fn close_leg(&mut self, id: SessionId, now: Instant) -> bool {
        if !self.legs.contains_key(&id) {
            return false;
        }
        self.turn_leg(id, now, Receiver::say_bye);
        self.remove_leg(id, now, true);
        self.settle(now);
        true
    }

    /// The same, and say why: nobody has asked for it.
    pub(super) fn end_leg(&mut self, id: SessionId, reason: CloseReason, now: Instant) {
        self.traces.event(id, "closed", &reason.name(), now);
        self.tell(id, Fact::Closed(reason));
        self.remove_leg(id, now, true);
    }

    /// The link ends, and with it all its legs.
    pub(super) fn end_legs(&mut self, link: SessionId, reason: CloseReason, now: Instant) {
        for leg in self.legs_of(link) {
            self.end_leg(leg, reason, now);
        }
    }

    pub(super) fn remove_leg(&mut self, id: SessionId, now: Instant, say_bye: bool) {
        let Some(leg) = self.legs.remove(&id) else { return };
        self.traces.session_ended(id, now);
        leg.deadline.map(|at| self.timers.remove(&(at, id)));
        if let Some((_, link)) = self.link_mut(leg.link) {
            link.release(id);
        }
        self.leave_forwarder((leg.viewer, leg.source), say_bye, now);
        self.directory.gone(id);
    }
}
