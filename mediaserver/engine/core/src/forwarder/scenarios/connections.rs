//! Viewers on TCP connections that do not take everything at once.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Instant;

use super::*;
use crate::egress::{Egress, Message};
use crate::random::Random;
use crate::tcp::{self, CHUNK, Deframer, KEY_FRAME_LIMIT, QUEUE_LIMIT, SendQueue};

/// A viewer on a connection, who has had a key frame, and what is published.
fn scene() -> (World, Publication, ViewerId) {
    let mut world = World::new(1);
    let mut publication = world.publish(100, 5000);
    let viewer = world.join(browser(true), AeadAes128Gcm);
    let connection = tcp::named(16, "192.0.2.1:5000".parse().unwrap());
    world.forwarder.set_destination(viewer, Some(connection), world.now);
    world.play(&mut publication, 10, 100);
    (world, publication, viewer)
}

fn counts(world: &World, viewer: ViewerId) -> (usize, usize) {
    let player = world.player(viewer);
    (player.numbers(VIDEO_SSRC).len(), player.numbers(AUDIO_SSRC).len())
}

#[test]
fn video_waits_for_a_connection_that_is_behind_and_audio_goes_on() {
    let (mut world, mut publication, viewer) = scene();
    assert_eq!(counts(&world, viewer), (40, 10));
    world.behind = true;
    world.play_frame(&mut publication, false);
    world.now += ms(20);
    assert_eq!(counts(&world, viewer), (40, 11), "audio does not wait behind it");
    world.behind = false;
    world.forwarder.on_writable(viewer);
    world.settle();
    assert_eq!(counts(&world, viewer), (44, 11), "and comes once");
    assert!(contiguous(&world.player(viewer).numbers(VIDEO_SSRC)));
}

#[test]
fn who_is_behind_for_long_is_cut_to_the_next_key_frame_and_hears_audio_meanwhile() {
    let (mut world, mut publication, viewer) = scene();
    world.behind = true;
    world.live(&mut publication, 10..40, 100);
    let (video, audio) = counts(&world, viewer);
    assert_eq!(video, 40);
    assert!(audio >= 30, "{audio} packets of audio");
    world.behind = false;
    world.forwarder.on_writable(viewer);
    world.live(&mut publication, 40..45, 100);
    assert_eq!(counts(&world, viewer).0, 40, "no picture before a key frame");
    world.live(&mut publication, 0..5, 100);
    let player = world.player(viewer);
    assert_eq!(player.packets[&VIDEO_SSRC][40].payload[0], 0x65);
    assert!(contiguous(&player.numbers(VIDEO_SSRC)), "what was never sent has used no number");
    assert_eq!(world.forwarder.viewer_stats(viewer, world.now).unwrap().cut, 1);
}

/// It would be late again, and later with each time.
#[test]
fn what_a_connection_was_late_with_is_not_sent_after_all() {
    let (mut world, mut publication, viewer) = scene();
    world.live(&mut publication, 10..13, 100);
    world.play_frame(&mut publication, true);
    let video = counts(&world, viewer).0;
    world.behind = true;
    world.live(&mut publication, 1..8, 100);
    world.behind = false;
    world.forwarder.on_writable(viewer);
    world.live(&mut publication, 8..10, 100);
    assert_eq!(counts(&world, viewer).0, video, "although a key frame is near enough for others to begin with");
    assert!(world.requests() > 0, "a new one is asked for");
}

#[test]
fn after_a_cut_in_the_connection_a_key_frame_is_asked_for_and_waited_for() {
    let (mut world, mut publication, viewer) = scene();
    world.wait(ms(5_000));
    world.requests();
    world.forwarder.on_cut(viewer, world.now);
    world.live(&mut publication, 10..13, 100);
    assert_eq!((counts(&world, viewer).0, world.requests()), (40, 1));
    world.play_frame(&mut publication, true);
    assert_eq!(counts(&world, viewer).0, 44);
}

/// It would turn at full speed.
#[test]
fn a_viewer_that_is_behind_keeps_no_timer_in_the_past() {
    let mut world = World::new(1);
    let mut publication = world.publish(100, 5000);
    world.play(&mut publication, 20, 100);
    let viewer = world.join(browser(true), AeadAes128Gcm);
    let connection = tcp::named(16, "192.0.2.1:5000".parse().unwrap());
    world.forwarder.set_destination(viewer, Some(connection), world.now);
    world.behind = true;
    for _ in 0..50 {
        world.now += ms(7);
        world.settle();
        let next = world.forwarder.next_deadline();
        assert!(next.is_none_or(|at| at > world.now), "a replay that cannot go on");
    }
}

/// A connection behind a path that takes `room` bytes now; a datagram counts as read when the kernel gets the first of its chunk.
struct Pipe {
    queue: SendQueue,
    room: usize,
    begun: usize,
    now: Instant,
    read: Vec<Vec<u8>>,
}

