//! A viewer behind a bottleneck, seeded: it settles, does not swing, and comes up when the bottleneck goes.

#![allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)] // Test data.

use super::*;
use crate::estimate::{Estimator, Feedback, RembAndLoss};
use crate::random::Random;

const RATES: [u32; 3] = [150_000, 500_000, 1_500_000];

fn choices() -> Vec<Choice> {
    RATES.iter().enumerate().map(|(track, rate)| Choice { track, bitrate: Some(*rate) }).collect()
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// What the viewer tells of its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Viewer {
    /// Receiver reports alone.
    Reports,
    /// An estimate too: it begins at what arrives, rises by 8 % a second to one and a half of that, and falls to 85 % of it when
    /// a queue fills (as libwebrtc's does).
    Remb,
    /// The same, and every 20 s a fall that nothing has caused.
    Jumpy,
    /// Receiver reports, and no RTX: nothing to probe with.
    Plain,
}

/// A queue of 300 ms before a bottleneck.
struct World {
    now: Instant,
    random: Random,
    viewer: Viewer,
    policy: LayerPolicy,
    estimator: RembAndLoss,
    estimate: Option<u64>,
    current: usize,
    /// Bits in the queue.
    queue: f64,
    /// Of the last second: bits sent and lost.
    sent: f64,
    lost: f64,
    remb: Option<f64>,
    reports: u64,
    /// The longest wait in the queue.
    delay: f64,
    /// (s, to) of each change.
    changes: Vec<(u64, usize)>,
}

impl World {
    fn new(seed: u64, viewer: Viewer) -> Self {
        Self {
            now: Instant::now(),
            random: Random::new(seed),
            viewer,
            policy: LayerPolicy::default(),
            estimator: RembAndLoss::default(),
            estimate: None,
            current: 2,
            queue: 0.0,
            sent: 0.0,
            lost: 0.0,
            remb: None,
            reports: 0,
            delay: 0.0,
            changes: vec![],
        }
    }

    /// Steps of 100 ms for `seconds` from `from` on over `capacity`, bit/s.
    fn run(&mut self, from: u64, seconds: u64, capacity: f64) {
        for step in from * 10..(from + seconds) * 10 {
            let noise = 0.85 + f64::from(self.random.word() % 300) / 1000.0;
            let padding = self.policy.probe_rate(&choices(), self.current, self.now) as f64;
            let bits = (f64::from(RATES[self.current]) * noise + padding) / 10.0;
            self.queue = (self.queue + bits - capacity / 10.0).max(0.0);
            let over = (self.queue - capacity * 0.3).max(0.0);
            self.queue -= over;
            self.delay = self.delay.max(self.queue / capacity);
            (self.sent, self.lost) = (self.sent + bits, self.lost + over);
            self.now += ms(100);
            if step % 10 == 9 {
                self.report(capacity);
            }
            self.choose(step / 10);
        }
    }

    fn report(&mut self, capacity: f64) {
        let loss = self.lost / self.sent.max(1.0) + f64::from(self.random.word() % 10) / 1000.0;
        let (sent, received) = (self.sent as u64, self.sent - self.lost);
        let queued = ms((self.queue / capacity * 1000.0) as u64);
        let round_trip = ms(40 + u64::from(self.random.word() % 20)) + queued;
        let mut tell = |feedback| self.estimate = self.estimator.estimate(feedback, sent, self.now);
        tell(Feedback::RoundTrip(round_trip));
        tell(Feedback::Loss(loss));
        if matches!(self.viewer, Viewer::Remb | Viewer::Jumpy) {
            let raised = self.remb.map_or(received, |remb| (remb * 1.08).min((received * 1.5 + 10_000.0).max(remb)));
            self.reports += 1;
            let jumps = self.viewer == Viewer::Jumpy && self.reports % 20 < 2;
            let remb = if queued > ms(50) || jumps { received * 0.8 } else { raised };
            self.remb = Some(remb);
            tell(Feedback::Remb(remb as u64));
        }
        (self.sent, self.lost) = (0.0, 0.0);
    }

    fn choose(&mut self, second: u64) {
        let path = Path {
            estimate: self.estimate,
            congested: self.estimator.congested(),
            hinted: self.estimator.hinted(),
            probes: self.viewer != Viewer::Plain,
        };
        let chosen = self.policy.choose(&choices(), Some(self.current), path, self.now);
        if chosen != self.current {
            self.current = chosen;
            self.changes.push((second, chosen));
        }
    }
}

#[test]
fn behind_a_bottleneck_it_settles_without_swinging_and_comes_up_when_that_goes() {
    for seed in 0..200 {
        for viewer in [Viewer::Reports, Viewer::Remb, Viewer::Plain] {
            let mut world = World::new(seed, viewer);
            world.run(0, 20, 5e6);
            assert_eq!((world.current, world.changes.len()), (2, 0), "{viewer:?} {seed}: nothing is wrong yet");
            world.run(20, 100, 800_000.0);
            let what = format!("{viewer:?} {seed}: {:?}", world.changes);
            assert!(world.changes[0].0 <= 24, "down at once: {what}");
            assert_eq!(world.current, 1, "{what}");
            let ups = world.changes.iter().filter(|(_, to)| *to == 2).count();
            assert!(ups <= if viewer == Viewer::Plain { 4 } else { 0 }, "the rest is tried with padding: {what}");
            // From one way up to the next.
            let rises: Vec<u64> = world.changes.windows(2).filter(|p| p[1].1 > p[0].1).map(|p| p[1].0).collect();
            assert!(rises.windows(2).all(|pair| pair[1] - pair[0] >= 10), "{what}");
            world.run(120, 130, 5e6);
            assert_eq!(world.current, 2, "{viewer:?} {seed}: {:?}", world.changes);
        }
    }
}

