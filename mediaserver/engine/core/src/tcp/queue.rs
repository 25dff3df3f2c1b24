//! What waits to be written to one TCP connection: as little as possible, the urgent first, and nothing that is late.
//!
//! Invariant: a frame that has been begun is written to its end; every other one is begun within its lane's limit, counted from when
//! it could have left the node, or never. Most of what waits is not here but in the stream's log, for whoever is behind gets no more
//! video (`is_behind`).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::framing::frame;

/// How long anything may wait, in the stream's log and here together.
pub const QUEUE_LIMIT: Duration = Duration::from_millis(300);
/// How long a key frame may: it is what a cut leads to, and would never get through a path on which it takes longer than others may.
pub const KEY_FRAME_LIMIT: Duration = Duration::from_secs(1);
/// The same for video on a relay.
pub const RELAY_VIDEO_LIMIT: Duration = Duration::from_millis(200);
/// A key frame on a relay, whose viewers have further to go: with what waits before and behind it a picture stays below 1 s.
pub const RELAY_KEY_FRAME_LIMIT: Duration = Duration::from_millis(400);
/// Bytes that are handed to the kernel at a time, and then are begun.
pub const CHUNK: usize = 4 * 1024;

/// What goes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Lane {
    /// ICE, DTLS, reports, audio: small, and useless when late.
    #[default]
    Urgent,
    Video,
    KeyFrame,
}

#[derive(Debug)]
struct Waiting {
    until: Instant,
    datagram: Vec<u8>,
}

#[derive(Debug)]
pub struct SendQueue {
    video_limit: Duration,
    key_frame_limit: Duration,
    /// Framed, and partly written.
    begun: Vec<u8>,
    written: usize,
    urgent: VecDeque<Waiting>,
    video: VecDeque<Waiting>,
}

impl Default for SendQueue {
    fn default() -> Self {
        Self {
            video_limit: QUEUE_LIMIT,
            key_frame_limit: KEY_FRAME_LIMIT,
            begun: Vec::new(),
            written: 0,
            urgent: VecDeque::new(),
            video: VecDeque::new(),
        }
    }
}

impl SendQueue {
    /// It is a relay's.
    pub fn hurry(&mut self) {
        self.video_limit = RELAY_VIDEO_LIMIT;
        self.key_frame_limit = RELAY_KEY_FRAME_LIMIT;
    }

    /// `since`: when it could have left.
    pub fn push(&mut self, datagram: &[u8], lane: Lane, since: Instant) {
        let (queue, limit) = match lane {
            Lane::Urgent => (&mut self.urgent, QUEUE_LIMIT),
            Lane::Video => (&mut self.video, self.video_limit),
            Lane::KeyFrame => (&mut self.video, self.key_frame_limit),
        };
        queue.push_back(Waiting { until: since + limit, datagram: datagram.to_vec() });
    }

    /// The bytes to be written next; empty when nothing waits.
    pub fn to_write(&mut self) -> &[u8] {
        if self.written == self.begun.len() {
            self.begun.clear();
            self.written = 0;
            while self.begun.len() < CHUNK
                && let Some(waiting) = self.urgent.pop_front().or_else(|| self.video.pop_front())
            {
                frame(&waiting.datagram, &mut self.begun);
            }
        }
        &self.begun[self.written..]
    }

    /// So many of them were taken.
    pub fn wrote(&mut self, bytes: usize) {
        self.written = (self.written + bytes).min(self.begun.len());
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.written == self.begun.len() && self.urgent.is_empty() && self.video.is_empty()
    }