impl Pipe {
    fn write(&mut self) {
        loop {
            let bytes = self.queue.to_write();
            if self.begun == 0 {
                self.begun = bytes.len();
                let whole = Deframer::default().read(bytes, |datagram| self.read.push(datagram.to_vec()));
                assert_eq!(whole, Ok(()), "chunks are of whole frames");
            }
            let taken = self.begun.min(self.room);
            if taken == 0 {
                return;
            }
            self.queue.wrote(taken);
            self.begun -= taken;
            self.room -= taken;
        }
    }
}

impl Egress for Pipe {
    fn send(&mut self, messages: &[Message], bytes: &[u8]) -> usize {
        for message in messages {
            let whole = &bytes[message.start..message.start + message.len];
            for datagram in whole.chunks(message.segment.into()) {
                self.queue.push(datagram, message.lane, message.since.unwrap_or(self.now));
            }
            self.write();
        }
        messages.len()
    }

    fn is_behind(&self, _: SocketAddr) -> bool {
        self.queue.is_behind()
    }
}

/// Packets by the first byte of their payload, with the time that each waited at the node.
type Waits = Vec<(u8, Duration)>;

fn waits(world: &World, viewer: ViewerId, ssrc: u32, came: &HashMap<(usize, u64), Instant>) -> Waits {
    let track = if ssrc == AUDIO_SSRC { AUDIO } else { VIDEO };
    let packets = world.player(viewer).packets.get(&ssrc).into_iter().flatten();
    let waited = |packet: &Received| Some(packet.at - *came.get(&(track, packet.source_number()))?);
    packets.filter_map(|packet| Some((packet.payload[0], waited(packet)?))).collect()
}

/// 20 s of a stream of 1.2 Mbit/s over `pipe`, which takes nothing at all for up to 1.5 s now and then if it `stalls`: what its track's
/// packets waited for, audio and video, and how much of audio was sent.
fn run(seed: u64, rate: usize, stalls: bool) -> (Waits, Waits, usize) {
    let (mut world, mut publication, viewer) = scene();
    let (mut random, mut came, mut still) = (Random::new(seed), HashMap::new(), 0);
    let mut pipe = Pipe { queue: SendQueue::default(), room: 0, begun: 0, now: world.now, read: vec![] };
    for step in 0..4_000_u64 {
        pipe.now = world.now;
        still = if stalls && random.word() % 500 == 0 { random.word() % 300 } else { u32::saturating_sub(still, 1) };
        pipe.room = if still > 0 { 0 } else { (pipe.room + rate * 5).min(4_000) };
        if pipe.queue.drop_late(world.now) {
            world.forwarder.on_cut(viewer, world.now);
        }
        if step % 7 == 0 {
            // One in five is larger than what is begun at a time.
            let packets = if step % 35 == 0 { 14 } else { 3 };
            let frame = World::frame(&mut publication, step % 420 == 0, &vec![1_000; packets]);
            let audio = World::packet(&mut publication, AUDIO, 7, 100, false);
            publication.timestamp[AUDIO] = publication.timestamp[AUDIO].wrapping_add(1680);
            came.extend(frame.iter().map(|packet| ((VIDEO, packet.sequence), world.now)));
            came.insert((AUDIO, audio.sequence), world.now);
            world.push(&publication, VIDEO, frame);
            world.push(&publication, AUDIO, [audio]);
        }
        pipe.write();
        if !pipe.queue.is_behind() {
            world.forwarder.on_writable(viewer);
        }
        world.forwarder.poll_transmit(world.now, &mut pipe);
        for datagram in pipe.read.drain(..) {
            world.players.get_mut(&viewer).unwrap().receive(&datagram, world.now);
        }
        world.now += ms(5);
    }
    let sent = came.keys().filter(|(track, _)| *track == AUDIO).count();
    (waits(&world, viewer, AUDIO_SSRC, &came), waits(&world, viewer, VIDEO_SSRC, &came), sent)
}

#[test]
fn nothing_waits_longer_in_log_and_connection_together_than_the_limit() {
    for seed in 0..40 {
        let (audio, video, _) = run(seed, 90 + 4 * seed as usize, true);
        assert!(audio.len() > 100 && video.len() > 100, "seed {seed}");
        for (first, waited) in audio.into_iter().chain(video) {
            let limit = if first == 0x65 { KEY_FRAME_LIMIT } else { QUEUE_LIMIT };
            assert!(waited <= limit, "seed {seed}: {waited:?} of {first:#x}");
        }
    }
}

/// For no longer than the kernel takes for what has been begun.
#[test]
fn audio_does_not_wait_for_video_on_a_path_that_is_too_narrow() {
    for seed in 0..20 {
        let rate = 30 + 5 * seed as usize;
        let (audio, _, sent) = run(seed, rate, false);
        let chunk = ms((CHUNK + 1_100).div_ceil(rate) as u64 + 10);
        let longest = audio.iter().map(|(_, waited)| *waited).max().unwrap();
        assert!(longest <= chunk, "seed {seed}: {longest:?} at {rate} bytes/ms, {chunk:?} for a chunk");
        assert!(audio.len() + 2 >= sent, "seed {seed}: {} of {sent}", audio.len());
    }
}
