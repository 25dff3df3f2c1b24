//! Publishers and viewers that come and go on all threads, by chance.

use super::*;

/// What a seed makes of 12 s: who publishes where, who joins and leaves, which thread does not get to run.
struct Churn {
    threads: Threads,
    on: Vec<(ThreadNumber, Publication)>,
    viewers: Vec<(ThreadNumber, ViewerId)>,
    sequence: u64,
}

impl Churn {
    fn new(seed: u64) -> Self {
        Self { threads: Threads::new(seed, 3, 30), on: vec![], viewers: vec![], sequence: 1000 }
    }

    fn dice(&mut self, sides: usize) -> usize {
        self.threads.random.word() as usize % sides
    }

    fn step(&mut self) {
        let thread = self.dice(3);
        match self.dice(60) {
            0..4 => {
                let viewer = self.threads.join(thread);
                self.viewers.push((thread, viewer));
            }
            4..6 if !self.viewers.is_empty() => {
                let at = self.dice(self.viewers.len());
                let (thread, viewer) = self.viewers.swap_remove(at);
                self.threads.leave(thread, viewer);
            }
            6 if self.on.len() < 3 => self.publish(thread),
            7 if self.on.len() > 1 => {
                let at = self.dice(self.on.len());
                self.end(at);
            }
            8 => self.threads.stalled = Some(thread),
            9..15 => self.threads.stalled = None,
            _ => {}
        }
    }

    fn publish(&mut self, thread: ThreadNumber) {
        self.sequence += 100_000;
        self.on.push((thread, self.threads.publish(thread, self.sequence)));
    }

    fn end(&mut self, at: usize) {
        let (thread, publication) = self.on.remove(at);
        let now = self.threads.worlds[thread].now;
        self.threads.worlds[thread].forwarder.end_source(publication.id, now);
    }

    /// A frame of every publication.
    fn frame(&mut self, key: bool) {
        for (thread, publication) in &mut self.on {
            self.threads.worlds[*thread].play_frame(publication, key);
        }
        self.threads.wait(FRAME);
    }
}

#[test]
fn whatever_comes_and_goes_everybody_left_sees_the_newest_source_and_nothing_is_left_of_the_others() {
    for seed in 0..12 {
        let mut churn = Churn::new(seed);
        churn.publish(0);
        for at in 0..360 {
            churn.step();
            churn.frame(at % 30 == 0);
        }
        churn.threads.stalled = None;
        churn.threads.turn();
        let last = churn.on.iter().map(|(_, publication)| publication.sequence[VIDEO]).max().unwrap() / 100_000;
        let before: Vec<usize> =
            churn.viewers.iter().map(|(thread, viewer)| churn.threads.seen(*thread, *viewer).len()).collect();
        for at in 0..40 {
            churn.frame(at == 0);
        }
        for ((thread, viewer), before) in churn.viewers.iter().zip(before) {
            let numbers = churn.threads.worlds[*thread].player(*viewer).numbers(VIDEO_SSRC);
            assert!(contiguous(&numbers), "seed {seed}, thread {thread}");
            let seen = churn.threads.seen(*thread, *viewer);
            let live = seen[before..].iter().filter(|number| *number / 100_000 == last).count();
            assert!(live >= 35 * 4, "seed {seed}, thread {thread}: {live} of {last}: {:?}", seen.last());
        }
        for (thread, viewer) in std::mem::take(&mut churn.viewers) {
            churn.threads.leave(thread, viewer);
        }
        while !churn.on.is_empty() {
            churn.end(0);
        }
        churn.threads.turn();
        churn.threads.assert_forgotten();
    }
}
