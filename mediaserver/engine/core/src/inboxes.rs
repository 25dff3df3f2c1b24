//! Words between the threads of one node: an inbox each, in order, never waited for.
//!
//! Invariant: a word that must be heard is always taken; one that may be left out is taken only while the inbox has room.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Which thread of the node, from 0.
pub type ThreadNumber = usize;

/// Most threads of a node: they fit a word of bits.
pub const MOST_THREADS: usize = 64;

struct Inbox<T> {
    words: Mutex<VecDeque<T>>,
    /// As many as wait; a little late is good enough.
    waiting: AtomicUsize,
}

/// One thread's end.
pub struct Inboxes<T> {
    me: ThreadNumber,
    all: Arc<[Inbox<T>]>,
    depth: usize,
    /// Threads that were written to since `take_wakes`, as bits.
    wakes: u64,
}

impl<T> Inboxes<T> {
    /// The ends of `threads` threads, all connected. `depth`: words that wait in an inbox before it is full.
    #[must_use]
    pub fn mesh(threads: usize, depth: usize) -> Vec<Self> {
        let count = threads.clamp(1, MOST_THREADS);
        let inbox = || Inbox { words: Mutex::default(), waiting: AtomicUsize::new(0) };
        let all: Arc<[Inbox<T>]> = (0..count).map(|_| inbox()).collect();
        (0..count).map(|me| Self { me, all: all.clone(), depth, wakes: 0 }).collect()
    }

    /// The end of a thread that has no others beside it.
    #[must_use]
    pub fn alone() -> Self {
        Self { me: 0, all: Arc::new([]), depth: 0, wakes: 0 }
    }

    #[must_use]
    pub const fn me(&self) -> ThreadNumber {
        self.me
    }

    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.all.len() < 2
    }

    pub fn others(&self) -> impl Iterator<Item = ThreadNumber> + use<T> {
        let me = self.me;
        (0..self.all.len()).filter(move |thread| *thread != me)
    }

    /// Whether `words` more find room there.
    #[must_use]
    pub fn has_room(&self, to: ThreadNumber, words: usize) -> bool {
        self.all.get(to).is_some_and(|inbox| inbox.waiting.load(Ordering::Relaxed) + words <= self.depth)
    }

    /// Say what must be heard.
    pub fn tell(&mut self, to: ThreadNumber, word: T) {
        let Some(inbox) = self.all.get(to) else { return };
        let mut words = inbox.words.lock().unwrap_or_else(PoisonError::into_inner);
        words.push_back(word);
        inbox.waiting.store(words.len(), Ordering::Release);
        self.wakes |= 1 << to;
    }

    /// Say what may be left out. False: the other thread is behind, and it was.
    #[must_use]
    pub fn offer(&mut self, to: ThreadNumber, word: T) -> bool {
        let room = self.has_room(to, 1);
        if room {
            self.tell(to, word);
        }
        room
    }

    /// All that was said to this thread.
    #[must_use]
    pub fn take(&mut self) -> VecDeque<T> {
        let Some(inbox) = self.all.get(self.me) else { return VecDeque::new() };
        if inbox.waiting.load(Ordering::Acquire) == 0 {
            return VecDeque::new();
        }
        let mut words = inbox.words.lock().unwrap_or_else(PoisonError::into_inner);
        inbox.waiting.store(0, Ordering::Relaxed);
        std::mem::take(&mut *words)
    }

    /// The threads that were written to since the last call, as bits: they are to be woken.
    pub fn take_wakes(&mut self) -> u64 {
        std::mem::take(&mut self.wakes)
    }
}

impl<T> fmt::Debug for Inboxes<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Inboxes({} of {})", self.me, self.all.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_arrive_in_order_and_a_full_inbox_takes_only_what_must_be_heard() {
        let [mut first, mut second] = <[Inboxes<u8>; 2]>::try_from(Inboxes::mesh(2, 2)).unwrap();
        assert!(first.offer(1, 1) && first.has_room(1, 1) && !first.has_room(1, 2));
        assert!(first.offer(1, 2));
        assert!(!first.offer(1, 3));
        first.tell(1, 4);
        assert_eq!(first.take_wakes(), 0b10);
        assert_eq!(first.take_wakes(), 0);
        assert_eq!(second.take(), [1, 2, 4]);
        assert_eq!(second.take(), []);
        assert!(first.offer(1, 5));
        assert_eq!(first.others().collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn a_thread_alone_has_nobody_to_talk_to() {
        let mut alone = Inboxes::<u8>::alone();
        assert!(alone.is_alone() && Inboxes::<u8>::mesh(1, 9)[0].is_alone());
        alone.tell(0, 1);
        assert!(!alone.offer(1, 2));
        assert_eq!((alone.others().count(), alone.take().len(), alone.take_wakes()), (0, 0, 0));
    }
}
