//! A session whose peer comes by TCP connections, and loses them.

use super::*;
use crate::tcp::named;

struct Scene {
    child: Node,
    parent: Node,
    now: Instant,
    /// The connection by which the parent has the child; None: it is broken.
    connection: Option<u32>,
}

impl Scene {
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        let (us, them): (SocketAddr, SocketAddr) = (PARENT.parse().unwrap(), CHILD.parse().unwrap());
        while self.now < end {
            self.now += STEP;
            for node in [&mut self.child, &mut self.parent] {
                node.on_timeout(self.now);
                node.on_handshakes(self.now, &mut || true);
                node.poll_transmit(self.now, &mut Nowhere);
            }
            let name = self.connection.map(|number| named(number, them));
            for sent in self.child.transmits.drain(..) {
                if let Some(name) = name {
                    self.parent.on_datagram(Socket::Shared, name, &sent.datagram, self.now);
                }
            }
            for sent in self.parent.transmits.drain(..).filter(|sent| Some(sent.to) == name) {
                self.child.on_datagram(Socket::Own(1), us, &sent.datagram, self.now);
            }
        }
    }

    fn break_connection(&mut self) {
        let number = self.connection.take().unwrap();
        self.parent.on_connection_closed(named(number, CHILD.parse().unwrap()), self.now);
    }
}

fn connected() -> Scene {
    let now = Instant::now();
    let (child, parent) = pulled(now);
    let mut scene = Scene { child, parent, now, connection: Some(16) };
    scene.run(Duration::from_millis(300));
    assert_eq!(facts(&mut scene.parent), vec![Fact::Connected]);
    scene
}

#[test]
fn a_session_is_known_by_its_connection_and_shown_by_its_address() {
    let scene = connected();
    assert!(scene.parent.knows(named(16, CHILD.parse().unwrap())));
    assert!(!scene.parent.knows(named(17, CHILD.parse().unwrap())) && !scene.parent.knows(CHILD.parse().unwrap()));
    let stats = &scene.parent.stats(scene.now).sessions[0];
    assert_eq!((stats.remote, stats.over_tcp), (Some(CHILD.parse().unwrap()), true));
}

#[test]
fn a_peer_that_loses_its_connection_goes_on_by_the_next() {
    let mut scene = connected();
    scene.break_connection();
    assert_eq!(scene.parent.stats(scene.now).sessions[0].remote, None);
    assert!(!scene.parent.knows(named(16, CHILD.parse().unwrap())));
    scene.run(Duration::from_secs(2));
    scene.connection = Some(17);
    scene.run(Duration::from_secs(8));
    assert_eq!(scene.parent.stats(scene.now).sessions[0].remote, Some(CHILD.parse().unwrap()));
    assert!(scene.parent.knows(named(17, CHILD.parse().unwrap())));
    assert_eq!(facts(&mut scene.parent), vec![]);
}

#[test]
fn a_publisher_that_comes_back_by_another_connection_is_asked_for_a_key_frame() {
    let mut scene = connected();
    scene.parent.sessions.get_mut(&2).unwrap().session.role = crate::session::Role::Publisher;
    let source = publishing(&mut scene.parent, scene.now);
    let requests = |scene: &Scene| scene.parent.forwarder.source_stats(source, scene.now).unwrap().key_frame_requests;
    scene.run(Duration::from_secs(1));
    scene.break_connection();
    scene.run(Duration::from_secs(2));
    assert_eq!(requests(&scene), 0);
    scene.connection = Some(17);
    scene.run(Duration::from_secs(8));
    assert!(scene.parent.knows(named(17, CHILD.parse().unwrap())));
    assert!(requests(&scene) > 0, "again and again, until one comes");
}

#[test]
fn a_peer_that_does_not_come_back_is_gone_when_its_consent_expires() {
    let mut scene = connected();
    scene.break_connection();
    scene.run(Duration::from_secs(35));
    assert_eq!(facts(&mut scene.parent), vec![Fact::Closed(CloseReason::ConsentExpired)]);
    assert!(scene.parent.by_address.is_empty() && scene.parent.by_ufrag.is_empty());
}

#[test]
fn with_its_session_a_connection_is_hung_up() {
    let mut scene = connected();
    scene.parent.close(2, scene.now);
    assert_eq!(scene.parent.hang_ups, vec![named(16, CHILD.parse().unwrap())]);
}
