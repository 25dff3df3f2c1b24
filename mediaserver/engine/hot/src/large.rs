//! Boxes in large pages, for what is read at every turn: with small ones the first touch waits for the page's address besides.

use std::alloc::{Layout, alloc, handle_alloc_error};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};

/// Bytes of a large page: of x86-64, and of arm64 with pages of 4 KiB.
const PAGE: usize = 2 << 20;
/// Nothing shares a cache line with its neighbour.
const LINE: usize = 64;

/// A box whose place is among others of its kind in a large page, where the kernel has those (madvise(2), `MADV_HUGEPAGE`).
pub struct LargeBox<T>(NonNull<T>);

// SAFETY: it owns what it points to, as a Box does.
unsafe impl<T: Send> Send for LargeBox<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for LargeBox<T> {}

impl<T> LargeBox<T> {
    const SIZE: usize = {
        let size = size_of::<T>().next_multiple_of(LINE);
        assert!(size > 0 && size <= PAGE / 8 && align_of::<T>() <= LINE, "a page holds several");
        size
    };

    #[must_use]
    pub fn new(value: T) -> Self {
        let place = with_places(|places| places.take(Self::SIZE)).cast::<T>();
        // SAFETY: the place is as large and as aligned as a T must be, and nobody else's.
        unsafe { place.write(value) };
        Self(place)
    }
}

impl<T> Deref for LargeBox<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: written by `new`, owned until dropped.
        unsafe { self.0.as_ref() }
    }
}

impl<T> DerefMut for LargeBox<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        unsafe { self.0.as_mut() }
    }
}

impl<T: fmt::Debug> fmt::Debug for LargeBox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T> Drop for LargeBox<T> {
    fn drop(&mut self) {
        // SAFETY: written by `new` and dropped once; then the place is free.
        unsafe { self.0.drop_in_place() };
        with_places(|places| places.give_back(Self::SIZE, self.0.cast()));
    }
}

/// Pages are kept for what comes next: there are as many as the most boxes there have been at a time needed.
struct Places {
    /// By size.
    free: BTreeMap<usize, Vec<NonNull<u8>>>,
    page: Option<NonNull<u8>>,
    used: usize,
}

// SAFETY: the places belong to whom they are given to; here they are only kept.
unsafe impl Send for Places {}

static PLACES: Mutex<Places> = Mutex::new(Places { free: BTreeMap::new(), page: None, used: 0 });

fn with_places<R>(action: impl FnOnce(&mut Places) -> R) -> R {
    action(&mut PLACES.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Places {
    fn take(&mut self, size: usize) -> NonNull<u8> {
        if let Some(place) = self.free.get_mut(&size).and_then(Vec::pop) {
            return place;
        }
        let page = match self.page {
            Some(page) if self.used + size <= PAGE => page,
            _ => {
                self.used = 0;
                *self.page.insert(new_page())
            }
        };
        // SAFETY: within the page.
        let place = unsafe { page.add(self.used) };
        self.used += size;
        place
    }

    fn give_back(&mut self, size: usize, place: NonNull<u8>) {
        self.free.entry(size).or_default().push(place);
    }
}

fn new_page() -> NonNull<u8> {
    let layout = Layout::from_size_align(PAGE, PAGE).expect("a power of two");
    // SAFETY: the layout has a size.
    let page = NonNull::new(unsafe { alloc(layout) }).unwrap_or_else(|| handle_alloc_error(layout));
    #[cfg(target_os = "linux")]
    // SAFETY: of memory that is ours. A kernel that has no large pages says so, and small ones do.
    unsafe {
        libc::madvise(page.as_ptr().cast(), PAGE, libc::MADV_HUGEPAGE);
    }
    page
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn boxes_hold_what_was_put_in_and_their_places_are_used_again() {
        let mut boxes: Vec<LargeBox<[u64; 30]>> = (0..20_000).map(|number| LargeBox::new([number; 30])).collect();
        boxes[7][3] = 1;
        assert!((0..).zip(&boxes).all(|(number, place)| place[29] == number && place.as_ptr().addr() % LINE == 0));
        let before: Vec<usize> = boxes.iter().map(|place| place.as_ptr().addr()).collect();
        let mut distinct = before.clone();
        distinct.sort_unstable();
        assert!(distinct.windows(2).all(|pair| pair[1] - pair[0] >= 240));
        boxes.clear();
        let again = LargeBox::new([9_u64; 30]);
        assert!(before.contains(&again.as_ptr().addr()));
    }

    #[test]
    fn what_is_in_a_box_is_dropped_with_it() {
        let shared = Arc::new(());
        let place = LargeBox::new(shared.clone());
        assert_eq!(Arc::strong_count(&shared), 2);
        drop(place);
        assert_eq!(Arc::strong_count(&shared), 1);
    }

    #[test]
    fn threads_share_the_pages() {
        std::thread::scope(|scope| {
            for number in 0..4_u64 {
                scope.spawn(move || {
                    for _ in 0..500 {
                        let boxes: Vec<LargeBox<[u64; 8]>> = (0..20).map(|_| LargeBox::new([number; 8])).collect();
                        assert!(boxes.iter().all(|place| **place == [number; 8]));
                    }
                });
            }
        });
    }
}
