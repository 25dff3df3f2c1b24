//! What a viewer's path carries, by what the viewer reports.
//!
//! The rule stands behind [`Estimator`], so that another one (transport-wide feedback, say) can take its place.

use std::time::{Duration, Instant};

/// One thing that a viewer said, or that shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Feedback {
    /// The receiver's own estimate, bit/s (draft-alvestrand-rmcat-remb-03).
    Remb(u64),
    /// Fraction lost since the last report, 0…1 (RFC 3550, 6.4.1).
    Loss(f64),
    RoundTrip(Duration),
    /// It asks again and again for the same packet, or stopped asking.
    GivenUp,
}

/// Turns feedback into the rate that fits.
pub trait Estimator {
    /// `sent`: what goes to the viewer at present, bit/s. None: nothing speaks against any rate yet.
    fn estimate(&mut self, feedback: Feedback, sent: u64, now: Instant) -> Option<u64>;

    /// Since when nothing has spoken of congestion; None: it never did.
    fn congested(&self) -> Option<Instant>;

    /// When something last looked like it, be it by mistake.
    fn hinted(&self) -> Option<Instant>;
}

/// Loss above this is congestion; below the other, the path carries what is sent.
const HEAVY_LOSS: f64 = 0.1;
const LIGHT_LOSS: f64 = 0.02;
/// A round trip that has grown by this over the shortest one is a queue that fills.
const QUEUE: Duration = Duration::from_millis(150);
/// As many reports of it in a row: one alone is a hiccup.
const QUEUE_REPORTS: u32 = 2;
/// The shortest round trip is forgotten after this: paths change.
const SHORTEST_FOR: Duration = Duration::from_mins(1);
/// One cut is waited for before the next: what is in the queue still speaks of the past.
const BETWEEN_CUTS: Duration = Duration::from_millis(800);
/// A receiver that estimated and says nothing any more has stopped doing so.
const REMB_FOR: Duration = Duration::from_secs(15);
/// No estimate counts for more, bit/s: REMB can say 18 bits times 2 to the 63.
const HIGHEST: u64 = 100_000_000_000;
/// Percent of what is sent: below, REMB speaks of congestion (libwebrtc's falls to 85 % of what arrives). It begins at what
/// arrives, and rises slowly to one and a half of that: while it does not fall, it only lags behind.
const REMB_CONGESTED: u64 = 82;
/// How long such a fall must last.
const DIP: Duration = Duration::from_millis(1500);
/// How long two reports without loss speak of the present.
const CARRIED_FOR: Duration = Duration::from_secs(3);
/// A path that carries this much carries a little more.
const HEADROOM: f64 = 1.05;

/// REMB where the viewer sends it, bounded by loss, round trips and repairs that came to nothing.
#[derive(Debug, Default)]
pub struct RembAndLoss {
    remb: Option<(u64, Instant)>,
    /// Bound by losses.
    bound: Option<f64>,
    /// What was sent before the latest reports, nothing of it lost: the receiver's estimate lags behind that.
    carried: Option<(u64, u64, Instant)>,
    /// A fall of REMB below what is sent, and when.
    dip: Option<(u64, Instant)>,
    shortest: Option<(Duration, Instant)>,
    queued: u32,
    congested: Option<Instant>,
    hinted: Option<Instant>,
    last_cut: Option<Instant>,
}

impl Estimator for RembAndLoss {
    #[allow(clippy::cast_precision_loss)] // Rates.
    fn estimate(&mut self, feedback: Feedback, sent: u64, now: Instant) -> Option<u64> {
        match feedback {
            Feedback::Remb(rate) => self.on_remb(rate, sent, now),
            Feedback::Loss(lost) if lost > HEAVY_LOSS => self.cut(sent as f64 * (1.0 - lost.min(0.6)), now),
            // A queue loses nothing: the report that told of it by its round trip does not take that back.
            Feedback::Loss(lost) if lost < LIGHT_LOSS && self.has_just_been_congested(now) => {}
            Feedback::Loss(lost) if lost < LIGHT_LOSS => {
                self.bound = self.bound.map(|bound| bound.max(sent as f64 * HEADROOM));
                let before = self.carried.map_or(0, |(_, last, _)| last);
                self.carried = Some((before.min(sent), sent, now));
            }
            Feedback::Loss(_) => self.confirm_dip(now),
            Feedback::RoundTrip(round_trip) => self.on_round_trip(round_trip, sent as f64, now),
            Feedback::GivenUp => self.cut(sent as f64 * 0.85, now),
        }
        self.current(now)
    }

