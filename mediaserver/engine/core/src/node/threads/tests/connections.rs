//! TCP connections that go to the thread of their session, and along with it: byte streams cut anywhere, no sockets.

use std::collections::VecDeque;

use super::*;
use crate::node::tests::{CHILD, pulled_from};
use crate::node::{Course, Inlet};
use crate::tcp::{Deframer, Lane, SendQueue, frame, named, number};

/// A connection as a shell holds it.
struct Connection {
    name: SocketAddr,
    inlet: Inlet,
    queue: SendQueue,
}

/// A peer with a session, and three threads that its connections and datagrams come to.
struct Street {
    peer: Node,
    threads: Vec<Node>,
    open: Vec<Vec<Connection>>,
    /// On their way to a thread.
    inboxes: Vec<VecDeque<Connection>>,
    /// What the peer has read of half a frame.
    heard: Deframer,
    /// Sent to it, and not read by the kernel yet.
    upwards: Vec<u8>,
    /// None: it sends by UDP, from an address that leads to `lands`.
    connection: Option<u32>,
    lands: ThreadNumber,
    /// Whether the kernel takes what is to be sent on connections.
    flows: bool,
    /// Datagrams that the peer got by connections, and those for which there was none where they were.
    arrived: usize,
    astray: usize,
    random: Random,
    now: Instant,
}

impl Street {
    /// The session begins on `begins`.
    fn new(seed: u64, begins: ThreadNumber) -> Self {
        let now = Instant::now();
        let crypto = Crypto::new().unwrap();
        let directory = Directory::default();
        let limits = Limits { sessions: 9, handshakes: 9 };
        let links = Links::mesh(3, 1000).into_iter().zip(Links::mesh(3, 1000));
        let threads = links.map(|(sessions, streams)| {
            alone(&crypto, now, limits, seed + sessions.me() as u64).linked(sessions, streams, directory.clone())
        });
        let mut threads: Vec<Node> = threads.collect();
        let peer = pulled_from(&mut threads[begins], ('p', 2), now);
        Self {
            peer,
            threads,
            open: (0..3).map(|_| vec![]).collect(),
            inboxes: (0..3).map(|_| VecDeque::new()).collect(),
            heard: Deframer::default(),
            upwards: vec![],
            connection: None,
            lands: 0,
            flows: true,
            arrived: 0,
            astray: 0,
            random: Random::new(seed),
            now,
        }
    }

    /// The peer connects to the listener of `thread`.
    fn connect(&mut self, number: u32, thread: ThreadNumber) {
        let name = named(number, CHILD.parse().unwrap());
        self.open[thread].push(Connection { name, inlet: Inlet::new(name), queue: SendQueue::default() });
        self.connection = Some(number);
        (self.upwards, self.heard) = (vec![], Deframer::default());
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.step();
        }
    }

    fn step(&mut self) {
        self.now += STEP;
        for (_, datagram) in turn(&mut self.peer, self.now) {
            if self.connection.is_some() {
                frame(&datagram, &mut self.upwards);
            } else {
                self.threads[self.lands].on_datagram(Socket::Shared, CHILD.parse().unwrap(), &datagram, self.now);
            }
        }
        self.carry_up(usize::MAX);
        let first = usize::try_from(self.random.word()).unwrap();
        for at in 0..3 {
            self.turn_thread((first + at) % 3);
        }
    }

    /// The kernel has so many bytes, in pieces of any size, for whoever has the connection.
    fn carry_up(&mut self, most: usize) {
        let mut left = most.min(self.upwards.len());
        while left > 0 {
            let Some((thread, at)) = self.connection.and_then(|number| self.holder(number)) else { return };
            let size = (1 + usize::try_from(self.random.word()).unwrap() % 300).min(left);
            let piece: Vec<u8> = self.upwards.drain(..size).collect();
            left -= size;
            let course = self.open[thread][at].inlet.read(&piece, &mut self.threads[thread], &mut |_| {}, self.now);
            if let Course::To(to) = course {
                let gone = self.open[thread].remove(at);
                self.inboxes[to].push_back(gone);
            }
        }
    }

    fn holder(&self, wanted: u32) -> Option<(ThreadNumber, usize)> {
        let has = |open: &Vec<Connection>| open.iter().position(|one| number(one.name) == Some(wanted));
        self.open.iter().enumerate().find_map(|(thread, open)| Some((thread, has(open)?)))
    }

    /// In the order of a data thread's turn.
    fn turn_thread(&mut self, thread: ThreadNumber) {
        while let Some(mut connection) = self.inboxes[thread].pop_front() {
            match connection.inlet.arrive(&mut self.threads[thread], self.now) {
                Course::Here => self.open[thread].push(connection),
                Course::To(next) => self.inboxes[next].push_back(connection),
                Course::Garbage | Course::Orphaned => {
                    self.threads[thread].on_connection_closed(connection.name, self.now);
                }
            }
        }
        for (to, datagram) in turn(&mut self.threads[thread], self.now) {
            if number(to).is_none() {
                self.peer.on_datagram(Socket::Own(1), PARENT.parse().unwrap(), &datagram, self.now);
            } else if let Some(connection) = self.open[thread].iter_mut().find(|one| one.name == to) {
                connection.queue.push(&datagram, Lane::Urgent, self.now);
            } else {
                self.astray += 1;
            }
        }
        self.carry_down(thread);
        for (name, to) in std::mem::take(&mut self.threads[thread].departures) {
            if let Some(at) = self.open[thread].iter().position(|one| one.name == name) {
                let gone = self.open[thread].remove(at);
                self.inboxes[to].push_back(gone);
            }
        }
    }

    fn carry_down(&mut self, thread: ThreadNumber) {
        if !self.flows {
            return;
        }
        let (now, from) = (self.now, PARENT.parse().unwrap());
        for connection in &mut self.open[thread] {
            while !connection.queue.is_empty() {
                let bytes = connection.queue.to_write();
                let taken = bytes.len().min(100);
                let (peer, arrived) = (&mut self.peer, &mut self.arrived);
                let read = self.heard.read(&bytes[..taken], |datagram| {
                    *arrived += 1;
                    peer.on_datagram(Socket::Own(1), from, datagram, now);
                });
                read.unwrap();
                connection.queue.wrote(taken);
            }
        }
    }

    fn facts(&mut self) -> Vec<(ThreadNumber, Fact)> {
        let facts = |(at, node): (usize, &mut Node)| facts(node).into_iter().map(move |fact| (at, fact));
        self.threads.iter_mut().enumerate().flat_map(facts).collect()
    }

    fn unknown(&self) -> u64 {
        self.threads.iter().map(|node| node.stats(self.now).unknown_datagrams).sum()
    }

    fn close_connection(&mut self, number: u32) {
        let (thread, at) = self.holder(number).unwrap();
        let closed = self.open[thread].remove(at);
        self.threads[thread].on_connection_closed(closed.name, self.now);
        self.connection = None;
    }
}

