//! Whose turn it is to send: viewers in order, each at most once.
//!
//! Who waits is noted here and not with the viewers: a burst is told to all of a stream's viewers, and each would be fetched from memory
//! for that.

use std::collections::VecDeque;

use crate::border::ViewerId;

#[derive(Debug, Default)]
pub(crate) struct Turns {
    queue: VecDeque<ViewerId>,
    /// By index: who of those that had or have it waits.
    waiting: Vec<Option<ViewerId>>,
}

impl Turns {
    /// Take a turn after all others, or when its turn comes anyway.
    pub fn push(&mut self, id: ViewerId) {
        let at = id.0.index();
        if at >= self.waiting.len() {
            self.waiting.resize(at + 1, None);
        }
        if self.waiting[at].replace(id) != Some(id) {
            self.queue.push_back(id);
        }
    }

    pub fn pop(&mut self) -> Option<ViewerId> {
        let id = self.queue.pop_front()?;
        if let Some(waiting) = self.waiting.get_mut(id.0.index()).filter(|waiting| **waiting == Some(id)) {
            *waiting = None;
        }
        Some(id)
    }

    /// Who comes after `turns` others.
    #[must_use]
    pub fn after(&self, turns: usize) -> Option<ViewerId> {
        self.queue.get(turns).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slots::Slots;

    #[test]
    fn each_waits_once_in_order_and_again_when_its_turn_has_been() {
        let mut slots = Slots::default();
        let [first, second] = [(); 2].map(|()| ViewerId(slots.insert(())));
        let mut turns = Turns::default();
        for id in [second, first, second, first] {
            turns.push(id);
        }
        assert_eq!((turns.after(0), turns.after(1), turns.after(2)), (Some(second), Some(first), None));
        assert_eq!(turns.pop(), Some(second));
        turns.push(second);
        assert_eq!([(); 3].map(|()| turns.pop()), [Some(first), Some(second), None]);
    }

    #[test]
    fn who_follows_at_the_place_of_one_that_is_gone_waits_for_itself() {
        let mut slots = Slots::default();
        let gone = ViewerId(slots.insert(()));
        let mut turns = Turns::default();
        turns.push(gone);
        slots.remove(gone.0);
        let new = ViewerId(slots.insert(()));
        turns.push(new);
        assert_eq!(turns.pop(), Some(gone));
        turns.push(new);
        assert_eq!([(); 2].map(|()| turns.pop()), [Some(new), None]);
    }
}
