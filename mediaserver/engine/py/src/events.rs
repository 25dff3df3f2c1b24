//! What happened, waiting for Python.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Mutex, PoisonError};

use rivulet_core::node::NodeEvent;
use rivulet_udp::Waker;

pub struct EventQueue {
    events: Mutex<Vec<NodeEvent>>,
    waker: Waker,
}

impl EventQueue {
    /// # Errors
    /// When the process is out of descriptors.
    pub fn new() -> io::Result<Self> {
        Ok(Self { events: Mutex::new(Vec::new()), waker: Waker::new()? })
    }

    pub fn fd(&self) -> RawFd {
        self.waker.as_raw_fd()
    }

    pub fn wake(&self) {
        self.waker.wake();
    }

    pub fn extend(&self, events: impl Iterator<Item = NodeEvent>) {
        let mut queue = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let before = queue.len();
        queue.extend(events);
        if queue.len() > before {
            self.waker.wake();
        }
    }

    pub fn drain(&self) -> Vec<NodeEvent> {
        // Cleared first: what comes in between wakes again.
        self.waker.clear();
        std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
