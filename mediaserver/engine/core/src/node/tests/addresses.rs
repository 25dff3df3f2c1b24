//! Peers at many addresses: some of them lie about where they are.

use super::*;
use crate::session::{CONSENT_TIMEOUT, NOMINATED_SILENT};

const VICTIM: &str = "192.0.2.66:443";

/// A parent and a child that is at several addresses at once.
struct Scene {
    child: Node,
    parent: Node,
    now: Instant,
    /// Where the child's datagrams come from.
    sends_from: Vec<SocketAddr>,
    /// Where it hears ours.
    hears_at: SocketAddr,
    /// All that the parent has sent elsewhere.
    strays: Vec<Transmit>,
    /// The child's last check.
    check: Vec<u8>,
}

impl Scene {
    fn new() -> Self {
        let now = Instant::now();
        let (child, parent) = pulled(now);
        let at = CHILD.parse().unwrap();
        Self { child, parent, now, sends_from: vec![at], hears_at: at, strays: vec![], check: vec![] }
    }

    fn connected() -> Self {
        let mut scene = Self::new();
        scene.run(Duration::from_millis(300));
        assert_eq!(facts(&mut scene.parent), vec![Fact::Connected]);
        scene
    }

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
                for from in &self.sends_from {
                    self.parent.on_datagram(Socket::Shared, *from, &sent.datagram, self.now);
                }
                if sent.datagram.starts_with(&[0, 1]) {
                    self.check = sent.datagram;
                }
            }
            for sent in self.parent.transmits.drain(..) {
                if sent.to == self.hears_at {
                    self.child.on_datagram(Socket::Own(1), PARENT.parse().unwrap(), &sent.datagram, self.now);
                } else {
                    self.strays.push(sent);
                }
            }
        }
    }

    /// The child's check comes from `from`.
    fn spoof(&mut self, from: SocketAddr) {
        self.parent.on_datagram(Socket::Shared, from, &self.check, self.now);
    }

    fn move_to(&mut self, at: SocketAddr) {
        (self.sends_from, self.hears_at) = (vec![at], at);
    }

    fn remote(&self) -> Option<SocketAddr> {
        self.parent.stats(self.now).sessions[0].remote
    }

    fn session(&self) -> &Session {
        &self.parent.sessions[&2].session
    }
}

fn port(port: u16) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, 200], port))
}

#[test]
fn an_agent_is_shown_few_addresses_however_many_ask() {
    let mut scene = Scene::connected();
    for from in 1..2_000 {
        scene.spoof(port(from));
        if from % 50 == 0 {
            scene.run(STEP);
        }
    }
    let known = scene.session().known_addresses();
    assert!((1..=17).contains(&known), "{known}");
    scene.run(Duration::from_mins(1));
    assert_eq!((facts(&mut scene.parent), scene.remote()), (vec![], Some(CHILD.parse().unwrap())));
}

#[test]
fn before_there_are_keys_only_the_first_addresses_are_answered() {
    let mut scene = Scene::new();
    scene.hears_at = VICTIM.parse().unwrap();
    scene.run(Duration::from_millis(100));
    for from in 1..200 {
        scene.spoof(port(from));
        scene.run(STEP);
    }
    let answered: std::collections::HashSet<SocketAddr> = scene.strays.iter().map(|sent| sent.to).collect();
    assert_eq!(answered.len(), 16);
    scene.hears_at = CHILD.parse().unwrap();
    scene.run(Duration::from_secs(3));
    assert_eq!(facts(&mut scene.parent), vec![Fact::Connected]);
}

#[test]
fn a_peer_is_followed_from_address_to_address_for_days() {
    let mut scene = Scene::connected();
    for to in 1..40 {
        scene.move_to(port(to));
        scene.run(NOMINATED_SILENT + Duration::from_secs(5));
        assert_eq!((facts(&mut scene.parent), scene.remote()), (vec![], Some(port(to))));
    }
}

#[test]
fn a_spoofed_address_gets_less_than_three_times_what_came_from_it_and_no_larger_datagram() {
    for scene in [&mut Scene::new(), &mut Scene::connected()] {
        scene.run(Duration::from_millis(100));
        let came = scene.check.len();
        scene.spoof(VICTIM.parse().unwrap());
        scene.run(Duration::from_secs(14));
        let victim = VICTIM.parse().unwrap();
        let went: Vec<usize> =
            scene.strays.iter().filter(|sent| sent.to == victim).map(|sent| sent.datagram.len()).collect();
        assert!(went.len() >= 2, "an answer and a check at least, or no honest client connects: {went:?}");
        assert!(went.iter().sum::<usize>() <= 3 * came, "{went:?} for {came}");
        assert!(went.iter().all(|bytes| *bytes <= came), "{went:?} for {came}");
    }
}

/// What is nominated is asked from and not answered from: the peer may have lent its name to a machine that never asked for media.
#[test]
fn media_do_not_go_on_to_an_address_that_answers_no_more() {
    let mut scene = Scene::connected();
    let (silent, other) = (CHILD.parse().unwrap(), port(7));
    scene.sends_from = vec![other, silent];
    scene.run(Duration::from_secs(6));
    scene.hears_at = other;
    scene.run(CONSENT_TIMEOUT.mul_f32(0.8));
    assert_eq!(scene.remote(), Some(silent), "it is still asking");
    scene.run(CONSENT_TIMEOUT.mul_f32(0.3));
    assert_eq!((facts(&mut scene.parent), scene.remote()), (vec![], Some(other)));
}