#[test]
fn a_connection_goes_to_the_thread_that_has_its_session() {
    for seed in 0..9 {
        let (begins, accepts) = (seed % 3, seed / 3);
        let mut street = Street::new(seed as u64, begins);
        street.connect(16, accepts);
        street.run(Duration::from_secs(1));
        assert_eq!(street.facts(), [(begins, Fact::Connected)], "from {accepts} to {begins}");
        assert_eq!(street.holder(16), Some((begins, 0)));
        assert_eq!((street.unknown(), street.astray), (0, 0), "nothing is lost");
        assert!(street.threads[begins].close(2, street.now));
        street.run(Duration::from_millis(20));
        assert!(street.threads[0].directory.is_empty());
        assert_eq!(facts(&mut street.peer).last(), Some(&Fact::Closed(CloseReason::PeerClosed)));
    }
}

#[test]
fn the_next_connection_finds_the_session_from_any_thread() {
    for accepts in 0..3 {
        let mut street = Street::new(5, 1);
        street.connect(16, 2);
        street.run(Duration::from_secs(1));
        assert_eq!(street.facts(), [(1, Fact::Connected)]);
        street.close_connection(16);
        street.run(Duration::from_secs(1));
        street.connect(17, accepts);
        // One consent check in 4 to 6 s.
        street.run(Duration::from_secs(8));
        assert_eq!((street.holder(17), street.facts()), (Some((1, 0)), vec![]));
        let stats = &street.threads[1].stats(street.now).sessions[0];
        assert_eq!((stats.remote, stats.over_tcp), (Some(CHILD.parse().unwrap()), true));
    }
}

/// The peer's checks come by TCP, then by UDP to another thread, which the session goes to; half a check has been read from the
/// connection, and two datagrams wait on it of which a part is written.
fn on_the_move() -> Street {
    let mut street = Street::new(3, 0);
    street.connect(16, 2);
    while street.threads[0].by_address.is_empty() {
        street.step();
    }
    assert_eq!((street.holder(16), street.upwards.len()), (Some((0, 0)), 0));
    street.flows = false;
    let queue = &mut street.open[0][0].queue;
    (0..2).for_each(|_| queue.push(&[200; 150], Lane::Urgent, street.now));
    street.heard.read(&queue.to_write()[..70], |_| {}).unwrap();
    queue.wrote(70);
    while street.upwards.is_empty() {
        street.now += STEP;
        for (_, datagram) in turn(&mut street.peer, street.now) {
            frame(&datagram, &mut street.upwards);
        }
    }
    street.carry_up(street.upwards.len() / 2);
    let rest = std::mem::take(&mut street.upwards);
    let connection = street.connection.take();
    street.lands = 1;
    while street.threads[1].sessions.is_empty() {
        street.step();
    }
    (street.upwards, street.connection) = (rest, connection);
    street
}

