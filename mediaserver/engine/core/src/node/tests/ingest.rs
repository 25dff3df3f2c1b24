//! A foreign server is pulled from, which is a node of ours here: what it sends is a publication.

use super::*;
use crate::negotiation::{Refusal, ingest};

const CODECS: [Codec; 2] = [Codec::Vp8, Codec::Opus];

fn asked(child: &mut Node, now: Instant) -> String {
    let local = local(child, 'c', &[CHILD]);
    let offer = ingest::offer(&local, &CODECS).unwrap();
    let from = PulledFrom::Server { codecs: CODECS.to_vec(), megabits: 50 };
    child.add_pull(1, NewPull { stream: "s".into(), incarnation: "i".to_owned(), local, created: now, from }).unwrap();
    offer
}

fn answered(now: Instant, setup: &str) -> (Node, Node) {
    let (mut child, mut server) = (roomy(now), roomy(now));
    let offer = asked(&mut child, now).replace("a=setup:actpass", &format!("a=setup:{setup}"));
    let answer = serve(&mut server, 2, &offer, now).unwrap();
    child.answer_pull(1, &answer, now).unwrap();
    (child, server)
}

#[test]
fn a_server_connects_whoever_begins_dtls() {
    for setup in ["actpass", "passive"] {
        let mut now = Instant::now();
        let (mut child, mut server) = answered(now, setup);
        run(&mut child, &mut server, &mut now, Duration::from_millis(300), true);
        assert_eq!(facts(&mut child), vec![Fact::Connected], "{setup}");
        assert_eq!(child.settled, vec![(1, PARENT.parse().unwrap())]);
        assert_eq!(child.stats(now).sessions[0].role, Role::Ingest);
    }
}

#[test]
fn what_it_sends_is_published_here() {
    let mut now = Instant::now();
    let (mut child, mut server) = answered(now, "actpass");
    let source = publishing(&mut server, now);
    run(&mut child, &mut server, &mut now, Duration::from_millis(300), true);
    facts(&mut child);
    let mut sent = Sealed::default();
    for sequence in 2..5 {
        let payload = vec![0x10, 0].into();
        let extensions = ExtensionValues::default();
        let packet = SourcePacket { sequence, timestamp: 3_000, marker: true, payload, extensions };
        server.forwarder.on_source_packet(source, 0, packet, now);
    }
    for _ in 0..40 {
        now += STEP;
        server.on_timeout(now);
        server.poll_transmit(now, &mut sent);
        for datagram in sent.0.drain(..) {
            child.on_datagram(Socket::Own(1), PARENT.parse().unwrap(), &datagram, now);
        }
        child.on_batch_end(now);
        child.on_timeout(now);
    }
    let told = facts(&mut child);
    assert!(matches!(&told[..], [Fact::Tracks(tracks), Fact::Active, ..] if tracks[0].codec == Codec::Vp8), "{told:?}");
    assert_eq!(child.stats(now).streams[0].incarnation.as_deref(), Some("i"));
    run(&mut child, &mut server, &mut now, Duration::from_secs(4), true);
    assert!(facts(&mut child).contains(&Fact::Silent));
}

/// What leaves of media, each packet by itself.
#[derive(Default)]
struct Sealed(Vec<Vec<u8>>);

impl Egress for Sealed {
    fn send(&mut self, messages: &[Message], bytes: &[u8]) -> usize {
        for message in messages {
            let part = &bytes[message.start..message.start + message.len];
            self.0.extend(part.chunks(message.segment.into()).map(<[u8]>::to_vec));
        }
        messages.len()
    }
}

#[test]
fn an_answer_that_cannot_be_used_leaves_the_offer_and_its_time_limit() {
    let now = Instant::now();
    let (mut child, mut server) = (roomy(now), roomy(now));
    let offer = asked(&mut child, now);
    let answer = serve(&mut server, 2, &offer, now).unwrap();
    let nowhere = answer.replace("a=candidate", "a=x-candidate");
    let refused = child.answer_pull(1, &nowhere, now).unwrap_err();
    assert!(
        matches!(&refused, PullError::Refused(Refusal::Unsupported(text)) if text.contains("a=candidate")),
        "{refused:?}"
    );
    assert!(matches!(child.answer_pull(1, "nonsense", now), Err(PullError::Refused(Refusal::Malformed(_)))));
    child.on_timeout(now + Duration::from_secs(15));
    assert_eq!(facts(&mut child), vec![Fact::Closed(CloseReason::HandshakeTimeout)]);
    assert_eq!(child.answer_pull(1, &answer, now), Err(PullError::UnknownSession));
}

#[test]
fn of_the_addresses_that_a_server_names_few_are_checked_and_none_twice() {
    let mut now = Instant::now();
    let (mut child, mut server) = (roomy(now), roomy(now));
    let offer = asked(&mut child, now);
    let answer = serve(&mut server, 2, &offer, now).unwrap();
    let line = |n: u16| format!("a=candidate:{n} 1 udp 99 198.51.100.9 {n} typ host\r\n");
    let many = (1..200).map(line).collect::<Vec<String>>().concat();
    let rtcp = "a=candidate:1 2 udp 9999 198.51.100.8 9 typ host\r\na=candidate:1 1 tcp 9999 198.51.100.7 9 typ host tcptype passive\r\n";
    let first = answer.find("a=candidate").unwrap();
    let spoilt = format!("{}{rtcp}{many}{}", &answer[..first], &answer[first..]);
    child.answer_pull(1, &spoilt, now).unwrap();
    let mut checked: Vec<SocketAddr> = Vec::new();
    for _ in 0..600 {
        now += STEP;
        child.on_timeout(now);
        checked.extend(child.transmits.drain(..).map(|sent| sent.to));
    }
    checked.sort_unstable();
    checked.dedup();
    assert!(checked.iter().all(|to| to.ip().to_string() == "198.51.100.9") && checked.len() <= 16, "{checked:?}");
    assert!(!checked.is_empty());
}
