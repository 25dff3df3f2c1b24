//! Mistakes of ours, and how far they reach.
//!
//! Real ones are made of settings that no node has: with a `late_limit` without end whatever gathers packets into the log overflows.

use super::super::tracing::Traces;
use super::*;
use crate::forwarder::StreamWord;
use crate::inboxes::Inboxes;
use crate::srtp::{MasterKey, SrtpProfile};
use crate::trace::Bounds;

fn connected() -> (Node, Node, Instant) {
    let mut now = Instant::now();
    let (mut child, mut parent) = pulled(now);
    run(&mut child, &mut parent, &mut now, Duration::from_millis(300), true);
    assert_eq!((facts(&mut child), facts(&mut parent)), (vec![Fact::Connected], vec![Fact::Connected]));
    (child, parent, now)
}

fn overflowing(now: Instant) -> Forwarder {
    let clock = WallClock { at: now, since_unix_epoch: Duration::from_secs(1_700_000_000) };
    let gather_relay = Duration::from_millis(20);
    Forwarder::new(ForwarderConfig { late_limit: Duration::MAX, gather_relay, ..ForwarderConfig::default() }, clock, 7)
}

/// `node`'s session 1 has a packet held that cannot be given on.
fn hold_a_packet(node: &mut Node, now: Instant) {
    node.forwarder = overflowing(now);
    let source = node.forwarder.start_source(&"s".into(), "i", SourceKind::Relay, &[TrackSpec::plain(Codec::Vp8)], now);
    node.by_source = HashMap::from([(source, 1)]);
    node.sessions.get_mut(&1).unwrap().source = Some(source);
    let (payload, extensions) = (vec![0x10, 0].into(), ExtensionValues::default());
    let packet = SourcePacket { sequence: 1, timestamp: 0, marker: false, payload, extensions };
    node.forward(1, now, |forwarder, source| forwarder.on_source_packet(source, 0, packet, now));
    node.on_batch_end(now);
    facts(node);
}

#[test]
fn a_panic_in_a_session_ends_it_and_nothing_else() {
    let mut now = Instant::now();
    let (mut child, mut parent) = pulled(now);
    run(&mut child, &mut parent, &mut now, Duration::from_millis(300), true);
    facts(&mut parent);
    parent.turn(2, now, |_| panic!("a test's own panic"));
    assert_eq!(facts(&mut parent), vec![Fact::Closed(CloseReason::Failed)]);
    assert_eq!(parent.ended, vec![2]);
    let offer = relay::offer(&local(&child, 'x', &[]), &tracks()).unwrap();
    assert!(serve(&mut parent, 3, &offer, now).is_ok());
}

#[test]
fn a_panic_over_what_a_source_sent_ends_its_session_and_nothing_else() {
    let mut now = Instant::now();
    let (mut child, mut parent) = pulled(now);
    run(&mut child, &mut parent, &mut now, Duration::from_millis(300), true);
    facts(&mut child);
    child.forward(1, now, |_, _| panic!("a test's own panic"));
    assert_eq!(facts(&mut child), vec![Fact::Closed(CloseReason::Failed)]);
    assert_eq!(child.ended, vec![1]);
    assert!(child.by_source.is_empty() && child.forwarder.stream_stats(now).is_empty());
    child.forward(1, now, |_, _| unreachable!("it is gone"));
}

#[test]
fn a_panic_over_what_a_session_says_ends_it_and_nothing_else() {
    let (child, mut parent, now) = connected();
    let short = MasterKey { key: vec![1], salt: vec![2] };
    let keys = SrtpKeys { profile: SrtpProfile::AeadAes128Gcm, local: short.clone(), remote: short };
    parent.sessions.get_mut(&2).unwrap().viewer = None;
    parent.turn(2, now, |session| session.say(crate::session::Output::Connected(keys)));
    assert_eq!(facts(&mut parent), vec![Fact::Closed(CloseReason::Failed)]);
    let offer = relay::offer(&local(&child, 'x', &[]), &tracks()).unwrap();
    assert!(serve(&mut parent, 3, &offer, now).is_ok());
}

#[test]
fn a_panic_over_packets_that_were_held_ends_their_source_and_nothing_else() {
    let (mut child, _, now) = connected();
    hold_a_packet(&mut child, now);
    child.on_timeout(now + Duration::from_millis(100));
    assert_eq!(facts(&mut child), vec![Fact::Closed(CloseReason::Failed)]);
    assert!(child.by_source.is_empty() && child.sessions.is_empty() && child.forwarder.stream_stats(now).is_empty());
}

#[test]
fn a_panic_over_a_sources_end_keeps_nobody_from_ending() {
    let (mut child, _, now) = connected();
    hold_a_packet(&mut child, now);
    assert!(child.close(1, now));
    assert!(child.by_source.is_empty() && child.sessions.is_empty() && child.forwarder.stream_stats(now).is_empty());
    assert_eq!(child.directory.thread_of(1), None);
}

#[test]
fn a_panic_over_a_trace_ends_the_trace_and_not_its_session() {
    let (mut child, mut parent, mut now) = connected();
    parent.traces = Traces::new(WallClock { at: now, since_unix_epoch: Duration::MAX });
    parent.start_trace(2, Bounds { until: now + Duration::from_secs(9), room: 9_999 }, now).unwrap();
    run(&mut child, &mut parent, &mut now, Duration::from_secs(5), true);
    assert_eq!(facts(&mut parent), vec![]);
    assert!(parent.sessions.contains_key(&2) && !parent.traces.has(2));
}

#[test]
fn a_panic_over_what_another_thread_says_of_a_stream_ends_no_thread() {
    let now = Instant::now();
    let mut ends = Inboxes::mesh(2, 64).into_iter().zip(Inboxes::<StreamWord>::mesh(2, 64));
    let mut linked = |forwarder: Option<Forwarder>| {
        let (sessions, streams) = ends.next().unwrap();
        let node = roomy(now);
        let forwarder = forwarder.unwrap_or(roomy(now).forwarder);
        Node { forwarder, ..node }.linked(sessions, streams, Directory::default())
    };
    let (mut first, mut second) = (linked(None), linked(Some(overflowing(now))));
    let whole = MasterKey { key: vec![1; 16], salt: vec![2; 12] };
    let keys = SrtpKeys { profile: SrtpProfile::AeadAes128Gcm, local: whole.clone(), remote: whole };
    let spec = ViewerSpec { tracks: vec![], cname: "c".to_owned(), relay: false, layer: None };
    let viewer = second.forwarder.add_viewer(&"s".into(), spec, &keys, None, now);
    first.on_words(now);
    publishing(&mut first, now);
    second.on_words(now);
    assert_eq!(second.forwarder.viewers_of("s"), [viewer]);
}
