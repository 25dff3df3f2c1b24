//! All TCP connections of the process, whichever thread has them: their numbers and how many they are.
//!
//! Invariant: no number is given twice, and a connection counts from its beginning until it is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// Numbers below are tokens of other descriptors.
const FIRST: u32 = 16;

/// Cheap to clone: all clones are one census.
#[derive(Clone)]
pub struct Census(Arc<Counts>);

struct Counts {
    next: AtomicU32,
    open: AtomicUsize,
    most: usize,
}

/// A connection's place among all; free when it is dropped.
pub struct Seat(Arc<Counts>);

impl Census {
    /// `most`: connections at a time.
    pub fn new(most: usize) -> Self {
        Self(Arc::new(Counts { next: AtomicU32::new(FIRST), open: AtomicUsize::new(0), most }))
    }

    /// The next connection's number.
    pub fn number(&self) -> u32 {
        let after = |number: u32| number.checked_add(1).unwrap_or(FIRST);
        let step = self.0.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |number| Some(after(number)));
        step.unwrap_or(FIRST)
    }

    pub fn is_full(&self) -> bool {
        self.0.open.load(Ordering::Relaxed) >= self.0.most
    }

    pub fn seat(&self) -> Seat {
        self.0.open.fetch_add(1, Ordering::Relaxed);
        Seat(self.0.clone())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
