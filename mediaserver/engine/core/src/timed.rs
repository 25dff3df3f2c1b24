//! Values that want something done at an instant of their own; whose turn it is is found without looking at them all.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::slots::{Id, Slots};

/// What wants something done without being called upon.
pub(crate) trait Deadline {
    /// When; it may be past. Changes only with the value.
    fn deadline(&self) -> Option<Instant>;
}

/// Like `Slots`. Whoever changes a value need not say so: what was lent out to be changed is looked at again.
#[derive(Debug)]
pub(crate) struct Timed<T> {
    slots: Slots<Entry<T>>,
    schedule: BTreeSet<(Instant, Id)>,
    /// Lent out since their deadlines were looked at, each once.
    lent: Vec<Id>,
}

#[derive(Debug)]
struct Entry<T> {
    value: T,
    /// As the schedule has it.
    at: Option<Instant>,
    lent: bool,
}

impl<T> Default for Timed<T> {
    fn default() -> Self {
        Self { slots: Slots::default(), schedule: BTreeSet::new(), lent: Vec::new() }
    }
}

impl<T: Deadline> Timed<T> {
    pub fn insert(&mut self, value: T) -> Id {
        let id = self.slots.insert(Entry { value, at: None, lent: true });
        self.lent.push(id);
        id
    }

    pub fn remove(&mut self, id: Id) -> Option<T> {
        let Entry { value, at, .. } = self.slots.remove(id)?;
        if let Some(at) = at {
            self.schedule.remove(&(at, id));
        }
        Some(value)
    }

    pub fn get(&self, id: Id) -> Option<&T> {
        self.slots.get(id).map(|entry| &entry.value)
    }

    pub fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        let entry = self.slots.get_mut(id)?;
        if !std::mem::replace(&mut entry.lent, true) {
            self.lent.push(id);
        }
        Some(&mut entry.value)
    }

    pub fn iter(&self) -> impl Iterator<Item = (Id, &T)> {
        self.slots.iter().map(|(id, entry)| (id, &entry.value))
    }

    /// The first of the deadlines.
    pub fn next_deadline(&mut self) -> Option<Instant> {
        self.settle();
        self.schedule.first().map(|(at, _)| *at)
    }

    /// Whose deadlines have come, the longest due first.
    pub fn due(&mut self, now: Instant) -> Vec<Id> {
        self.settle();
        self.schedule.iter().take_while(|(at, _)| *at <= now).map(|(_, id)| *id).collect()
    }

    fn settle(&mut self) {
        for id in self.lent.drain(..) {
            let Some(entry) = self.slots.get_mut(id) else { continue };
            entry.lent = false;
            let at = entry.value.deadline();
            let before = std::mem::replace(&mut entry.at, at);
            if before == at {
                continue;
            }
            if let Some(before) = before {
                self.schedule.remove(&(before, id));
            }
            if let Some(at) = at {
                self.schedule.insert((at, id));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    impl Deadline for Option<Instant> {
        fn deadline(&self) -> Option<Instant> {
            *self
        }
    }

    #[test]
    fn what_was_changed_removed_or_put_off_is_due_when_it_says_and_no_sooner() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut timed = Timed::default();
        let ids = [30, 10, 20].map(|ms| timed.insert(Some(at(ms))));
        let idle = timed.insert(None);
        assert_eq!((timed.next_deadline(), timed.due(at(20))), (Some(at(10)), vec![ids[1], ids[2]]));
        *timed.get_mut(ids[1]).unwrap() = Some(at(40));
        assert_eq!((timed.next_deadline(), timed.due(at(20))), (Some(at(20)), vec![ids[2]]));
        *timed.get_mut(idle).unwrap() = Some(at(5));
        *timed.get_mut(idle).unwrap() = Some(at(6));
        assert_eq!(timed.due(at(6)), [idle]);
        *timed.get_mut(idle).unwrap() = None;
        assert_eq!(timed.remove(ids[2]), Some(Some(at(20))));
        let _ = timed.get_mut(ids[0]);
        assert_eq!((timed.next_deadline(), timed.due(at(29))), (Some(at(30)), vec![]));
        timed.remove(ids[0]);
        assert_eq!(timed.due(at(100)), [ids[1]]);
        let again = timed.insert(Some(at(1)));
        assert_eq!(timed.due(at(100)), [again, ids[1]]);
    }
}
