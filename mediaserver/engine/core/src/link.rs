//! What the two ends of a link know of it: one transport between two nodes that carries many relays, each a *leg* with SSRCs of
//! its own (docs/decisions/0009-links.md).
//!
//! Invariant: an SSRC is one leg's, and after that nobody's. Each leg seals for itself under the link's keys, so no nonce comes
//! twice: with GCM the SSRC is part of it, for SRTP and for SRTCP (RFC 7714, 8.1 and 9.1).

use std::collections::HashMap;
use std::time::Duration;

/// A leg's session: named as all sessions are.
pub type LegId = u64;

/// SSRCs that a link can use up; a puller begins another link long before.
pub const MOST_SSRCS: usize = 65_536;

/// An SSRC is 0, said twice, or was used before; or there are too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsedSsrc;

/// Whose an SSRC is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    Leg(LegId),
    /// The leg that had it is closed.
    Gone,
    /// It was never used.
    Nobody,
}

#[derive(Debug)]
pub struct Link {
    /// None: of a leg that is closed.
    owners: HashMap<u32, Option<LegId>>,
    next: u32,
    /// As the latest check has measured it.
    pub round_trip: Option<Duration>,
}

impl Link {
    /// `first`: random, where drawing begins.
    #[must_use]
    pub fn new(first: u32) -> Self {
        Self { owners: HashMap::new(), next: first, round_trip: None }
    }

    /// An SSRC that was never used here.
    pub fn draw(&mut self) -> u32 {
        loop {
            let ssrc = self.next;
            self.next = self.next.wrapping_add(1);
            if ssrc != 0 && !self.owners.contains_key(&ssrc) {
                return ssrc;
            }
        }
    }

    /// `ssrcs` are the leg's from now on.
    ///
    /// # Errors
    /// `UsedSsrc`; then none of them is.
    pub fn take(&mut self, leg: LegId, ssrcs: &[u32]) -> Result<(), UsedSsrc> {
        let twice = |at: usize| ssrcs[..at].contains(&ssrcs[at]);
        let used = |at: usize| ssrcs[at] == 0 || self.owners.contains_key(&ssrcs[at]) || twice(at);
        if self.owners.len() + ssrcs.len() > MOST_SSRCS || (0..ssrcs.len()).any(used) {
            return Err(UsedSsrc);
        }
        self.owners.extend(ssrcs.iter().map(|ssrc| (*ssrc, Some(leg))));
        Ok(())
    }

    #[must_use]
    pub fn owner(&self, ssrc: u32) -> Owner {
        self.owners.get(&ssrc).map_or(Owner::Nobody, |leg| leg.map_or(Owner::Gone, Owner::Leg))
    }

    /// The leg is closed.
    pub fn release(&mut self, leg: LegId) {
        for owner in self.owners.values_mut() {
            *owner = owner.filter(|other| *other != leg);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ssrc_is_one_legs_and_after_that_nobodys() {
        let mut link = Link::new(1);
        assert_eq!((link.take(7, &[10, 11]), link.owner(10), link.owner(12)), (Ok(()), Owner::Leg(7), Owner::Nobody));
        link.release(7);
        assert_eq!((link.owner(10), link.owner(11)), (Owner::Gone, Owner::Gone));
        for (name, ssrcs) in [("used", [20, 11]), ("zero", [20, 0]), ("twice", [20, 20])] {
            assert_eq!((link.take(8, &ssrcs), link.owner(20)), (Err(UsedSsrc), Owner::Nobody), "{name}");
        }
    }

    #[test]
    fn what_is_drawn_was_never_used_and_is_not_0() {
        let mut link = Link::new(u32::MAX);
        link.take(7, &[1]).unwrap();
        assert_eq!([link.draw(), link.draw(), link.draw()], [u32::MAX, 2, 3]);
    }

    #[test]
    fn a_link_is_used_up_some_day() {
        let mut link = Link::new(1);
        let many: Vec<u32> = (1..=65_536).collect();
        assert_eq!((link.take(1, &many[..65_535]), link.take(2, &[70_000, 70_001])), (Ok(()), Err(UsedSsrc)));
        assert_eq!(link.take(2, &many[65_535..]), Ok(()));
    }
}