#[test]
fn what_nobody_speaks_against_is_the_best_and_a_viewer_that_begins_gets_what_fits() {
    let now = Instant::now();
    for (estimate, expected) in [(None, 2), (Some(2_000_000), 2), (Some(600_000), 1), (Some(1), 0)] {
        let path = Path { estimate, congested: Some(now), ..Path::default() };
        assert_eq!(LayerPolicy::default().choose(&choices(), None, path, now), expected, "{estimate:?}");
    }
    let mut unknown = choices();
    unknown[2].bitrate = None;
    let path = Path { estimate: Some(10_000_000), ..Path::default() };
    assert_eq!(LayerPolicy::default().choose(&unknown, None, path, now), 2);
}

#[test]
fn an_estimate_without_congestion_only_says_how_little_was_sent() {
    let start = Instant::now();
    let mut policy = LayerPolicy::default();
    let path = Path { estimate: Some(100_000), probes: true, ..Path::default() };
    assert_eq!(policy.choose(&choices(), None, path, start), 2);
    assert_eq!(policy.choose(&choices(), Some(2), path, start + ms(5000)), 2);
    let congested = Path { congested: Some(start + ms(6000)), ..path };
    assert_eq!(policy.choose(&choices(), Some(2), congested, start + ms(6000)), 0);
}

#[test]
fn a_layer_that_comes_to_be_is_taken_after_a_moment_where_nothing_speaks_against_it() {
    let start = Instant::now();
    let mut policy = LayerPolicy::default();
    let all = choices();
    assert_eq!(policy.choose(&all[..1], None, Path::default(), start), 0);
    let chosen: Vec<usize> = (0..50)
        .scan(0, |current, tenth| {
            *current = policy.choose(&all, Some(*current), Path::default(), start + ms(tenth * 100));
            Some(*current)
        })
        .collect();
    assert_eq!((chosen[19], chosen[20], chosen[39], chosen[40]), (0, 1, 1, 2));
}

#[test]
fn under_a_narrow_path_it_is_probed_without_harm_and_when_that_widens_the_best_comes_soon() {
    for seed in 0..100 {
        for viewer in [Viewer::Reports, Viewer::Remb, Viewer::Jumpy] {
            for capacity in [200_000.0, 350_000.0, 800_000.0] {
                // An estimate that falls for nothing where a layer just fits is taken at its word.
                if viewer == Viewer::Jumpy && capacity > 500_000.0 {
                    continue;
                }
                let mut world = World::new(seed, viewer);
                world.run(0, 20, 5e6);
                world.run(20, 15, capacity);
                (world.changes, world.delay) = (vec![], 0.0);
                world.run(35, 65, capacity);
                let what = format!("{viewer:?} {seed} at {capacity}: {:?}", world.changes);
                assert!(world.changes.is_empty(), "what is tried is tried with padding: {what}");
                assert!(viewer != Viewer::Remb || world.delay < 0.26, "{} s in the queue: {what}", world.delay);
                world.run(100, 45, 5e6);
                let best = world.changes.iter().find(|(at, to)| *at >= 100 && *to == 2).map(|(at, _)| at - 100);
                assert!(best.is_some_and(|seconds| seconds <= 25), "{best:?} s: {viewer:?} {seed} at {capacity}");
            }
        }
    }
}

#[test]
fn ways_up_that_fail_wait_longer_each_time_and_one_that_holds_ends_that() {
    let start = Instant::now();
    let mut policy = LayerPolicy::default();
    let at = |tenths: u64| start + ms(tenths * 100);
    let (mut current, mut rises, mut congested) = (1, vec![], Some(start));
    policy.choose(&choices(), None, Path::default(), start);
    for tenth in 0..3_000 {
        let path = Path { estimate: Some(500_000), congested, hinted: congested, probes: false };
        let chosen = policy.choose(&choices(), Some(current), path, at(tenth));
        if chosen > current {
            rises.push(tenth);
        }
        current = chosen;
        // The first five ways up fail, the sixth holds for a while, the next does not.
        if current == 2 && (rises.len() < 6 || rises.len() > 6 || tenth > rises[5] + 200) {
            congested = Some(at(tenth));
        }
    }
    let pauses: Vec<u64> = rises.windows(2).map(|pair| (pair[1] - pair[0]) / 10).collect();
    assert_eq!(pauses[..5], [10, 20, 40, 60, 60]);
    assert!((30..34).contains(&pauses[5]) && (10..13).contains(&pauses[6]), "from the beginning: {pauses:?}");
}
