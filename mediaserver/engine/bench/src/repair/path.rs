//! A path that loses and delays, seeded: the same run again gives the same figures.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Mean length of a burst of losses, packets.
const BURST: f64 = 5.0;

/// `SplitMix64`.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 0 ≤ x < 1.
    #[allow(clippy::cast_precision_loss)] // 53 bits are taken.
    pub fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Loss {
    None,
    Random(f64),
    /// The same share, five packets at a time in the mean (Gilbert's model; what is sent in a bad time is lost).
    Bursts(f64),
}

pub struct Path {
    loss: Loss,
    delay: Duration,
    dice: Dice,
    bad: bool,
    under_way: VecDeque<(Instant, Vec<u8>)>,
    pub sent: u64,
}

impl Path {
    pub fn new(loss: Loss, delay: Duration, seed: u64) -> Self {
        Self { loss, delay, dice: Dice::new(seed), bad: false, under_way: VecDeque::new(), sent: 0 }
    }

    pub fn send(&mut self, datagram: Vec<u8>, now: Instant) {
        self.sent += 1;
        if !self.loses() {
            self.under_way.push_back((now + self.delay, datagram));
        }
    }

    pub fn arrived(&mut self, now: Instant) -> Option<Vec<u8>> {
        self.under_way.pop_front_if(|(at, _)| *at <= now).map(|(_, datagram)| datagram)
    }

    fn loses(&mut self) -> bool {
        match self.loss {
            Loss::None => false,
            Loss::Random(share) => self.dice.roll() < share,
            Loss::Bursts(share) => {
                let change = if self.bad { 1.0 / BURST } else { share / BURST / (1.0 - share) };
                self.bad ^= self.dice.roll() < change;
                self.bad
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_lose_their_share_and_bursts_are_bursts() {
        for (loss, bursty) in [(Loss::Random(0.05), false), (Loss::Bursts(0.05), true)] {
            let now = Instant::now();
            let mut path = Path::new(loss, Duration::from_millis(42), 1);
            (0..100_000_u32).for_each(|number| path.send(number.to_be_bytes().to_vec(), now));
            assert_eq!(path.arrived(now + Duration::from_millis(41)), None);
            let numbers: Vec<u32> = std::iter::from_fn(|| path.arrived(now + Duration::from_millis(42)))
                .map(|datagram| u32::from_be_bytes(datagram.try_into().unwrap()))
                .collect();
            let lost = 100_000 - numbers.len();
            assert!((4500..5500).contains(&lost), "{loss:?}: {lost}");
            let gaps = numbers.windows(2).filter(|pair| pair[1] - pair[0] > 1).count();
            assert_eq!(lost > gaps * 3, bursty, "{loss:?}: {lost} in {gaps} gaps");
        }
    }
}
