//! Two nodes over a path that loses and delays, with real ICE, DTLS and SRTP: no sockets, no wall time.

use super::super::*;
use super::{CHILD, PARENT, pulled};
use crate::border::{ExtensionValues, SourcePacket, TrackSpec};
use crate::egress::Message;
use crate::negotiation::Codec;
use crate::random::Random;

const STEP: Duration = Duration::from_millis(1);
const ONE_WAY: Duration = Duration::from_millis(42);
/// In 1/1000.
const LOSS: u32 = 30;
/// VP8: every 60th packet begins a key frame.
const GOP: u64 = 60;

/// Datagrams on their way, for the child (true) or the parent.
struct Path {
    under_way: VecDeque<(Instant, bool, Vec<u8>)>,
    random: Random,
}

impl Path {
    fn send(&mut self, to_child: bool, datagram: Vec<u8>, now: Instant) {
        if self.random.word() % 1000 >= LOSS {
            self.under_way.push_back((now + ONE_WAY, to_child, datagram));
        }
    }
}

struct Media<'a>(&'a mut Vec<Vec<u8>>);

impl Egress for Media<'_> {
    fn send(&mut self, messages: &[Message], bytes: &[u8]) -> usize {
        for message in messages {
            let all = &bytes[message.start..message.start + message.len];
            self.0.extend(all.chunks(message.segment.into()).map(<[u8]>::to_vec));
        }
        messages.len()
    }
}

fn turn(node: &mut Node, is_child: bool, path: &mut Path, now: Instant) {
    let mut media = vec![];
    node.on_timeout(now);
    node.on_handshakes(now, &mut || true);
    node.poll_transmit(now, &mut Media(&mut media));
    let others: Vec<Vec<u8>> = node.transmits.drain(..).map(|transmit| transmit.datagram).collect();
    others.into_iter().chain(media).for_each(|datagram| path.send(!is_child, datagram, now));
}

#[test]
fn a_relay_over_84_ms_and_3_percent_loss_repairs_what_is_lost() {
    let start = Instant::now();
    let (mut child, mut parent) = pulled(start);
    let source =
        parent.forwarder.start_source(&"s".into(), "i", SourceKind::Publisher, &[TrackSpec::plain(Codec::Vp8)], start);
    let mut path = Path { under_way: VecDeque::new(), random: Random::new(4) };
    let (mut now, mut sent) = (start, 0_u64);
    while now < start + Duration::from_secs(14) {
        now += STEP;
        let since = (now - start).as_millis();
        // A packet each 10 ms, from one second to twelve.
        if (1000..12_000).contains(&since) && since.is_multiple_of(10) {
            let payload: &[u8] = if sent % GOP == 0 { &[0x10, 0, 0] } else { &[0x10, 1, 0] };
            let timestamp = u32::try_from(sent).unwrap() * 900;
            let extensions = ExtensionValues::default();
            let packet = SourcePacket { sequence: sent, timestamp, marker: true, payload: payload.into(), extensions };
            parent.forwarder.on_source_packet(source, 0, packet, now);
            sent += 1;
        }
        turn(&mut child, true, &mut path, now);
        turn(&mut parent, false, &mut path, now);
        while let Some((_, to_child, datagram)) = path.under_way.pop_front_if(|(at, ..)| *at <= now) {
            if to_child {
                child.on_datagram(Socket::Own(1), PARENT.parse().unwrap(), &datagram, now);
            } else {
                parent.on_datagram(Socket::Shared, CHILD.parse().unwrap(), &datagram, now);
            }
        }
    }
    let (there, here) = (parent.stats(now).sessions[0].clone(), child.stats(now).sessions[0].clone());
    assert!(sent == 1100 && there.packets > 900, "{there:?}");
    // All that was sent from the first packet that came on, which may itself not have been the first.
    assert!(here.packets <= there.packets && here.packets >= there.packets - 3, "{there:?} {here:?}");
    assert!((15..60).contains(&here.repaired) && here.given_up == 0, "{here:?}");
    assert!(here.nacks >= here.repaired && here.nacks <= here.repaired * 3 / 2, "{here:?}");
    assert!(there.repaired >= here.repaired, "{there:?}");
    let rtt = here.rtt.unwrap();
    assert!((Duration::from_millis(84)..Duration::from_millis(90)).contains(&rtt), "{rtt:?}");
    let rtt = there.rtt.unwrap();
    assert!((Duration::from_millis(83)..Duration::from_millis(90)).contains(&rtt), "{rtt:?}");
    assert_eq!(here.plis, 0, "its beginning is replayed");
}