    /// Whether more video would only wait.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.written < self.begun.len() || !self.video.is_empty()
    }

    /// Drop what is late. True: there was video among it, so none may follow before a key frame.
    pub fn drop_late(&mut self, now: Instant) -> bool {
        self.urgent.retain(|waiting| waiting.until > now);
        let cut = self.video.iter().any(|waiting| waiting.until <= now);
        if cut {
            self.video.clear();
        }
        cut
    }

    /// When `drop_late` will find something.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.urgent.iter().chain(&self.video).map(|waiting| waiting.until).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use crate::tcp::Deframer;

    const AUDIO: &[u8] = &[1; 100];
    const VIDEO: &[u8] = &[2; 1_200];

    /// What a peer reads when the kernel takes `sizes` bytes one after the other.
    fn drain(queue: &mut SendQueue, mut size: impl FnMut() -> usize) -> Vec<u8> {
        let (mut deframer, mut kinds) = (Deframer::default(), Vec::new());
        while !queue.is_empty() {
            let bytes = queue.to_write();
            let taken = size().min(bytes.len());
            deframer.read(&bytes[..taken], |datagram| kinds.push(datagram[0])).unwrap();
            queue.wrote(taken);
        }
        kinds
    }

    #[test]
    fn audio_goes_before_video_that_has_not_been_begun() {
        let now = Instant::now();
        let mut queue = SendQueue::default();
        for _ in 0..20 {
            queue.push(VIDEO, Lane::Video, now);
        }
        let begun = queue.to_write().len();
        assert!((CHUNK..CHUNK + VIDEO.len() + 2).contains(&begun), "{begun}");
        queue.wrote(100);
        queue.push(AUDIO, Lane::Urgent, now);
        let kinds = drain_after(&mut queue, 100);
        assert_eq!(kinds.iter().position(|kind| *kind == 1), Some(begun / (VIDEO.len() + 2)));
        assert_eq!(kinds.len(), 21);
    }

    /// As `drain`, the first `written` bytes of a video frame being gone already.
    fn drain_after(queue: &mut SendQueue, written: usize) -> Vec<u8> {
        let (mut deframer, mut kinds) = (Deframer::default(), Vec::new());
        let mut start = Vec::new();
        frame(VIDEO, &mut start);
        deframer.read(&start[..written], |_| ()).unwrap();
        while !queue.is_empty() {
            let bytes = queue.to_write();
            deframer.read(bytes, |datagram| kinds.push(datagram[0])).unwrap();
            let all = bytes.len();
            queue.wrote(all);
        }
        kinds
    }

    #[test]
    fn late_video_goes_whole_but_for_what_has_been_begun() {
        let start = Instant::now();
        let mut queue = SendQueue::default();
        for _ in 0..20 {
            queue.push(VIDEO, Lane::Video, start);
        }
        queue.to_write();
        queue.wrote(100);
        assert!(!queue.drop_late(start + QUEUE_LIMIT.mul_f32(0.9)));
        assert_eq!(queue.deadline(), Some(start + QUEUE_LIMIT));
        assert!(queue.drop_late(start + QUEUE_LIMIT), "cut");
        assert!(queue.is_behind() && queue.deadline().is_none());
        assert_eq!(drain_after(&mut queue, 100), vec![2; 4], "the frames of a chunk");
        assert!(!queue.is_behind());
    }

    #[test]
    fn a_key_frame_may_take_longer() {
        let start = Instant::now();
        let mut queue = SendQueue::default();
        queue.push(VIDEO, Lane::KeyFrame, start);
        assert!(!queue.drop_late(start + QUEUE_LIMIT * 3));
        assert!(queue.drop_late(start + KEY_FRAME_LIMIT));
        queue.hurry();
        queue.push(VIDEO, Lane::KeyFrame, start);
        assert!(!queue.drop_late(start + QUEUE_LIMIT));
        assert!(queue.drop_late(start + RELAY_KEY_FRAME_LIMIT), "on a relay");
    }

    /// Whatever is pushed, taken and dropped when: frames come whole, in their lane's order, and never after their limit.
    #[test]
    fn a_peer_reads_whole_frames_and_none_that_was_late() {
        for seed in 0..300 {
            let mut random = Random::new(seed);
            let mut below = |limit: u32| random.word() % limit;
            let (start, mut queue, mut deframer) = (Instant::now(), SendQueue::default(), Deframer::default());
            let (mut read, mut begun_at) = (Vec::new(), Vec::new());
            for step in 0..400_u32 {
                let now = start + Duration::from_millis(u64::from(step) * 10);
                queue.drop_late(now);
                if below(2) == 0 {
                    let lane = if below(3) == 0 { Lane::Urgent } else { Lane::Video };
                    let mut datagram = vec![u8::from(lane == Lane::Urgent)];
                    datagram.extend(step.to_be_bytes());
                    datagram.resize(5 + usize::try_from(below(1_000)).unwrap(), 9);
                    queue.push(&datagram, lane, now);
                }
                let fresh = queue.written == queue.begun.len();
                let bytes = queue.to_write();
                if fresh && !bytes.is_empty() {
                    begun_at.push(now);
                }
                let taken = usize::try_from(below(900)).unwrap().min(bytes.len());
                deframer.read(&bytes[..taken], |datagram| read.push(datagram.to_vec())).unwrap();
                queue.wrote(taken);
                assert!(queue.urgent.iter().chain(&queue.video).all(|waiting| waiting.until > now), "seed {seed}");
            }
            for lane in [0, 1] {
                let numbers: Vec<&[u8]> = read.iter().filter(|d| d[0] == lane).map(|d| &d[1..5]).collect();
                assert!(numbers.is_sorted(), "seed {seed}");
            }
            assert!(!read.is_empty() && !begun_at.is_empty(), "seed {seed}");
        }
    }

    #[test]
    fn what_fits_is_read_in_full() {
        let (now, mut queue, mut random) = (Instant::now(), SendQueue::default(), Random::new(5));
        (0..50).for_each(|_| queue.push(AUDIO, Lane::Urgent, now));
        let kinds = drain(&mut queue, || usize::try_from(random.word() % 300).unwrap());
        assert_eq!(kinds, vec![1; 50]);
    }
}
