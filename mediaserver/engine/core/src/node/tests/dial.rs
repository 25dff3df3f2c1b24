//! Relays over TCP: the child opens one connection to the parent, and the relay lives and ends with it.

use super::*;
use crate::negotiation::Refusal;
use crate::tcp::named;

/// By which the child has the parent, and the parent the child.
const OURS: u32 = 16;
const THEIRS: u32 = 33;

struct Scene {
    child: Node,
    parent: Node,
    now: Instant,
    /// Datagrams that went by UDP.
    by_udp: usize,
}

fn up() -> SocketAddr {
    named(OURS, PARENT.parse().unwrap())
}

fn down() -> SocketAddr {
    named(THEIRS, CHILD.parse().unwrap())
}

fn asked(now: Instant, child: &mut Node) -> String {
    let local = local(child, 'c', &[]);
    let offer = relay::offer_over_tcp(&local, &tracks()).unwrap();
    let pull =
        NewPull { stream: "s".into(), incarnation: "i".to_owned(), local, created: now, from: PulledFrom::NodeOverTcp };
    child.add_pull(1, pull).unwrap();
    offer
}

fn answered() -> Scene {
    let now = Instant::now();
    let (mut child, mut parent) = (roomy(now), roomy(now));
    let offer = asked(now, &mut child);
    let answer = serve(&mut parent, 2, &offer, now).unwrap();
    child.answer_pull(1, &answer, now).unwrap();
    Scene { child, parent, now, by_udp: 0 }
}

impl Scene {
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += STEP;
            for node in [&mut self.child, &mut self.parent] {
                node.on_timeout(self.now);
                node.on_handshakes(self.now, &mut || true);
                node.poll_transmit(self.now, &mut Nowhere);
            }
            for sent in self.child.transmits.drain(..) {
                assert_eq!(sent.socket, Socket::Shared);
                self.by_udp += usize::from(sent.to != up());
                self.parent.on_datagram(Socket::Shared, down(), &sent.datagram, self.now);
            }
            for sent in self.parent.transmits.drain(..) {
                self.by_udp += usize::from(sent.to != down());
                self.child.on_datagram(Socket::Shared, up(), &sent.datagram, self.now);
            }
        }
    }

    fn connected() -> Self {
        let mut scene = answered();
        scene.child.dials.clear();
        scene.child.on_dialled(1, up(), scene.now);
        scene.run(Duration::from_millis(300));
        assert_eq!((facts(&mut scene.child), facts(&mut scene.parent)), (vec![Fact::Connected], vec![Fact::Connected]));
        scene
    }
}

#[test]
fn the_offer_asks_for_tcp_and_the_answer_has_nothing_else() {
    let now = Instant::now();
    let (mut child, mut parent) = (roomy(now), roomy(now));
    let offer = asked(now, &mut child);
    assert!(offer.contains("m=video 9 TCP/DTLS/RTP/SAVPF 98") && !offer.contains("a=candidate"), "{offer}");
    let answer = serve(&mut parent, 2, &offer, now).unwrap();
    assert!(answer.contains("m=video 9 TCP/DTLS/RTP/SAVPF 98"), "{answer}");
    let candidates: Vec<&str> = answer.lines().filter(|line| line.starts_with("a=candidate:")).collect();
    assert_eq!(candidates.len(), 1, "{answer}");
    assert!(candidates[0].ends_with("198.51.100.1 7000 typ host tcptype passive"), "{answer}");
}

#[test]
fn nothing_is_sent_before_the_connection_is_open_and_then_all_of_it_goes_there() {
    let mut scene = answered();
    assert_eq!(scene.child.dials, vec![Dial { session: 1, to: vec![PARENT.parse().unwrap()] }]);
    scene.run(Duration::from_millis(500));
    assert_eq!((facts(&mut scene.child), facts(&mut scene.parent), scene.by_udp), (vec![], vec![], 0));
    scene.child.on_dialled(1, up(), scene.now);
    scene.run(Duration::from_millis(300));
    assert_eq!((facts(&mut scene.child), facts(&mut scene.parent)), (vec![Fact::Connected], vec![Fact::Connected]));
    assert_eq!((&scene.child.relay_connections, &scene.parent.relay_connections), (&vec![up()], &vec![down()]));
    assert!(scene.child.settled.is_empty(), "there is no socket of its own");
    for node in [&scene.child, &scene.parent] {
        assert!(node.stats(scene.now).sessions[0].over_tcp);
    }
    scene.run(Duration::from_secs(40));
    assert_eq!(
        (facts(&mut scene.child), facts(&mut scene.parent), scene.by_udp),
        (vec![], vec![], 0),
        "it is kept alive"
    );
}

