//! Two nodes talk in memory: no sockets, no wall time.

mod addresses;
mod connections;
mod dial;
mod ingest;
mod lossy;
mod panics;

use super::*;
use crate::border::{
    CodecPayload, ExtensionValues, SourceId, SourceKind, SourcePacket, TrackSpec, ViewerSpec, ViewerTrack,
};
use crate::egress::Message;
use crate::negotiation::{Codec, Format, LocalSources, LocalTransport, Offer, Track, relay, whep};
use crate::session::{Parts, agent};

pub(super) const PARENT: &str = "198.51.100.1:7000";
pub(super) const CHILD: &str = "203.0.113.5:40000";
pub(super) const STEP: Duration = Duration::from_millis(5);

pub(super) struct Nowhere;

impl Egress for Nowhere {
    fn send(&mut self, messages: &[Message], _bytes: &[u8]) -> usize {
        messages.len()
    }
}

fn node(now: Instant, limits: Limits) -> Node {
    let clock = WallClock { at: now, since_unix_epoch: Duration::from_secs(1_700_000_000) };
    Node::new(Crypto::new().unwrap(), limits, ForwarderConfig::default(), clock, 7)
}

pub(super) fn roomy(now: Instant) -> Node {
    node(now, Limits { sessions: 100, handshakes: 100 })
}

pub(super) fn local(node: &Node, name: char, candidates: &[&str]) -> LocalTransport {
    LocalTransport {
        session_id: 1,
        ufrag: name.to_string().repeat(8),
        password: name.to_string().repeat(24),
        fingerprint: node.crypto.fingerprint().to_owned(),
        candidates: candidates.iter().map(|text| text.parse().unwrap()).collect(),
        tcp: true,
    }
}

pub(super) fn tracks() -> Vec<Track> {
    vec![Track { kind: Codec::Vp8.kind(), format: Format { codec: Codec::Vp8, fmtp: String::new() }, layers: vec![] }]
}

/// The node's stream has a source on air.
pub(super) fn publishing(node: &mut Node, now: Instant) -> SourceId {
    let tracks = [TrackSpec::plain(Codec::Vp8)];
    let source = node.forwarder.start_source(&"s".into(), "i", SourceKind::Publisher, &tracks, now);
    let payload = vec![0x10, 0].into();
    let extensions = ExtensionValues::default();
    let packet = SourcePacket { sequence: 1, timestamp: 0, marker: true, payload, extensions };
    node.forwarder.on_source_packet(source, 0, packet, now);
    source
}

/// The parent's side of a pull: its answer.
pub(super) fn serve(parent: &mut Node, id: SessionId, offer: &str, now: Instant) -> Result<String, Full> {
    serve_as('p', parent, id, offer, now)
}

/// The same with a user name of its own.
pub(super) fn serve_as(
    name: char,
    parent: &mut Node,
    id: SessionId,
    offer: &str,
    now: Instant,
) -> Result<String, Full> {
    let mut offer = Offer::parse(offer).unwrap();
    offer.transport.over_tcp = relay::is_over_tcp(&offer);
    let sources = LocalSources { cname: "c".to_owned(), ssrcs: [1, 2, 3, 4, 5, 6, 7, 8] };
    let sending = whep::negotiate(&offer, &tracks(), &sources).unwrap();
    let local = local(parent, name, &[PARENT]);
    let answer = whep::answer(&local, &sources, &offer, &sending);
    let agent = agent::transport(&parent.crypto, &local, &sending.peer, now).unwrap();
    let media = &sending.media[0];
    let track = ViewerTrack {
        kind: media.kind,
        mid: media.mid.clone(),
        payloads: vec![CodecPayload {
            codec: Codec::Vp8,
            payload_type: media.payloads[0].payload_type,
            rtx: media.payloads[0].rtx,
        }],
        ssrc: media.ssrc,
        rtx_ssrc: media.rtx_ssrc,
        extensions: media.extensions.clone(),
        rid: None,
    };
    let media = Media::Outbound(ViewerSpec { tracks: vec![track], cname: sources.cname, relay: true, layer: None });
    let session = Session::new(Parts { role: Role::RelayOut, media, local, peer: sending.peer, agent }, now);
    parent.add(NewSession { id, session, stream: "s".into(), incarnation: None }, now)?;
    Ok(answer)
}

