//! Values under ids that are never reused: an index and a generation.

use rivulet_hot::prefetch;

/// Index in the low 32 bits, generation above.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id {
    index: u32,
    generation: u32,
}

impl Id {
    /// Small, and another's once this one is gone.
    #[must_use]
    pub(crate) const fn index(self) -> usize {
        self.index as usize
    }
}

#[derive(Debug)]
pub(crate) struct Slots<T> {
    entries: Vec<(u32, Option<T>)>,
    free: Vec<u32>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slots<T> {
    pub fn insert(&mut self, value: T) -> Id {
        if let Some(index) = self.free.pop() {
            let entry = &mut self.entries[index as usize];
            entry.1 = Some(value);
            return Id { index, generation: entry.0 };
        }
        let index = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        self.entries.push((0, Some(value)));
        Id { index, generation: 0 }
    }

    pub fn remove(&mut self, id: Id) -> Option<T> {
        let entry = self.entries.get_mut(id.index as usize).filter(|entry| entry.0 == id.generation)?;
        let value = entry.1.take()?;
        entry.0 += 1;
        // An index whose generations are used up rests for ever.
        if entry.0 < u32::MAX {
            self.free.push(id.index);
        }
        Some(value)
    }

    pub fn get(&self, id: Id) -> Option<&T> {
        self.entries.get(id.index as usize).filter(|entry| entry.0 == id.generation)?.1.as_ref()
    }

    pub fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        self.entries.get_mut(id.index as usize).filter(|entry| entry.0 == id.generation)?.1.as_mut()
    }

    /// Begin to fetch all of a value.
    #[inline]
    pub fn prefetch(&self, id: Id) {
        if let Some(entry) = self.entries.get(id.index as usize) {
            prefetch(entry);
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (Id, &T)> {
        self.entries.iter().zip(0..).filter_map(|((generation, value), index)| {
            value.as_ref().map(|value| (Id { index, generation: *generation }, value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_never_reused() {
        let mut slots = Slots::default();
        let first = slots.insert('a');
        assert_eq!(slots.remove(first), Some('a'));
        let second = slots.insert('b');
        assert_ne!(first, second);
        assert_eq!((slots.get(first), slots.get(second)), (None, Some(&'b')));
        assert_eq!(slots.remove(first), None);
        assert_eq!(slots.iter().collect::<Vec<_>>(), [(second, &'b')]);
    }
}
