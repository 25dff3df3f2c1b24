//! Forwarders of several threads in one test thread: who runs next is a seed's choice.

#![allow(clippy::cast_possible_truncation)] // Low bits are meant.

mod churn;
mod layers;

use std::time::Duration;

use super::super::testing::*;
use super::*;
use crate::border::{ForwarderConfig, ForwarderEvent, ViewerId, WallClock};
use crate::forwarder::Forwarder;
use crate::random::Random;
use crate::rtcp;
use crate::srtp::SrtpProfile::AeadAes128Gcm;

const FRAME: Duration = Duration::from_nanos(33_333_333);
const DEEP: usize = 1_000;

struct Threads {
    worlds: Vec<World>,
    random: Random,
    /// A thread that does not get to run.
    stalled: Option<ThreadNumber>,
}

impl Threads {
    fn new(seed: u64, count: usize, depth: usize) -> Self {
        let first = World::new(seed);
        let clock = WallClock { at: first.now, since_unix_epoch: Duration::from_hours(500_000) };
        let worlds = Inboxes::mesh(count, depth).into_iter().map(|inboxes| {
            let mut world = World::new(seed);
            let own_seed = seed * 100 + inboxes.me() as u64;
            world.forwarder = Forwarder::new(ForwarderConfig::default(), clock, own_seed).linked(inboxes);
            world.now = first.now;
            world
        });
        Self { worlds: worlds.collect(), random: Random::new(seed), stalled: None }
    }

    /// Everybody runs, in any order, as often as words may need.
    fn turn(&mut self) {
        for _ in 0..3 {
            let first = self.random.word() as usize;
            for at in 0..self.worlds.len() {
                self.run((first + at) % self.worlds.len());
            }
        }
    }

    fn run(&mut self, thread: ThreadNumber) {
        if self.stalled != Some(thread) {
            let world = &mut self.worlds[thread];
            world.forwarder.on_words(world.now);
            world.settle();
        }
    }

    fn wait(&mut self, time: Duration) {
        let end = self.worlds[0].now + time;
        while self.worlds[0].now < end {
            let step = ms(5).min(end - self.worlds[0].now);
            self.worlds.iter_mut().for_each(|world| world.now += step);
            self.turn();
        }
    }

    fn publish(&mut self, thread: ThreadNumber, sequence: u64) -> Publication {
        self.worlds[thread].publish(sequence, 5000)
    }

    /// Frames in real time; the first of every `gop` is a key frame.
    fn play(
        &mut self,
        thread: ThreadNumber,
        publication: &mut Publication,
        frames: std::ops::Range<usize>,
        gop: usize,
    ) {
        for at in frames {
            self.worlds[thread].play_frame(publication, at % gop == 0);
            self.wait(FRAME);
        }
    }

    fn join(&mut self, thread: ThreadNumber) -> ViewerId {
        self.worlds[thread].join(browser(true), AeadAes128Gcm)
    }

    fn leave(&mut self, thread: ThreadNumber, viewer: ViewerId) {
        let now = self.worlds[thread].now;
        self.worlds[thread].forwarder.remove_viewer(viewer, true, now);
    }

    fn video(&self, thread: ThreadNumber, viewer: ViewerId) -> &[Received] {
        self.worlds[thread].player(viewer).packets.get(&VIDEO_SSRC).map_or(&[], Vec::as_slice)
    }

    /// The publication's numbers of the video that a viewer got.
    fn seen(&self, thread: ThreadNumber, viewer: ViewerId) -> Vec<u64> {
        self.video(thread, viewer).iter().map(Received::source_number).collect()
    }

    /// Nothing is left of mirrors and of those who watched.
    fn assert_forgotten(&self) {
        for world in &self.worlds {
            let Mirrors { watchers, outlets, here, uses, told_uses, .. } = &world.forwarder.mirrors;
            assert!(watchers.is_empty() && outlets.is_empty() && here.is_empty());
            assert!(uses.is_empty() && told_uses.is_empty());
            assert_eq!(world.forwarder.streams.iter().count(), world.forwarder.sources.iter().count());
        }
    }
}

fn contiguous(numbers: &[u64]) -> bool {
    numbers.windows(2).all(|pair| pair[0] + 1 == pair[1])
}

/// Contiguous at the viewer, and never back at the source.
fn assert_in_order(threads: &Threads, thread: ThreadNumber, viewer: ViewerId) {
    assert!(contiguous(&threads.worlds[thread].player(viewer).numbers(VIDEO_SSRC)));
    assert!(threads.seen(thread, viewer).is_sorted());
    let timestamps = threads.video(thread, viewer).windows(2).all(|pair| {
        let step = pair[1].timestamp.wrapping_sub(pair[0].timestamp).cast_signed();
        if pair[0].marker { step > 0 } else { step == 0 }
    });
    assert!(timestamps, "timestamps of a frame are one, and grow from frame to frame");
}

