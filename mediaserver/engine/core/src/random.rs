//! Beginnings of numbers and timestamps: unpredictable by the seed, repeatable in tests (`SplitMix64`).

#[derive(Debug)]
pub struct Random(u64);

impl Random {
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    #[must_use]
    #[allow(clippy::cast_possible_truncation)] // 32 bits are meant.
    pub fn word(&mut self) -> u32 {
        self.next() as u32
    }

    /// 1…32,767: the roll-over counter is 0 on both sides even when the first packets are lost.
    #[must_use]
    #[allow(clippy::cast_possible_truncation)] // Below 32,768.
    pub fn first_number(&mut self) -> u16 {
        (self.next() % 0x7fff) as u16 + 1
    }
}
