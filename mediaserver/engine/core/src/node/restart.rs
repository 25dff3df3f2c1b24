//! What a PATCH of a session asks for: candidates, which we need not know, or an ICE restart.

use std::time::Instant;

use str0m::IceCreds;

use super::{Node, SessionId, Socket};
use crate::negotiation::fragment::{self, Fragment};
use crate::negotiation::{LocalTransport, Refusal};
use crate::session::Restart;

/// Why a fragment is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PatchError {
    UnknownSession,
    Refused(Refusal),
}

impl Node {
    /// Take a peer's fragment. `local`: our side of a restart, should it be one. None: it was none, and there is nothing to say.
    ///
    /// # Errors
    /// `Refused` leaves the session as it was.
    pub fn patch(
        &mut self,
        id: SessionId,
        fragment: &Fragment,
        local: LocalTransport,
        now: Instant,
    ) -> Result<Option<String>, PatchError> {
        let entry = self.sessions.get(&id).ok_or(PatchError::UnknownSession)?;
        let asked = fragment.restart(entry.session.peer_ufrag()).map_err(PatchError::Refused)?;
        let Some((ufrag, pass)) = asked else { return Ok(None) };
        let ours = IceCreds { ufrag: local.ufrag, pass: local.password };
        let restart = Restart {
            local: ours.clone(),
            peer: IceCreds { ufrag, pass },
            addresses: local.candidates,
            tcp: local.tcp,
        };
        let mut begun = false;
        self.turn(id, now, |session| begun = session.restart(restart, now));
        let entry = self.sessions.get(&id).ok_or(PatchError::UnknownSession)?;
        if !begun {
            let text = "this session was opened by the node itself: its peer cannot restart it";
            return Err(PatchError::Refused(Refusal::Unsupported(text.to_owned())));
        }
        let answer = fragment::answer(&entry.session.tagged(), &ours.ufrag, &ours.pass);
        if entry.socket == Socket::Shared {
            self.directory.note_ufrag(&ours.ufrag, self.inboxes.me());
            self.by_ufrag.insert(ours.ufrag, id);
        }
        Ok(Some(answer))
    }
}

#[cfg(test)]
mod tests {
    //! The client's side of a restart is an ICE agent of its own, at another address than the one before.

    use std::net::SocketAddr;
    use std::time::Duration;

    use is::stun::{StunMessage, StunPacket};
    use is::{Candidate, IceAgent, Protocol};

    use super::super::tests::{CHILD, Nowhere, PARENT, STEP, facts, local, publishing, pulled};
    use super::super::{Fact, Transmit};
    use super::*;
    use crate::session::{NOMINATED_SILENT, RESTART_TIMEOUT};

    const MOVED: &str = "203.0.113.77:41000";
    const OURS: char = 'q';
    const THEIRS: char = 'd';

    fn credentials(name: char) -> IceCreds {
        IceCreds { ufrag: name.to_string().repeat(8), pass: name.to_string().repeat(24) }
    }

