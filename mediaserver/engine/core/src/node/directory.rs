//! Which thread of the node has which session: one directory for all threads.
//!
//! It is asked where a session begins, moves or ends, and for datagrams that the thread they came to does not know; never for media
//! on their usual way.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::{Full, Limits, SessionId};
use crate::inboxes::ThreadNumber;

#[derive(Debug, Clone, Copy)]
struct Place {
    thread: ThreadNumber,
    connected: bool,
}

#[derive(Debug, Default)]
struct Places {
    sessions: HashMap<SessionId, Place>,
    handshakes: usize,
    ufrags: HashMap<String, ThreadNumber>,
    addresses: HashMap<SocketAddr, ThreadNumber>,
}

/// Cheap to clone: all clones are one directory.
#[derive(Debug, Clone, Default)]
pub struct Directory(Arc<RwLock<Places>>);

impl Directory {
    /// Where a session is. None: there is none.
    #[must_use]
    pub fn thread_of(&self, id: SessionId) -> Option<ThreadNumber> {
        self.read().sessions.get(&id).map(|place| place.thread)
    }

    /// Note a new session, if there is room for one among all threads' sessions.
    pub(super) fn admit(&self, id: SessionId, thread: ThreadNumber, limits: Limits) -> Result<(), Full> {
        let mut places = self.write();
        if places.sessions.len() >= limits.sessions {
            return Err(Full::Sessions);
        }
        if places.handshakes >= limits.handshakes {
            return Err(Full::Handshakes);
        }
        places.handshakes += 1;
        places.sessions.insert(id, Place { thread, connected: false });
        Ok(())
    }

    /// Note a leg: a session whose handshake is its link's.
    pub(super) fn admit_leg(&self, id: SessionId, thread: ThreadNumber, limits: Limits) -> Result<(), Full> {
        let mut places = self.write();
        if places.sessions.len() >= limits.sessions {
            return Err(Full::Sessions);
        }
        places.sessions.insert(id, Place { thread, connected: true });
        Ok(())
    }

    pub(super) fn connected(&self, id: SessionId) {
        let mut places = self.write();
        let first = places.sessions.get_mut(&id).is_some_and(|place| !std::mem::replace(&mut place.connected, true));
        places.handshakes -= usize::from(first);
    }

    pub(super) fn gone(&self, id: SessionId) {
        let mut places = self.write();
        let pending = places.sessions.remove(&id).is_some_and(|place| !place.connected);
        places.handshakes -= usize::from(pending);
    }

    /// A session is with another thread from now on, and what leads to it leads there.
    pub(super) fn moved<'a>(
        &self,
        id: SessionId,
        to: ThreadNumber,
        ufrags: impl Iterator<Item = &'a str>,
        addresses: impl Iterator<Item = SocketAddr>,
    ) {
        let mut places = self.write();
        if let Some(place) = places.sessions.get_mut(&id) {
            place.thread = to;
        }
        places.ufrags.extend(ufrags.map(|ufrag| (ufrag.to_owned(), to)));
        places.addresses.extend(addresses.map(|address| (address, to)));
    }

    /// A link's legs go with it.
    pub(super) fn moved_along(&self, legs: &[SessionId], to: ThreadNumber) {
        let mut places = self.write();
        for leg in legs {
            if let Some(place) = places.sessions.get_mut(leg) {
                place.thread = to;
            }
        }
    }

    pub(super) fn note_ufrag(&self, ufrag: &str, thread: ThreadNumber) {
        self.write().ufrags.insert(ufrag.to_owned(), thread);
    }

    pub(super) fn forget_ufrag(&self, ufrag: &str) {
        self.write().ufrags.remove(ufrag);
    }

    pub(super) fn of_ufrag(&self, ufrag: &str) -> Option<ThreadNumber> {
        self.read().ufrags.get(ufrag).copied()
    }

    /// What comes from there is for a session of `thread`, unless the thread it comes to knows better.
    pub(super) fn note_address(&self, address: SocketAddr, thread: ThreadNumber) {
        self.write().addresses.insert(address, thread);
    }

    pub(super) fn forget_address(&self, address: SocketAddr, thread: ThreadNumber) {
        let mut places = self.write();
        if places.addresses.get(&address) == Some(&thread) {
            places.addresses.remove(&address);
        }
    }

    pub(super) fn of_address(&self, address: SocketAddr) -> Option<ThreadNumber> {
        self.read().addresses.get(&address).copied()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let places = self.read();
        places.sessions.is_empty() && places.handshakes == 0 && places.ufrags.is_empty() && places.addresses.is_empty()
    }

    fn read(&self) -> RwLockReadGuard<'_, Places> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Places> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