    fn congested(&self) -> Option<Instant> {
        self.congested
    }

    fn hinted(&self) -> Option<Instant> {
        self.hinted.max(self.congested)
    }
}

impl RembAndLoss {
    /// Receivers take a jitter of their own for a queue now and then: a fall counts when it lasts, repeats itself or is not alone.
    fn on_remb(&mut self, rate: u64, sent: u64, now: Instant) {
        let rate = rate.min(HIGHEST);
        let falls = self.remb.is_some_and(|(before, _)| rate < before);
        let low = rate * 100 < sent * REMB_CONGESTED;
        self.remb = Some((rate, now));
        match self.dip {
            None if falls && low => (self.dip, self.hinted) = (Some((rate, now)), Some(now)),
            Some((dip, _)) if !low || rate * 100 > dip * 103 => self.dip = None,
            Some((dip, at)) if rate * 100 < dip * 97 || now.saturating_duration_since(at) >= DIP => {
                self.confirm_dip(now);
            }
            _ => {}
        }
    }

    fn confirm_dip(&mut self, now: Instant) {
        if self.dip.take().is_some() {
            self.congested = Some(now);
            self.carried = None;
        }
    }

    fn on_round_trip(&mut self, round_trip: Duration, sent: f64, now: Instant) {
        let shortest = self
            .shortest
            .filter(|(known, at)| *known <= round_trip && now.saturating_duration_since(*at) < SHORTEST_FOR);
        let (known, _) = *self.shortest.insert(shortest.unwrap_or((round_trip, now)));
        if round_trip > known * 2 + QUEUE / 3 {
            self.confirm_dip(now);
        }
        if round_trip > known * 3 / 2 + QUEUE / 3 {
            // What a queue takes in, no path carries.
            (self.hinted, self.carried) = (Some(now), None);
        }
        self.queued = if round_trip > known * 2 + QUEUE { self.queued + 1 } else { 0 };
        if self.queued >= QUEUE_REPORTS {
            self.queued = 0;
            self.cut(sent * 0.8, now);
        }
    }

    fn has_just_been_congested(&self, now: Instant) -> bool {
        self.congested.is_some_and(|at| now.saturating_duration_since(at) < BETWEEN_CUTS)
    }

