//! How large the frames of the benchmark's stream are and into which packets they are cut. Pure, the same in every run.

/// Frames a second.
pub const FRAME_RATE: u32 = 30;
/// Frames from one key frame to the next, when nothing else is said: 2 s.
pub const GOP: u32 = 60;
/// Bytes of an audio packet's payload; one every 20 ms.
pub const AUDIO_BYTES: usize = 100;
/// Bytes of each packet's payload in the synthetic burst.
const BURST_BYTES: usize = 1_040;
const BURST_PACKETS: usize = 4;
/// Most bytes of a packet's payload: what libwebrtc leaves of 1,200 for headers, extensions and SRTP.
const LARGEST: usize = 1_120;
/// Bytes of SPS and PPS in one aggregation packet.
pub const PARAMETER_SETS: usize = 34;

/// Which stream the source sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// Frames of varying size as an encoder makes them, their packets a byte or two apart.
    Paced,
    /// The same at 3 Mbit/s.
    Rich,
    /// The same at 4 Mbit/s.
    Full,
    /// Four equal packets a frame.
    Burst,
}

impl Pattern {
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "paced" => Some(Self::Paced),
            "rich" => Some(Self::Rich),
            "full" => Some(Self::Full),
            "burst" => Some(Self::Burst),
            _ => None,
        }
    }

    /// Mbit/s of video.
    pub fn megabits(self) -> usize {
        match self {
            Self::Rich => 3,
            Self::Full => 4,
            Self::Paced | Self::Burst => 1,
        }
    }
}

/// One frame: payload lengths of its packets, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub key: bool,
    pub lengths: Vec<usize>,
}

/// An endless row of frames.
#[derive(Debug)]
pub struct Frames {
    pattern: Pattern,
    gop: u32,
    since_key: u32,
    random: u64,
}

impl Frames {
    pub fn new(pattern: Pattern) -> Self {
        Self { pattern, gop: GOP, since_key: u32::MAX, random: 0x9e37_79b9_7f4a_7c15 }
    }

    /// Frames from one key frame to the next.
    pub fn set_gop(&mut self, frames: u32) {
        self.gop = frames;
    }

    /// Make the next frame a key frame.
    pub fn want_key(&mut self) {
        self.since_key = u32::MAX;
    }

    pub fn next_frame(&mut self) -> Frame {
        let key = self.since_key >= self.gop;
        self.since_key = if key { 1 } else { self.since_key + 1 };
        let times = self.pattern.megabits();
        let lengths = match self.pattern {
            Pattern::Burst => vec![BURST_BYTES; BURST_PACKETS],
            Pattern::Paced | Pattern::Rich | Pattern::Full if key => {
                let mut lengths = vec![PARAMETER_SETS];
                lengths.extend(cut(times * self.between(16_000, 21_000)));
                lengths
            }
            Pattern::Paced | Pattern::Rich | Pattern::Full => cut(times * self.between(2_900, 4_500)),
        };
        Frame { key, lengths }
    }

    /// A number from `low` to below `high` (xorshift).
    fn between(&mut self, low: usize, high: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        low + usize::try_from(self.random >> 33).unwrap_or(0) % (high - low)
    }
}

/// As libwebrtc cuts a NAL unit: as few packets as possible, all as equal as possible.
fn cut(bytes: usize) -> Vec<usize> {
    let count = bytes.div_ceil(LARGEST);
    (0..count).map(|i| bytes / count + usize::from(i >= count - bytes % count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_cut_into_packets_that_differ_by_a_byte_at_most() {
        for (bytes, lengths) in [(1_120, vec![1_120]), (1_121, vec![560, 561]), (3_500, vec![875; 4])] {
            assert_eq!(cut(bytes), lengths, "{bytes} bytes");
        }
    }

    #[test]
    fn both_patterns_send_about_120_packets_a_second_with_a_key_frame_every_two() {
        for pattern in [Pattern::Paced, Pattern::Burst] {
            let mut frames = Frames::new(pattern);
            let row: Vec<Frame> = (0..60 * GOP).map(|_| frames.next_frame()).collect();
            let packets: usize = row.iter().map(|frame| frame.lengths.len()).sum();
            let keys: Vec<usize> = (0..row.len()).filter(|&i| row[i].key).collect();
            assert!((116..=126).contains(&(packets / 120)), "{pattern:?}: {}", packets / 120);
            assert!(keys.iter().enumerate().all(|(n, &at)| at == n * 60), "{pattern:?}");
            assert!(row.iter().flat_map(|frame| &frame.lengths).all(|&length| length <= LARGEST));
        }
    }

    #[test]
    fn a_key_frame_comes_when_asked_for() {
        let mut frames = Frames::new(Pattern::Paced);
        let keys: Vec<bool> = (0..4)
            .map(|number| {
                if number == 2 {
                    frames.want_key();
                }
                frames.next_frame().key
            })
            .collect();
        assert_eq!(keys, [true, false, true, false]);
    }
}
