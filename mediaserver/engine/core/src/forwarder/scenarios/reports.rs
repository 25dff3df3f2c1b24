//! What a viewer says by RTCP decides which layer it gets: each way down, and the way up when there is nothing to say.

use std::time::Duration;

use super::super::testing::*;
use super::layers::{Simulcast, sane, seen, viewer_spec};
use crate::border::*;
use crate::negotiation::{Extension, ExtensionIds};
use crate::rtcp::{self, Report, ReportBlock};
use crate::srtp::SrtpProfile::AeadAes128Gcm;

struct Scene {
    world: World,
    publication: Simulcast,
    viewer: ViewerId,
}

impl Scene {
    /// A viewer that gets the best of three layers. Its repairs say when they were sent, so that its estimate bears padding.
    fn new(seed: u64) -> Self {
        let mut world = World::new(seed);
        let publication = Simulcast::publish(&mut world, &[0, 1, 2], 11, SourceKind::Publisher);
        let mut spec = viewer_spec();
        let ids: ExtensionIds = [(Extension::Mid, 4), (Extension::AbsSendTime, 3)].into_iter().collect();
        spec.tracks[1].extensions = ids;
        let viewer = world.join(spec, AeadAes128Gcm);
        Self { world, publication, viewer }
    }

    /// Frames of three tenths of a second each, what is said after each of them.
    fn live(&mut self, tenths: usize, mut say: impl FnMut(&mut Self)) {
        for _ in 0..tenths / 3 {
            self.publication.live(&mut self.world, 9);
            say(self);
        }
    }

    /// Receiver reports of a calm path.
    fn quiet(&mut self, seconds: usize) {
        for _ in 0..seconds {
            self.publication.live(&mut self.world, 30);
            self.receive(Duration::from_millis(40));
        }
    }

    /// A receiver report about video: nothing is lost, and the round trip shows in it.
    fn receive(&mut self, round_trip: Duration) {
        let old = |(at, report): &(_, Report)| match report {
            Report::Sender { ssrc: VIDEO_SSRC, ntp, .. } => {
                let delay = self.world.now.duration_since(*at).checked_sub(round_trip)?;
                Some((*ntp, delay))
            }
            _ => None,
        };
        let Some((ntp, delay)) = self.world.player(self.viewer).reports.iter().rev().find_map(old) else { return };
        let last_report = u32::try_from(ntp >> 16 & 0xffff_ffff).unwrap();
        let delay = u32::try_from(delay.as_nanos() * 65_536 / 1_000_000_000).unwrap();
        let block = ReportBlock { ssrc: VIDEO_SSRC, fraction_lost: 0, last_report, delay };
        self.world.feedback(self.viewer, |b| rtcp::write_receiver_report(b, 1, block, 0));
    }

    fn estimate(&mut self, rate: u32) {
        let [_, high, middle, low] = (rate >> 4).to_be_bytes();
        let rest = [1, 4 << 2 | high, middle, low, 0, 0, 7, 0xd0];
        let remb = [&[0x8f, 206, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0][..], b"REMB", &rest].concat();
        self.world.feedback(self.viewer, |b| b.extend(remb));
    }

    fn miss_the_last(&mut self) {
        let number = *self.world.player(self.viewer).numbers(VIDEO_SSRC).iter().max().unwrap();
        let low = u16::try_from(number & 0xffff).unwrap();
        self.world.feedback(self.viewer, |b| rtcp::write_nack(b, 1, VIDEO_SSRC, &[low, low.wrapping_sub(1)]));
    }

    fn ask_for_a_key_frame(&mut self) {
        self.world.feedback(self.viewer, |b| rtcp::write_pli(b, 1, VIDEO_SSRC));
    }

    fn layer(&self) -> u8 {
        *seen(&self.world, self.viewer).last().unwrap()
    }

    fn repairs(&self) -> usize {
        self.world.player(self.viewer).numbers(RTX_SSRC).len()
    }
}

type Way = (&'static str, fn(&mut Scene));

/// Ways in which a viewer says that its path does not carry what it gets.
const WAYS_DOWN: [Way; 3] = [
    ("its estimate stays below the layer's rate", |scene| {
        scene.estimate(900_000);
        scene.live(24, |scene| scene.estimate(300_000));
    }),
    ("its round trip grows", |scene| {
        let mut round_trip = Duration::from_millis(40);
        scene.live(24, |scene| {
            round_trip += Duration::from_millis(80);
            scene.receive(round_trip);
        });
    }),
    ("repairs come to nothing", |scene| {
        scene.miss_the_last();
        scene.live(6, |_| {});
        scene.ask_for_a_key_frame();
        scene.live(6, |_| {});
    }),
];

#[test]
fn each_way_of_saying_that_it_is_too_much_brings_a_viewer_down_and_quiet_reports_bring_it_up_by_a_probe() {
    for (name, down) in WAYS_DOWN {
        let mut scene = Scene::new(60);
        scene.quiet(6);
        assert_eq!((scene.layer(), scene.repairs()), (0, 0), "{name}: the best, and no padding");
        down(&mut scene);
        assert_ne!(scene.layer(), 0, "{name}: down");
        let before = scene.repairs();
        scene.quiet(40);
        assert!(scene.repairs() > before + 50, "{name}: padding was sent");
        assert_eq!(scene.layer(), 0, "{name}: up again");
        sane(&scene.world, scene.viewer);
    }
}

/// Ways that look like those at first.
const NO_WAYS: [Way; 4] = [
    ("one estimate alone", |scene| {
        scene.estimate(900_000);
        scene.estimate(300_000);
        scene.live(3, |_| {});
        scene.estimate(900_000);
    }),
    ("one slow report", |scene| scene.receive(Duration::from_millis(450))),
    ("repairs that it does not give up", |scene| scene.miss_the_last()),
    ("a key frame asked for without any", |scene| {
        scene.live(6, |_| {});
        scene.ask_for_a_key_frame();
    }),
];

#[test]
fn what_is_said_by_the_way_brings_nobody_down() {
    for (name, say) in NO_WAYS {
        let mut scene = Scene::new(61);
        scene.quiet(6);
        say(&mut scene);
        scene.quiet(4);
        assert_eq!(seen(&scene.world, scene.viewer), [0], "{name}");
    }
}
