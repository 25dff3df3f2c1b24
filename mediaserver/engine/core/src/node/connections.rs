//! What a node is told of TCP connections; their frames come as datagrams of `Socket::Shared`, from the connection's name.

use std::net::SocketAddr;
use std::time::Instant;

use super::Node;
use crate::border::ViewerId;

impl Node {
    /// Whether a session's valid check came on `connection`.
    #[must_use]
    pub fn knows(&self, connection: SocketAddr) -> bool {
        self.by_address.contains_key(&connection) || self.claims.contains_key(&connection)
    }

    /// It takes video again.
    pub fn on_connection_writable(&mut self, connection: SocketAddr) {
        if let Some(viewer) = self.viewer_on(connection) {
            self.forwarder.on_writable(viewer);
        }
    }

    /// Video on its way there was too late and has been dropped.
    pub fn on_connection_cut(&mut self, connection: SocketAddr, now: Instant) {
        if let Some(viewer) = self.viewer_on(connection) {
            self.forwarder.on_cut(viewer, now);
            self.settle(now);
        }
    }

    /// It is gone. The session lives on while it has consent: its peer may come by another way.
    pub fn on_connection_closed(&mut self, connection: SocketAddr, now: Instant) {
        let ids = [self.by_address.get(&connection).copied(), self.claims.get(&connection).copied()];
        let viewer = self.viewer_on(connection);
        for id in ids.into_iter().flatten() {
            self.forget_address(connection, id);
            if let Some(entry) = self.sessions.get_mut(&id) {
                entry.addresses.retain(|address| *address != connection);
            }
            self.turn(id, now, |session| session.on_connection_closed(connection));
        }
        if let Some(viewer) = viewer {
            self.forwarder.set_destination(viewer, None, now);
        }
    }

    /// The viewer whose media go there.
    fn viewer_on(&self, connection: SocketAddr) -> Option<ViewerId> {
        let entry = self.sessions.get(self.by_address.get(&connection)?)?;
        entry.viewer.filter(|_| entry.session.remote() == Some(connection))
    }
}
