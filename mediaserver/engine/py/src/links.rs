//! Links, as other threads ask for them.

use std::net::SocketAddr;
use std::time::Instant;

use rivulet_core::negotiation::Track;
use rivulet_core::negotiation::link::{LegWish, LinkTransport};
use rivulet_core::node::{NewLeg, SessionId, accept_link};
use rivulet_udp::bind;

use crate::errors::Failure;
use crate::handle::Handle;
use crate::random;

impl Handle {
    /// A link of ours, with a socket of its own: what its parent is to be told.
    pub fn open_link(&self) -> Result<(SessionId, LinkTransport), Failure> {
        let local = random::local_transport(self.crypto.fingerprint());
        let transport = LinkTransport::of(&local);
        let socket = bind(SocketAddr::new(self.local.ip(), 0), self.buffers)?;
        let (id, first, now) = (random::session_id(), random::ssrc(), Instant::now());
        self.crew.call(self.crew.next(), move |data, _| -> Result<(), Failure> {
            data.add_own_socket(id, socket)?;
            data.node.open_link(id, local, first, now).map_err(|full| {
                data.drop_own_socket(id);
                Failure::Full(full)
            })
        })??;
        Ok((id, transport))
    }

    pub fn answer_link(&self, link: SessionId, parent: LinkTransport) -> Result<(), Failure> {
        Ok(self.crew.call_for(link, move |data, now| data.node.answer_link(link, &parent, now))??)
    }

    /// Another node's link: what it is to be told.
    pub fn accept_link(
        &self,
        puller: &LinkTransport,
        candidates: Option<Vec<SocketAddr>>,
    ) -> Result<(SessionId, LinkTransport), Failure> {
        let local = self.local_transport(candidates);
        let transport = LinkTransport::of(&local);
        let session = accept_link(&self.crypto, local, puller, random::ssrc(), Instant::now())?;
        Ok((self.add(session, "", None)?, transport))
    }

    pub fn pull_leg(
        &self,
        link: SessionId,
        stream: &str,
        incarnation: &str,
        tracks: Vec<Track>,
    ) -> Result<(SessionId, LegWish), Failure> {
        let (new, incarnation) = (new_leg(link, stream), incarnation.to_owned());
        let id = new.id;
        let wish =
            self.crew.call_for(link, move |data, now| data.node.pull_leg(&new, &incarnation, &tracks, now))??;
        Ok((id, wish))
    }

    pub fn serve_leg(
        &self,
        link: SessionId,
        stream: &str,
        tracks: Vec<Track>,
        wish: LegWish,
    ) -> Result<SessionId, Failure> {
        let new = new_leg(link, stream);
        let id = new.id;
        self.crew.call_for(link, move |data, now| data.node.serve_leg(&new, &wish, &tracks, now))??;
        Ok(id)
    }

    pub fn answer_leg(&self, leg: SessionId) -> Result<(), Failure> {
        let known = self.crew.call_for(leg, move |data, _| data.node.answer_leg(leg))?;
        if known { Ok(()) } else { Err(Failure::UnknownSession) }
    }
}

fn new_leg(link: SessionId, stream: &str) -> NewLeg {
    NewLeg { id: random::session_id(), link, stream: stream.into(), cname: random::local_sources().cname }
}
