//! Which packet indices of one SSRC were used: the highest and a bitmap below it.

use rivulet_hot::{LargeBox, prefetch};

/// How far below the highest an index is still told apart.
pub const WINDOW: u64 = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexState {
    Fresh,
    Used,
    /// Below the window: treated as used.
    TooOld,
}

#[derive(Debug)]
pub struct IndexWindow {
    highest: Option<u64>,
    /// One bit for each index modulo `WINDOW`.
    bitmap: LargeBox<[u64; usize_of(WINDOW / 64)]>,
}

impl Default for IndexWindow {
    fn default() -> Self {
        Self { highest: None, bitmap: LargeBox::new([0; usize_of(WINDOW / 64)]) }
    }
}

impl IndexWindow {
    #[must_use]
    pub fn highest(&self) -> Option<u64> {
        self.highest
    }

    /// Begin to fetch where the next index is marked.
    #[inline]
    pub fn prefetch_next(&self) {
        let (word, _) = place(self.highest.map_or(0, |highest| highest + 1));
        prefetch(&self.bitmap[word]);
    }

    #[must_use]
    pub fn state(&self, index: u64) -> IndexState {
        match self.highest {
            Some(highest) if index <= highest && highest - index >= WINDOW => IndexState::TooOld,
            Some(highest) if index <= highest && self.bit(index) => IndexState::Used,
            _ => IndexState::Fresh,
        }
    }

    pub fn mark(&mut self, index: u64) {
        match self.highest {
            Some(highest) if index > highest => self.advance(highest, index),
            Some(_) => {}
            None => self.highest = Some(index),
        }
        let (word, mask) = place(index);
        self.bitmap[word] |= mask;
    }

    fn advance(&mut self, from: u64, to: u64) {
        if to - from >= WINDOW {
            self.bitmap.fill(0);
        } else {
            for index in from + 1..=to {
                let (word, mask) = place(index);
                self.bitmap[word] &= !mask;
            }
        }
        self.highest = Some(to);
    }

    fn bit(&self, index: u64) -> bool {
        let (word, mask) = place(index);
        self.bitmap[word] & mask != 0
    }
}

fn place(index: u64) -> (usize, u64) {
    (usize_of(index % WINDOW / 64), 1 << (index % 64))
}

/// Only for numbers below `WINDOW`.
#[allow(clippy::cast_possible_truncation)] // The windows are far smaller than any usize.
const fn usize_of(value: u64) -> usize {
    value as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_fresh_once_and_old_below_the_window() {
        let mut window = IndexWindow::default();
        for index in [5, 7, 6, 5 + WINDOW] {
            assert_eq!(window.state(index), IndexState::Fresh, "{index}");
            window.mark(index);
            assert_eq!(window.state(index), IndexState::Used, "{index}");
        }
        assert_eq!(window.state(5), IndexState::TooOld);
        assert_eq!((window.state(6), window.state(8)), (IndexState::Used, IndexState::Fresh));
        window.mark(5 + 3 * WINDOW);
        assert_eq!(window.state(4 + 3 * WINDOW), IndexState::Fresh);
        assert_eq!(window.state(6), IndexState::TooOld);
    }
}