    fn fragment(name: char) -> Fragment {
        let IceCreds { ufrag, pass } = credentials(name);
        Fragment::parse(&format!("a=ice-ufrag:{ufrag}\r\na=ice-pwd:{pass}\r\n")).unwrap()
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// Child and parent, connected, and what the client restarts with.
    struct Scene {
        child: Node,
        parent: Node,
        client: Option<IceAgent>,
        now: Instant,
        /// Whether the way between child and parent is open.
        old_way: bool,
    }

    impl Scene {
        fn connected() -> Self {
            let now = Instant::now();
            let (child, parent) = pulled(now);
            let mut scene = Self { child, parent, client: None, now, old_way: true };
            scene.run(Duration::from_millis(300));
            assert_eq!(facts(&mut scene.parent), vec![Fact::Connected]);
            scene
        }

        fn restart(&mut self) -> String {
            let ours = local(&self.parent, OURS, &[PARENT]);
            self.parent.patch(2, &fragment(THEIRS), ours, self.now).unwrap().unwrap()
        }

        /// The client begins to use its new credentials.
        fn client_checks(&mut self) {
            let mut agent = IceAgent::with_hmac(credentials(THEIRS), crate::dtls::hmac());
            agent.set_controlling(true);
            agent.set_remote_credentials(credentials(OURS));
            agent.add_local_candidate(Candidate::host(address(MOVED), "udp").unwrap());
            agent.add_remote_candidate(Candidate::host(address(PARENT), "udp").unwrap());
            self.client = Some(agent);
        }

        fn run(&mut self, time: Duration) {
            let end = self.now + time;
            while self.now < end {
                self.now += STEP;
                self.step();
            }
        }

        fn step(&mut self) {
            for node in [&mut self.child, &mut self.parent] {
                node.on_timeout(self.now);
                node.on_handshakes(self.now, &mut || true);
                node.poll_transmit(self.now, &mut Nowhere);
            }
            let mut up: Vec<(SocketAddr, Vec<u8>)> = Vec::new();
            if let Some(agent) = &mut self.client {
                agent.handle_timeout(self.now);
                up.extend(
                    std::iter::from_fn(|| agent.poll_transmit()).map(|sent| (address(MOVED), sent.contents.into())),
                );
            }
            let from_child = self.child.transmits.drain(..).map(|sent| (address(CHILD), sent.datagram));
            up.extend(from_child.filter(|_| self.old_way));
            for (from, datagram) in up {
                self.parent.on_datagram(Socket::Shared, from, &datagram, self.now);
            }
            for sent in self.parent.transmits.drain(..).collect::<Vec<_>>() {
                self.deliver(&sent);
            }
        }

        fn deliver(&mut self, sent: &Transmit) {
            if sent.to == address(CHILD) && self.old_way {
                self.child.on_datagram(Socket::Own(1), address(PARENT), &sent.datagram, self.now);
            }
            if let Some(agent) = self.client.as_mut().filter(|_| sent.to == address(MOVED)) {
                let Ok(message) = StunMessage::parse(&sent.datagram) else { return };
                let packet =
                    StunPacket { proto: Protocol::Udp, source: address(PARENT), destination: address(MOVED), message };
                agent.handle_packet(self.now, packet);
            }
        }

        fn remote(&self) -> Option<SocketAddr> {
            self.parent.stats(self.now).sessions[0].remote
        }

        fn ufrags(&self) -> Vec<&str> {
            let mut ufrags: Vec<&str> = self.parent.by_ufrag.keys().map(String::as_str).collect();
            ufrags.sort_unstable();
            ufrags
        }
    }

    #[test]
    fn media_stay_on_the_old_way_until_the_peer_nominates_the_new_one() {
        let mut scene = Scene::connected();
        let answer = scene.restart();
        assert!(answer.contains("a=ice-ufrag:qqqqqqqq\r\na=ice-pwd:qqqq"), "{answer}");
        assert!(answer.contains("198.51.100.1 7000 typ host"), "{answer}");
        scene.run(Duration::from_secs(2));
        assert_eq!((scene.remote(), scene.ufrags()), (Some(address(CHILD)), vec!["pppppppp", "qqqqqqqq"]));
        scene.client_checks();
        scene.run(Duration::from_secs(1));
        assert_eq!((scene.remote(), scene.ufrags()), (Some(address(MOVED)), vec!["qqqqqqqq"]));
        assert_eq!(facts(&mut scene.parent), vec![]);
    }

    #[test]
    fn a_restarted_session_lives_by_the_consent_on_its_new_way_alone() {
        let mut scene = Scene::connected();
        scene.restart();
        scene.client_checks();
        scene.run(Duration::from_secs(1));
        scene.old_way = false;
        scene.run(Duration::from_secs(45));
        assert_eq!((facts(&mut scene.parent), scene.remote()), (vec![], Some(address(MOVED))));
        scene.client = None;
        scene.run(Duration::from_secs(35));
        assert_eq!(facts(&mut scene.parent), vec![Fact::Closed(crate::session::CloseReason::ConsentExpired)]);
        assert!(scene.parent.by_ufrag.is_empty() && scene.parent.by_address.is_empty());
    }

    /// Who has lost the session's old way only has to go on asking for restarts, and the old address gets the media for ever.
    #[test]
    fn to_ask_for_restarts_is_no_consent() {
        for is_broken in [false, true] {
            let mut scene = Scene::connected();
            scene.old_way = false;
            if is_broken {
                scene.parent.on_connection_closed(address(CHILD), scene.now);
            }
            for name in ['e', 'f', 'g', 'h'] {
                let ours = local(&scene.parent, name.to_ascii_uppercase(), &[PARENT]);
                let _ = scene.parent.patch(2, &fragment(name), ours, scene.now);
                scene.run(Duration::from_secs(10));
            }
            let expired = vec![Fact::Closed(crate::session::CloseReason::ConsentExpired)];
            assert_eq!(facts(&mut scene.parent), expired, "{is_broken}");
        }
    }

    #[test]
    fn without_consent_on_the_old_way_media_go_to_where_the_new_one_is_proved() {
        let mut scene = Scene::connected();
        scene.old_way = false;
        scene.restart();
        scene.client_checks();
        // Then the parent's agent is the one that nominates; a peer's word that is not.
        let client = scene.client.as_mut().unwrap();
        client.set_controlling(false);
        client.set_control_tie_breaker(u64::MAX);
        scene.run(Duration::from_secs(25));
        assert_eq!(scene.remote(), Some(address(CHILD)), "nobody has nominated the new one");
        scene.run(Duration::from_secs(10));
        assert_eq!((facts(&mut scene.parent), scene.remote()), (vec![], Some(address(MOVED))));
    }

    /// A phone that leaves the Wi-Fi: its connection breaks before it asks for a restart.
    #[test]
    fn a_session_whose_way_is_broken_goes_on_by_a_restart() {
        let mut scene = Scene::connected();
        scene.old_way = false;
        scene.run(Duration::from_secs(5));
        scene.parent.on_connection_closed(address(CHILD), scene.now);
        assert_eq!(scene.remote(), None);
        scene.restart();
        scene.client_checks();
        scene.run(Duration::from_secs(40));
        assert_eq!((facts(&mut scene.parent), scene.remote()), (vec![], Some(address(MOVED))));
        assert_eq!(scene.ufrags(), vec!["qqqqqqqq"]);
    }

    #[test]
    fn a_restart_that_leads_nowhere_leaves_the_session_as_it_was() {
        let mut scene = Scene::connected();
        scene.restart();
        scene.run(RESTART_TIMEOUT + Duration::from_secs(5));
        assert_eq!((facts(&mut scene.parent), scene.remote()), (vec![], Some(address(CHILD))));
        assert_eq!(scene.ufrags(), vec!["pppppppp"]);
    }

    #[test]
    fn of_two_restarts_the_later_one_counts() {
        let mut scene = Scene::connected();
        let first = local(&scene.parent, 'x', &[PARENT]);
        scene.parent.patch(2, &fragment('y'), first, scene.now).unwrap().unwrap();
        scene.restart();
        assert_eq!(scene.ufrags(), vec!["pppppppp", "qqqqqqqq"]);
        scene.client_checks();
        scene.run(Duration::from_secs(1));
        assert_eq!(scene.remote(), Some(address(MOVED)));
    }

    #[test]
    fn candidates_of_the_peers_newest_session_are_no_restart() {
        let mut scene = Scene::connected();
        scene.restart();
        let ours = local(&scene.parent, 'z', &[PARENT]);
        assert_eq!(scene.parent.patch(2, &fragment(THEIRS), ours.clone(), scene.now), Ok(None));
        assert_eq!(scene.parent.patch(9, &fragment(THEIRS), ours, scene.now), Err(PatchError::UnknownSession));
    }

    #[test]
    fn a_session_that_we_opened_is_not_restarted_by_its_peer() {
        let mut scene = Scene::connected();
        let ours = local(&scene.child, OURS, &[CHILD]);
        let refused = scene.child.patch(1, &fragment(THEIRS), ours, scene.now);
        assert!(matches!(refused, Err(PatchError::Refused(_))), "{refused:?}");
    }

    #[test]
    fn a_session_that_was_never_connected_begins_anew_with_the_new_credentials() {
        let now = Instant::now();
        let (child, parent) = pulled(now);
        let mut scene = Scene { child, parent, client: None, now, old_way: false };
        scene.run(Duration::from_millis(100));
        scene.restart();
        assert_eq!(scene.ufrags(), vec!["qqqqqqqq"]);
        scene.client_checks();
        scene.run(Duration::from_secs(1));
        assert_eq!(scene.remote(), Some(address(MOVED)));
    }

    #[test]
    fn a_publisher_that_has_moved_is_asked_for_a_key_frame() {
        let mut scene = Scene::connected();
        let session = &mut scene.parent.sessions.get_mut(&2).unwrap().session;
        session.role = crate::session::Role::Publisher;
        let source = publishing(&mut scene.parent, scene.now);
        let requests =
            |scene: &Scene| scene.parent.forwarder.source_stats(source, scene.now).unwrap().key_frame_requests;
        scene.run(Duration::from_secs(1));
        assert_eq!(requests(&scene), 0);
        scene.restart();
        scene.client_checks();
        scene.run(Duration::from_millis(500));
        assert_eq!((scene.remote(), requests(&scene)), (Some(address(MOVED)), 1));
    }

    /// NAT rebinding: the same credentials from another address.
    #[test]
    fn a_peer_whose_address_changes_is_followed_once_the_old_one_is_silent() {
        let mut scene = Scene::connected();
        let mut moved = Vec::new();
        let end = scene.now + NOMINATED_SILENT + Duration::from_secs(4);
        while scene.now < end {
            scene.now += STEP;
            for node in [&mut scene.child, &mut scene.parent] {
                node.on_timeout(scene.now);
                node.on_handshakes(scene.now, &mut || true);
            }
            for sent in scene.child.transmits.drain(..).collect::<Vec<_>>() {
                scene.parent.on_datagram(Socket::Shared, address(MOVED), &sent.datagram, scene.now);
            }
            for sent in scene.parent.transmits.drain(..).collect::<Vec<_>>() {
                if sent.to == address(MOVED) {
                    scene.child.on_datagram(Socket::Own(1), address(PARENT), &sent.datagram, scene.now);
                }
            }
            moved.extend(scene.remote().filter(|remote| *remote == address(MOVED)).map(|_| scene.now));
        }
        assert!(!moved.is_empty(), "media still go to {:?}", scene.remote());
        assert_eq!(facts(&mut scene.parent), vec![]);
    }
}
