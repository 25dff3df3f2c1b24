//! Cuts a burst into runs that UDP segmentation offload can carry: equal lengths but for a shorter last one, in order.

/// What the kernel takes in one message (`UDP_MAX_SEGMENTS`, and what an IP datagram holds).
pub const MAX_SEGMENTS: usize = 64;
pub const MAX_MESSAGE: usize = 65_000;
/// RTP padding spent on making neighbours equal.
const MAX_PADDING: usize = 8;

/// RTP padding for each packet of a burst, by their payload lengths.
#[must_use]
pub fn paddings(lengths: &[usize]) -> Vec<u8> {
    let mut paddings = vec![0; lengths.len()];
    let mut start = 0;
    while start < lengths.len() {
        let end = near_equal(&lengths[start..]) + start;
        let longest = lengths[start..end].iter().copied().max().unwrap_or(0);
        // The last of the burst may be shorter as it is.
        for at in start..end.min(lengths.len() - 1) {
            paddings[at] = u8::try_from(longest - lengths[at]).unwrap_or(0);
        }
        start = end;
    }
    paddings
}

/// How many of the first lengths lie within `MAX_PADDING` of one another (at least one).
fn near_equal(lengths: &[usize]) -> usize {
    let (mut low, mut high) = (lengths[0], lengths[0]);
    for (at, &length) in lengths.iter().enumerate() {
        (low, high) = (low.min(length), high.max(length));
        if high - low > MAX_PADDING {
            return at;
        }
    }
    lengths.len()
}

/// A run under construction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Run {
    segment: usize,
    count: usize,
    closed: bool,
}

impl Run {
    #[must_use]
    pub fn of(first: usize) -> Self {
        Self { segment: first, count: 1, closed: false }
    }

    /// Whether a datagram of `len` bytes may be the next of the run; notes it when so.
    pub fn extend(&mut self, len: usize) -> bool {
        let fits = !self.closed
            && len <= self.segment
            && self.count < MAX_SEGMENTS
            && (self.count + 1) * self.segment <= MAX_MESSAGE;
        if fits {
            self.count += 1;
            self.closed = len < self.segment;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_lengths(sizes: &[usize]) -> Vec<usize> {
        let mut runs: Vec<(Run, usize)> = Vec::new();
        for &size in sizes {
            if runs.last_mut().is_some_and(|(run, _)| run.extend(size)) {
                runs.last_mut().unwrap().1 += 1;
            } else {
                runs.push((Run::of(size), 1));
            }
        }
        runs.into_iter().map(|(_, count)| count).collect()
    }

    #[test]
    fn near_equal_neighbours_become_one_run() {
        for (name, lengths, expected) in [
            ("equal", &[1000, 1000, 1000][..], &[3][..]),
            ("shorter last", &[1000, 1000, 400], &[3]),
            ("a byte apart, rising", &[1000, 1001, 1001], &[3]),
            ("a byte apart, mixed", &[1001, 1000, 1001, 1000], &[4]),
            ("eight apart", &[1000, 1008], &[2]),
            ("nine apart, rising", &[1000, 1009], &[1, 1]),
            ("nine apart, falling", &[1009, 1000], &[2]),
            ("near-equal before a shorter last", &[1001, 1000, 900], &[3]),
            ("longer last", &[400, 1000], &[1, 1]),
            ("two groups", &[30, 1000, 1001, 999, 500], &[1, 4]),
        ] {
            let padded: Vec<usize> = lengths.iter().zip(paddings(lengths)).map(|(l, p)| l + usize::from(p)).collect();
            assert!(padded.iter().zip(lengths).all(|(p, l)| p - l <= MAX_PADDING), "{name}");
            assert_eq!(run_lengths(&padded), expected, "{name}: {padded:?}");
        }
    }

    #[test]
    fn a_run_ends_at_64_segments_and_64_kib() {
        assert_eq!(run_lengths(&[100; 130]), [64, 64, 2]);
        assert_eq!(run_lengths(&[1200; 60]), [54, 6]);
    }
}