#[test]
fn half_a_frame_and_what_waits_to_be_sent_go_along_when_the_session_is_handed_over() {
    let mut street = on_the_move();
    street.turn_thread(1);
    assert_eq!(street.holder(16), Some((1, 0)));
    let before = street.arrived;
    street.flows = true;
    street.carry_down(1);
    assert!(street.arrived >= before + 2 && street.open[1][0].queue.is_empty());
    let (unknown, read) = (street.unknown(), street.upwards.len());
    street.carry_up(usize::MAX);
    street.turn_thread(1);
    assert!(read > 0 && street.upwards.is_empty());
    assert_eq!(street.unknown(), unknown, "both halves make a check");
    street.connection = None;
    street.run(Duration::from_secs(1));
    assert_eq!(street.facts(), [(1, Fact::Connected)]);
}

#[test]
fn a_connection_that_closes_on_its_way_is_missed_where_its_session_is() {
    let mut street = on_the_move();
    street.turn_thread(1);
    // Its end is read there: whoever has the descriptor.
    street.close_connection(16);
    let entry = &street.threads[1].sessions[&2];
    assert!(!entry.addresses.contains(&named(16, CHILD.parse().unwrap())));
    street.run(Duration::from_secs(1));
    assert_eq!(street.facts(), [(1, Fact::Connected)]);
}

#[test]
fn a_connection_whose_session_has_ended_meanwhile_is_closed() {
    let mut street = on_the_move();
    let mut moving = street.inboxes[1].pop_front().or_else(|| street.open[1].pop()).unwrap();
    assert!(moving.inlet.is_proved());
    assert!(street.threads[1].close(2, street.now));
    for thread in [1, 2] {
        assert_eq!(moving.inlet.arrive(&mut street.threads[thread], street.now), Course::Orphaned);
    }
}

#[test]
fn a_connection_follows_a_session_that_has_gone_on() {
    let mut street = on_the_move();
    let mut moving = street.inboxes[1].pop_front().or_else(|| street.open[1].pop()).unwrap();
    let now = street.now;
    street.threads[1].hand_over(2, 2, now);
    assert_eq!(moving.inlet.arrive(&mut street.threads[1], now), Course::To(2));
    // The directory says so before thread 2 has looked into its inbox.
    assert!(!street.threads[2].has(2));
    assert_eq!(moving.inlet.arrive(&mut street.threads[2], now), Course::Here);
    assert!(street.threads[2].has(2) && street.threads[2].knows(moving.name));
}

#[test]
fn a_check_finds_a_session_that_is_on_its_way_to_the_thread_and_one_that_has_left_it() {
    let mut street = Street::new(4, 0);
    let check = loop {
        street.now += STEP;
        if let Some((_, check)) = turn(&mut street.peer, street.now).pop() {
            break check;
        }
    };
    let now = street.now;
    let mut framed = vec![];
    frame(&check, &mut framed);
    let new = |number| Inlet::new(named(number, CHILD.parse().unwrap()));
    // The word is in the inbox of 1, and the directory says so.
    street.threads[0].hand_over(2, 1, now);
    let (mut first, mut second) = (new(16), new(17));
    assert_eq!(first.read(&framed, &mut street.threads[1], &mut |_| {}, now), Course::Here);
    assert!(first.is_proved() && street.threads[1].has(2));
    // Asked before it moves, arrived after.
    assert_eq!(second.read(&framed, &mut street.threads[2], &mut |_| {}, now), Course::To(1));
    street.threads[1].hand_over(2, 0, now);
    assert_eq!(second.arrive(&mut street.threads[1], now), Course::To(0));
    assert_eq!(second.arrive(&mut street.threads[0], now), Course::Here);
    assert!(second.is_proved());
}

#[test]
fn a_connection_is_its_first_sessions_whatever_checks_come_on_it_later() {
    let mut street = Street::new(6, 0);
    street.connect(16, 0);
    street.run(Duration::from_millis(500));
    let mut other = pulled_from(&mut street.threads[1], ('q', 3), street.now);
    let check = loop {
        street.now += STEP;
        if let Some((_, check)) = turn(&mut other, street.now).pop() {
            break check;
        }
    };
    frame(&check, &mut street.upwards);
    let before = street.unknown();
    street.carry_up(usize::MAX);
    assert_eq!((street.holder(16), street.unknown()), (Some((0, 0)), before + 1));
}