/// A child and a parent with a relay between them, its offer answered.
pub(super) fn pulled(now: Instant) -> (Node, Node) {
    let mut parent = roomy(now);
    (pulled_from(&mut parent, ('p', 2), now), parent)
}

/// A child that pulls from `parent`, whose session has that user name and number.
pub(super) fn pulled_from(parent: &mut Node, (name, id): (char, SessionId), now: Instant) -> Node {
    let mut child = roomy(now);
    let local = local(&child, 'c', &[]);
    let offer = relay::offer(&local, &tracks()).unwrap();
    child
        .add_pull(
            1,
            NewPull { stream: "s".into(), incarnation: "i".to_owned(), local, created: now, from: PulledFrom::Node },
        )
        .unwrap();
    let answer = serve_as(name, parent, id, &offer, now).unwrap();
    child.answer_pull(1, &answer, now).unwrap();
    child
}

/// Let both run for `time`; `wire` says whether datagrams arrive.
pub(super) fn run(child: &mut Node, parent: &mut Node, now: &mut Instant, time: Duration, wire: bool) {
    let end = *now + time;
    while *now < end {
        *now += STEP;
        for node in [&mut *child, &mut *parent] {
            node.on_timeout(*now);
            node.on_handshakes(*now, &mut || true);
            node.poll_transmit(*now, &mut Nowhere);
        }
        let up: Vec<Transmit> = child.transmits.drain(..).collect();
        let down: Vec<Transmit> = parent.transmits.drain(..).collect();
        if wire {
            for sent in up {
                assert_eq!((sent.socket, sent.to), (Socket::Own(1), PARENT.parse().unwrap()));
                parent.on_datagram(Socket::Shared, CHILD.parse().unwrap(), &sent.datagram, *now);
            }
            for sent in down {
                assert_eq!((sent.socket, sent.to), (Socket::Shared, CHILD.parse().unwrap()));
                child.on_datagram(Socket::Own(1), PARENT.parse().unwrap(), &sent.datagram, *now);
            }
        }
    }
}

pub(super) fn facts(node: &mut Node) -> Vec<Fact> {
    node.events.drain(..).map(|event| event.fact).collect()
}

#[test]
fn a_relay_connects_on_its_own_socket_and_settles_on_the_parent() {
    let mut now = Instant::now();
    let (mut child, mut parent) = pulled(now);
    run(&mut child, &mut parent, &mut now, Duration::from_millis(300), true);
    assert_eq!((facts(&mut child), facts(&mut parent)), (vec![Fact::Connected], vec![Fact::Connected]));
    assert_eq!(child.settled, vec![(1, PARENT.parse().unwrap())]);
    assert_eq!(parent.stats(now).sessions[0].remote, Some(CHILD.parse().unwrap()));
    assert_eq!(parent.stats(now).pending_handshakes, 0);
}

#[test]
fn a_peer_that_falls_silent_is_gone_30_seconds_after_its_last_check() {
    let mut now = Instant::now();
    let (mut child, mut parent) = pulled(now);
    run(&mut child, &mut parent, &mut now, Duration::from_secs(3), true);
    facts(&mut parent);
    run(&mut child, &mut parent, &mut now, Duration::from_secs(26), false);
    assert_eq!(facts(&mut parent), vec![]);
    run(&mut child, &mut parent, &mut now, Duration::from_secs(5), false);
    assert_eq!(facts(&mut parent), vec![Fact::Closed(CloseReason::ConsentExpired)]);
    assert!(parent.sessions.is_empty() && parent.by_ufrag.is_empty() && parent.by_address.is_empty());
    assert!(parent.by_viewer.is_empty() && parent.timers.is_empty());
}