    fn cut(&mut self, bound: f64, now: Instant) {
        self.congested = Some(now);
        self.carried = None;
        if self.last_cut.is_some_and(|last| now.saturating_duration_since(last) < BETWEEN_CUTS) {
            return;
        }
        self.last_cut = Some(now);
        self.bound = Some(self.bound.map_or(bound, |known| known.min(bound)));
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)] // Rates.
    fn current(&self, now: Instant) -> Option<u64> {
        let remb = self.remb.filter(|(_, at)| now.saturating_duration_since(*at) < REMB_FOR).map(|(rate, _)| rate);
        let lately = |at: Instant| now.saturating_duration_since(at) < CARRIED_FOR;
        let carried =
            self.carried.filter(|(.., at)| lately(*at)).map_or(0, |(rate, ..)| (rate as f64 * HEADROOM) as u64);
        let remb = remb.map(|remb| remb.max(carried));
        let bound = self.bound.map(|bound| bound as u64);
        remb.into_iter().chain(bound).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: u64 = 1_000_000;

    #[test]
    fn the_estimate_follows_remb_and_is_bounded_by_what_gets_lost() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut path = RembAndLoss::default();
        for (name, ms, feedback, sent, expected) in [
            ("nothing lost says nothing", 0, Feedback::Loss(0.0), SENT, None),
            ("remb", 100, Feedback::Remb(2_000_000), SENT, Some(2_000_000)),
            ("some loss is borne", 1000, Feedback::Loss(0.08), SENT, Some(2_000_000)),
            ("heavy loss", 2000, Feedback::Loss(0.3), SENT, Some(700_000)),
            ("the same congestion again", 2500, Feedback::Loss(0.3), SENT, Some(700_000)),
            ("what gets through lifts it", 4000, Feedback::Loss(0.0), SENT, Some(1_050_000)),
            ("but only so far", 5000, Feedback::Loss(0.0), 500_000, Some(1_050_000)),
            ("given up", 6000, Feedback::GivenUp, SENT, Some(850_000)),
            ("a round trip", 7000, Feedback::RoundTrip(Duration::from_millis(40)), SENT, Some(850_000)),
            ("a hiccup", 8000, Feedback::RoundTrip(Duration::from_millis(400)), SENT, Some(850_000)),
            ("a queue", 9000, Feedback::RoundTrip(Duration::from_millis(400)), SENT, Some(800_000)),
            ("whose report tells of no loss", 9000, Feedback::Loss(0.0), SENT, Some(800_000)),
            ("remb a little below", 9500, Feedback::Remb(850_000), SENT, Some(800_000)),
            ("remb that rises", 9700, Feedback::Remb(860_000), 2 * SENT, Some(800_000)),
            ("remb again", 10_000, Feedback::Remb(500_000), SENT, Some(500_000)),
            ("what it carries all the same", 11_000, Feedback::Loss(0.0), SENT, Some(500_000)),
            ("for two reports", 12_000, Feedback::Loss(0.0), SENT, Some(1_050_000)),
            ("is not carried any more", 13_000, Feedback::Remb(490_000), SENT, Some(490_000)),
            ("a receiver that stopped saying it", 29_000, Feedback::Loss(0.05), SENT, Some(1_050_000)),
        ] {
            assert_eq!(path.estimate(feedback, sent, at(ms)), expected, "{name}");
        }
        assert_eq!(path.congested(), Some(at(13_000)));
    }

    type Case<'a> = (&'a str, &'a [(u64, Feedback)], bool);

    #[test]
    fn a_fall_of_remb_counts_when_it_lasts_repeats_itself_or_is_not_alone() {
        let start = Instant::now();
        let told: [Case<'_>; 6] = [
            (
                "a hiccup",
                &[(200, Feedback::Remb(500_000)), (800, Feedback::Remb(520_000)), (3000, Feedback::Remb(520_000))],
                false,
            ),
            (
                "it lasts",
                &[(200, Feedback::Remb(500_000)), (900, Feedback::Remb(505_000)), (1700, Feedback::Remb(510_000))],
                true,
            ),
            ("again", &[(200, Feedback::Remb(500_000)), (400, Feedback::Remb(450_000))], true),
            ("with loss", &[(200, Feedback::Remb(500_000)), (400, Feedback::Loss(0.03))], true),
            (
                "with delay",
                &[(200, Feedback::Remb(500_000)), (400, Feedback::RoundTrip(Duration::from_millis(150)))],
                true,
            ),
            ("without loss", &[(200, Feedback::Remb(500_000)), (400, Feedback::Loss(0.0))], false),
        ];
        for (name, feedback, congested) in told {
            let mut path = RembAndLoss::default();
            path.estimate(Feedback::RoundTrip(Duration::from_millis(20)), SENT, start);
            path.estimate(Feedback::Remb(1_500_000), SENT, start);
            for (ms, feedback) in feedback {
                path.estimate(*feedback, SENT, start + Duration::from_millis(*ms));
            }
            assert_eq!(path.congested().is_some(), congested, "{name}");
        }
    }

    #[test]
    fn an_estimate_beyond_all_measure_is_one_of_no_congestion() {
        let now = Instant::now();
        let mut estimator = RembAndLoss::default();
        for rate in [u64::MAX, 1, u64::MAX - 1, u64::MAX] {
            estimator.estimate(Feedback::Remb(rate), 1_000_000, now);
        }
        assert_eq!(estimator.congested(), None);
    }
}