#[test]
fn viewers_of_all_threads_get_the_same_frames_in_order() {
    for seed in 0..20 {
        let mut threads = Threads::new(seed, 3, DEEP);
        let mut publication = threads.publish(0, 100);
        let viewers = [threads.join(0), threads.join(1), threads.join(2)];
        threads.turn();
        threads.play(0, &mut publication, 0..70, 30);
        for (thread, viewer) in viewers.into_iter().enumerate() {
            assert_in_order(&threads, thread, viewer);
            assert_eq!(threads.seen(thread, viewer), (100..380).collect::<Vec<_>>(), "seed {seed}, thread {thread}");
            assert_eq!(threads.worlds[thread].player(viewer).numbers(AUDIO_SSRC).len(), 70);
        }
    }
}

#[test]
fn both_kinds_of_viewers_are_told_one_timeline() {
    let mut threads = Threads::new(3, 2, DEEP);
    let mut publication = threads.publish(0, 100);
    let viewers = [threads.join(0), threads.join(1)];
    threads.turn();
    for at in 0..90 {
        if at % 10 == 3 {
            let (now, stamp) = (threads.worlds[0].now, publication.timestamp[VIDEO]);
            // The publisher's clock is a day off.
            let ntp = (4_000_000_000 << 32) + (u64::from(stamp - 5000) << 32) / 90_000;
            threads.worlds[0].forwarder.on_source_report(publication.id, VIDEO, ntp, stamp, now);
        }
        threads.play(0, &mut publication, at..at + 1, 30);
    }
    // The same frame has, at the same time, the same distance from what the report says.
    let behind = |thread: usize, viewer| {
        let player = threads.worlds[thread].player(viewer);
        let (ntp, timestamp) = player.last_report(VIDEO_SSRC).unwrap();
        (ntp, player.packets[&VIDEO_SSRC].last().unwrap().timestamp.wrapping_sub(timestamp))
    };
    let (owner, mirror) = (behind(0, viewers[0]), behind(1, viewers[1]));
    let apart = (owner.0.abs_diff(mirror.0) * 90_000) >> 32;
    let distance = owner.1.wrapping_sub(mirror.1).cast_signed().unsigned_abs();
    assert!(u64::from(distance).abs_diff(apart) < 200, "{owner:?} {mirror:?}");
}

#[test]
fn a_nack_is_answered_from_the_mirror_alone() {
    let mut threads = Threads::new(1, 2, DEEP);
    let mut publication = threads.publish(0, 100);
    let viewer = threads.join(1);
    threads.turn();
    threads.play(0, &mut publication, 0..20, 30);
    threads.stalled = Some(0);
    let numbers = threads.worlds[1].player(viewer).numbers(VIDEO_SSRC);
    let lost = [numbers[5] as u16, numbers[40] as u16];
    threads.worlds[1].feedback(viewer, |out| rtcp::write_nack(out, 9, VIDEO_SSRC, &lost));
    threads.run(1);
    let repaired: Vec<u64> = threads.worlds[1].player(viewer).packets[&RTX_SSRC]
        .iter()
        .map(|packet| u64::from(u16::from_be_bytes([packet.payload[0], packet.payload[1]])))
        .collect();
    assert_eq!(repaired, lost.map(u64::from));
}

#[test]
fn the_first_viewer_of_a_thread_starts_with_a_key_frame_that_has_been() {
    for seed in 0..10 {
        let mut threads = Threads::new(seed, 2, DEEP);
        let mut publication = threads.publish(0, 100);
        threads.play(0, &mut publication, 0..20, 60);
        assert_eq!(threads.worlds[0].requests(), 0);
        let first = threads.join(1);
        threads.play(0, &mut publication, 20..30, 60);
        let second = threads.join(1);
        threads.play(0, &mut publication, 30..50, 60);
        for viewer in [first, second] {
            assert_in_order(&threads, 1, viewer);
            assert_eq!(threads.seen(1, viewer), (100..300).collect::<Vec<_>>(), "all since the key frame");
        }
        assert_eq!(threads.worlds[0].requests() + threads.worlds[1].requests(), 0, "nobody was asked");
    }
}

#[test]
fn a_wish_for_a_key_frame_goes_to_the_sources_thread_and_into_its_budget() {
    let mut threads = Threads::new(1, 3, DEEP);
    let mut publication = threads.publish(0, 100);
    threads.play(0, &mut publication, 0..90, 1000);
    let viewers = [(1, threads.join(1)), (1, threads.join(1)), (2, threads.join(2))];
    threads.play(0, &mut publication, 90..110, 1000);
    assert_eq!(threads.worlds[0].requests(), 1, "one in a second, whoever wants it");
    assert_eq!(threads.worlds[1].requests() + threads.worlds[2].requests(), 0);
    assert!(viewers.iter().all(|(thread, viewer)| threads.seen(*thread, *viewer).is_empty()));
    threads.worlds[0].play_frame(&mut publication, true);
    threads.turn();
    for (thread, viewer) in viewers {
        assert_eq!(threads.seen(thread, viewer).len(), 4, "on thread {thread}");
    }
}