/// Its requests could be anybody's who has seen one: they are all alike.
#[test]
fn a_viewer_that_asks_and_never_answers_has_no_consent() {
    let mut now = Instant::now();
    let (mut child, mut parent) = pulled(now);
    run(&mut child, &mut parent, &mut now, Duration::from_secs(3), true);
    facts(&mut parent);
    let mut request = None;
    let end = now + Duration::from_secs(40);
    while now < end {
        now += STEP;
        child.on_timeout(now);
        parent.on_timeout(now);
        let sent = child.transmits.drain(..).map(|sent| sent.datagram).find(|bytes| bytes.starts_with(&[0, 1]));
        request = sent.or(request);
        if let Some(request) = &request {
            parent.on_datagram(Socket::Shared, CHILD.parse().unwrap(), request, now);
        }
    }
    assert_eq!(facts(&mut parent), vec![Fact::Closed(CloseReason::ConsentExpired)]);
}

#[test]
fn a_handshake_that_goes_nowhere_ends_after_15_seconds() {
    let mut now = Instant::now();
    let (mut child, mut parent) = pulled(now);
    run(&mut child, &mut parent, &mut now, Duration::from_millis(14_900), false);
    assert_eq!((facts(&mut child), facts(&mut parent)), (vec![], vec![]));
    run(&mut child, &mut parent, &mut now, Duration::from_millis(200), false);
    let late = vec![Fact::Closed(CloseReason::HandshakeTimeout)];
    assert_eq!((facts(&mut child), facts(&mut parent)), (late.clone(), late));
    assert_eq!((child.ended, parent.ended), (vec![1], vec![2]));
}

#[test]
fn closing_tells_the_other_side_and_not_ours() {
    let mut now = Instant::now();
    let (mut child, mut parent) = pulled(now);
    run(&mut child, &mut parent, &mut now, Duration::from_millis(300), true);
    facts(&mut child);
    facts(&mut parent);
    assert!(parent.close(2, now));
    assert!(!parent.close(2, now), "it is gone");
    run(&mut child, &mut parent, &mut now, Duration::from_millis(50), true);
    assert_eq!(facts(&mut child), vec![Fact::Closed(CloseReason::PeerClosed)]);
    assert_eq!(facts(&mut parent), vec![]);
}

#[test]
fn a_stolen_address_goes_back_to_whom_our_check_finds_there() {
    let mut now = Instant::now();
    let (mut child, mut parent) = pulled(now);
    let thief = 9;
    parent.by_address.insert(CHILD.parse().unwrap(), thief);
    run(&mut child, &mut parent, &mut now, Duration::from_millis(300), true);
    assert_eq!(parent.by_address.get(&CHILD.parse().unwrap()), Some(&2));
    assert_eq!(facts(&mut parent), vec![Fact::Connected]);
}

#[test]
fn limits_refuse_and_leave_nothing_behind() {
    let now = Instant::now();
    let child = roomy(now);
    let offer = relay::offer(&local(&child, 'c', &[]), &tracks()).unwrap();
    let mut full = node(now, Limits { sessions: 0, handshakes: 1 });
    assert_eq!(serve(&mut full, 2, &offer, now), Err(Full::Sessions));
    let mut busy = node(now, Limits { sessions: 5, handshakes: 1 });
    serve(&mut busy, 2, &offer, now).unwrap();
    assert_eq!(serve(&mut busy, 3, &offer, now), Err(Full::Handshakes));
    assert_eq!(busy.stats(now).sessions.len(), 1);
}

#[test]
fn what_belongs_to_nobody_is_counted() {
    let now = Instant::now();
    let mut node = roomy(now);
    let from = CHILD.parse().unwrap();
    for datagram in [&[][..], &[0; 30], &[22; 40], &[128; 40], &[200; 4], &[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42]] {
        node.on_datagram(Socket::Shared, from, datagram, now);
        node.on_datagram(Socket::Own(5), from, datagram, now);
    }
    assert_eq!(node.stats(now).unknown_datagrams, 12);
    assert!(node.transmits.is_empty());
}