#[test]
fn a_relay_ends_with_its_connection_on_both_sides() {
    let mut scene = Scene::connected();
    scene.child.on_connection_closed(up(), scene.now);
    scene.parent.on_connection_closed(down(), scene.now);
    let lost = vec![Fact::Closed(CloseReason::ConnectionLost)];
    assert_eq!((facts(&mut scene.child), facts(&mut scene.parent)), (lost.clone(), lost));
    for node in [&scene.child, &scene.parent] {
        assert!(node.sessions.is_empty() && node.by_address.is_empty() && node.by_ufrag.is_empty());
    }
}

#[test]
fn a_relay_that_is_closed_hangs_up() {
    let mut scene = Scene::connected();
    scene.child.close(1, scene.now);
    assert_eq!(scene.child.hang_ups, vec![up()]);
    scene.run(Duration::from_millis(50));
    assert_eq!(facts(&mut scene.parent), vec![Fact::Closed(CloseReason::PeerClosed)]);
    assert_eq!(scene.parent.hang_ups, vec![down()]);
}

#[test]
fn a_parent_that_cannot_be_reached_ends_it_at_once() {
    let mut scene = answered();
    scene.child.on_unreachable(1, scene.now);
    assert_eq!(facts(&mut scene.child), vec![Fact::Closed(CloseReason::Unreachable)]);
    assert_eq!(scene.child.ended, vec![1]);
}

#[test]
fn a_connection_that_opens_after_its_session_has_ended_is_hung_up() {
    let mut scene = answered();
    scene.child.close(1, scene.now);
    scene.child.on_dialled(1, up(), scene.now);
    assert_eq!(scene.child.hang_ups, vec![up()]);
    assert!(scene.child.by_address.is_empty());
}

#[test]
fn a_connection_that_never_opens_ends_with_the_handshake() {
    let mut scene = answered();
    scene.run(Duration::from_secs(16));
    assert_eq!(facts(&mut scene.child), vec![Fact::Closed(CloseReason::HandshakeTimeout)]);
}

#[test]
fn an_answer_for_another_transport_is_refused() {
    let now = Instant::now();
    let (mut child, mut parent) = (roomy(now), roomy(now));
    let offer = asked(now, &mut child);
    let answer = serve(&mut parent, 2, &offer, now).unwrap().replace("TCP/DTLS/RTP/SAVPF", "UDP/TLS/RTP/SAVPF");
    let refused = child.answer_pull(1, &answer, now);
    assert!(matches!(refused, Err(PullError::Refused(Refusal::Malformed(_)))), "{refused:?}");
    let (mut other, _) = pulled(now);
    let udp = local(&other, 'x', &[]);
    let offer = relay::offer(&udp, &tracks()).unwrap();
    other
        .add_pull(
            7,
            NewPull {
                stream: "s".into(),
                incarnation: "i".to_owned(),
                local: udp,
                created: now,
                from: PulledFrom::Node,
            },
        )
        .unwrap();
    let answer = serve_as('q', &mut parent, 3, &offer, now).unwrap().replace("UDP/TLS/RTP/SAVPF", "TCP/DTLS/RTP/SAVPF");
    assert!(matches!(other.answer_pull(7, &answer, now), Err(PullError::Refused(Refusal::Malformed(_)))));
}

#[test]
fn addresses_that_take_no_connection_are_not_dialled_and_of_many_only_the_first() {
    let now = Instant::now();
    let (mut child, mut parent) = (roomy(now), roomy(now));
    let offer = asked(now, &mut child);
    let answer = serve(&mut parent, 2, &offer, now).unwrap();
    let line = answer.lines().find(|line| line.starts_with("a=candidate:")).unwrap().to_owned();
    let many: Vec<String> = (1..=9).map(|n| line.replace("198.51.100.1", &format!("198.51.100.{n}"))).collect();
    let unfit = [line.replace("tcp", "udp").replace(" tcptype passive", ""), line.replace("passive", "active")];
    let answer = answer.replace(&line, &[&unfit[..], &many[..]].concat().join("\r\n"));
    child.answer_pull(1, &answer, now).unwrap();
    let hosts = (1..=5).map(|n| SocketAddr::from(([198, 51, 100, n], 7000)));
    assert_eq!(child.dials, vec![Dial { session: 1, to: hosts.collect() }]);
}

#[test]
fn an_answer_without_any_address_for_it_ends_it() {
    let now = Instant::now();
    let (mut child, mut parent) = (roomy(now), roomy(now));
    let offer = asked(now, &mut child);
    let answer = serve(&mut parent, 2, &offer, now).unwrap();
    let bare: String = answer.split_inclusive("\r\n").filter(|line| !line.starts_with("a=candidate:")).collect();
    child.answer_pull(1, &bare, now).unwrap();
    assert_eq!((facts(&mut child), child.dials), (vec![Fact::Closed(CloseReason::Unreachable)], vec![]));
}