#[test]
fn a_publisher_that_comes_back_on_another_thread_takes_the_stream_over_everywhere() {
    for seed in 0..10 {
        for joins_late in [false, true] {
            let mut threads = Threads::new(seed, 3, DEEP);
            let early = (!joins_late).then(|| threads.join(2));
            threads.turn();
            let mut old = threads.publish(0, 100);
            threads.play(0, &mut old, 0..30, 30);
            let mut new = threads.publish(1, 9000);
            // Negotiated, but nothing has come: the old one goes on.
            threads.play(0, &mut old, 30..40, 30);
            threads.play(1, &mut new, 0..10, 30);
            let viewer = early.unwrap_or_else(|| threads.join(2));
            // A last word of the old one is for nobody.
            threads.play(0, &mut old, 60..61, 30);
            let now = threads.worlds[0].now;
            threads.worlds[0].forwarder.end_source(old.id, now);
            threads.play(1, &mut new, 10..30, 30);
            assert_in_order(&threads, 2, viewer);
            let seen = threads.seen(2, viewer);
            let (of_old, of_new): (Vec<u64>, Vec<u64>) = seen.iter().partition(|number| **number < 9000);
            assert_eq!(of_old, if joins_late { vec![] } else { (100..260).collect::<Vec<_>>() });
            assert_eq!(of_new, (9000..9120).collect::<Vec<_>>(), "seed {seed}, late {joins_late}");
        }
    }
}

#[test]
fn a_viewer_that_leaves_while_bursts_are_under_way_leaves_nothing_behind() {
    for seed in 0..20 {
        let mut threads = Threads::new(seed, 2, DEEP);
        let mut publication = threads.publish(0, 100);
        let viewer = threads.join(1);
        threads.turn();
        threads.play(0, &mut publication, 0..10, 30);
        threads.worlds[0].play_frame(&mut publication, false);
        if seed % 2 == 0 {
            let world = &mut threads.worlds[1];
            world.forwarder.on_words(world.now);
        }
        threads.leave(1, viewer);
        let again = (seed % 3 == 0).then(|| threads.join(1));
        threads.turn();
        threads.play(0, &mut publication, 11..20, 30);
        if let Some(again) = again {
            assert_in_order(&threads, 1, again);
            assert_eq!(threads.seen(1, again), (100..180).collect::<Vec<_>>());
            threads.leave(1, again);
        }
        threads.turn();
        let now = threads.worlds[0].now;
        threads.worlds[0].forwarder.end_source(publication.id, now);
        threads.assert_forgotten();
    }
}

#[test]
fn a_thread_that_is_behind_goes_on_with_the_next_key_frame_and_holds_up_nobody() {
    let mut threads = Threads::new(1, 3, 20);
    let mut publication = threads.publish(0, 100);
    let (own, slow, other) = (threads.join(0), threads.join(1), threads.join(2));
    threads.turn();
    threads.play(0, &mut publication, 0..30, 30);
    threads.worlds[0].requests();
    threads.stalled = Some(1);
    threads.play(0, &mut publication, 30..45, 30);
    assert_eq!(threads.worlds[0].requests(), 0, "it could not be given a key frame");
    threads.stalled = None;
    threads.play(0, &mut publication, 45..70, 30);
    assert_eq!(threads.worlds[0].requests(), 1);
    for (thread, viewer) in [(0, own), (2, other)] {
        assert_eq!(threads.seen(thread, viewer), (100..380).collect::<Vec<_>>());
    }
    // Of frames 30 to 59 none after the tenth, with its audio, found room; 60 is a key frame.
    assert_in_order(&threads, 1, slow);
    let seen = threads.seen(1, slow);
    assert_eq!(seen.iter().filter(|number| **number >= 340).count(), 40, "{seen:?}");
    assert!(!seen.iter().any(|number| (260..340).contains(number)), "{seen:?}");
    assert_eq!(threads.worlds[0].forwarder.totals().dropped_bursts, 40, "20 frames and their audio");
}

#[test]
fn a_source_that_ends_leaves_its_viewers_waiting_for_another() {
    for seed in 0..10 {
        let mut threads = Threads::new(seed, 2, DEEP);
        let mut publication = threads.publish(0, 100);
        let viewer = threads.join(1);
        threads.turn();
        threads.play(0, &mut publication, 0..10, 30);
        let now = threads.worlds[0].now;
        threads.worlds[0].forwarder.end_source(publication.id, now);
        threads.wait(ms(500));
        assert!(threads.worlds[1].forwarder.mirrors.here.is_empty());
        let mut next = threads.publish(seed as usize % 2, 9000);
        threads.play(seed as usize % 2, &mut next, 0..10, 30);
        assert_in_order(&threads, 1, viewer);
        assert_eq!(threads.seen(1, viewer), (100..140).chain(9000..9040).collect::<Vec<_>>());
    }
}

#[test]
fn only_the_sources_own_thread_tells_of_it() {
    let mut threads = Threads::new(1, 2, DEEP);
    let mut publication = threads.publish(0, 100);
    threads.join(1);
    threads.turn();
    threads.play(0, &mut publication, 0..3, 30);
    threads.wait(Duration::from_secs(4));
    let id = publication.id;
    let events = [ForwarderEvent::Active { source: id }, ForwarderEvent::Silent { source: id }];
    assert_eq!(threads.worlds[0].events(), events);
    assert_eq!(threads.worlds[1].events(), []);
}
