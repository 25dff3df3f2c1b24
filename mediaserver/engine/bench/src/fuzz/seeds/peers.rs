//! What peers say that know a session's password or its keys, and what the ends of links tell each other.

use super::{joined, payloads, report_parts, request, rtp_packet};

/// What one end of a link says of itself and of a leg.
pub fn links() -> Vec<Vec<u8>> {
    let fingerprint = ["AB"; 32].join(":");
    let end = |fingerprint: &str, rest: &str| {
        let password = "p".repeat(24);
        format!("ufrag abcdefgh\r\npassword {password}\r\nfingerprint {fingerprint}\r\n{rest}").into_bytes()
    };
    let audio = "feedback 10\r\ntrack audio - 11 -";
    vec![
        end(&fingerprint, &format!("candidate 198.51.100.1:7000\r\n{audio}\r\ntrack video - 12 13")),
        end(
            &fingerprint,
            &format!("candidate [2001:db8::1]:7000\r\n{audio}\r\ntrack video h 12 13\r\ntrack video l 14 15"),
        ),
        end(
            &fingerprint,
            "candidate 0.0.0.0:0\r\ncandidate 255.255.255.255:65535\r\ncandidate [fe80::1%3]:9\r\nfeedback 0",
        ),
        end(&["+A"; 32].join(":"), "candidate [::ffff:192.0.2.1]:1\r\nfeedback 4294967295\r\ntrack audio h 1 2"),
        end(&["ab"; 32].join(":"), "feedback 1\r\ntrack video - 2 2\r\ntrack video h 3 3\r\ntrack audio - 2 4"),
    ]
}

/// Who sends (0: from above, 2: to it), SSRCs, and a packet; 3: time (`rivulet_core::fuzz`).
pub fn legs() -> Vec<Vec<u8>> {
    let video: Vec<Vec<u8>> = payloads().into_iter().filter(|payload| payload[0] == 1).collect();
    let packets = (0..9_u8).map(|at| {
        let payload = &video[usize::from(at) % video.len()][1..];
        [&[0, 2][..], &rtp_packet(98, 65_530_u16.wrapping_add(at.into()), &[], 0, payload)].concat()
    });
    let audio = [&[0, 1][..], &rtp_packet(111, 5, &[(3, &[0x85])], 0, &[0xfc, 1])].concat();
    let repair = [&[0, 3][..], &rtp_packet(99, 5, &[], 0, &[0, 3, 0x10, 0, 9])].concat();
    let (wait, long) = (vec![3, 8], vec![3, 250]);
    let media: Vec<Vec<u8>> = packets.flat_map(|packet| [packet, audio.clone(), wait.clone()]).collect();
    let reports = |head: [u8; 2]| report_parts(7).into_iter().map(move |report| [&head[..], &report].concat());
    let nack = vec![2, 0x50, 0x81, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0xff, 0xff];
    let pause = vec![2, 0x10, 0x89, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0x20, 0, 0, 1];
    let asked: Vec<Vec<u8>> = reports([2, 0x10]).chain([nack, pause, long.clone()]).collect();
    let told: Vec<Vec<u8>> = reports([0, 2]).chain([repair, long]).collect();
    vec![
        joined(&[0], &[&media[..], &asked].concat()),
        joined(&[1], &[&media[..], &told].concat()),
        joined(&[1], &[&asked[..], &media, &told[..3]].concat()),
        joined(&[0], &[&told[..], &asked].concat()),
    ]
}

/// Kind, behind one byte of its length the value.
fn attribute(kind: [u8; 2], value: &[u8]) -> Vec<u8> {
    [&kind[..], &[u8::try_from(value.len()).unwrap_or(0)], value].concat()
}

/// Checks, answers, restarts and time (`rivulet_core::fuzz`).
pub fn checks() -> Vec<Vec<u8>> {
    let asked =
        [attribute([0, 0x24], &[0x6e, 0, 1, 0xff]), attribute([0x80, 0x2a], &[1, 2, 3, 4, 5, 6, 7, 8])].concat();
    let mapped = attribute([0, 0x20], &[0, 1, 0x3a, 0x4a, 0xe7, 0x20, 0xd6, 0x43]);
    let ask = |nominates: u8, from: u8| [&[nominates, from][..], &asked].concat();
    let answer = |from: u8| [&[4, from][..], &mapped].concat();
    let way = |from: u8| vec![ask(1, from), vec![8, 60], answer(from), ask(1, from), vec![8, 60]];
    let (restart, long) = (vec![7, 0], vec![8, 255]);
    let odd = attribute([0, 9], &[0, 0, 4, 1]);
    let errors = vec![[&[16, 3][..], &odd].concat(), [&[6, 3][..], &odd].concat(), [&[5, 3][..], &mapped].concat()];
    vec![
        joined(&[], &way(3)),
        joined(
            &[],
            &[way(3), vec![restart.clone()], way(40), way(3), vec![long.clone(), ask(130, 3), restart]].concat(),
        ),
        joined(&[], &[way(64), vec![vec![9, 64]], way(65), way(103)].concat()),
        joined(&[], &[way(96), way(3), errors, vec![long]].concat()),
        joined(&[], &(0..28).flat_map(|at| [ask(0, at * 3), answer(at * 3)]).collect::<Vec<_>>()),
    ]
}

/// A connection's bytes as they are read, behind the thread on which it begins (`rivulet_core::fuzz`).
pub fn inlets() -> Vec<Vec<u8>> {
    let frame = |datagram: &[u8]| joined(&[], &[datagram.to_vec()]);
    let check = frame(&request("nnnnnnnn", 7, &[0, 0x25, 0, 0]));
    let media = frame(&[0x80; 90]);
    let stream = [&check[..], &media, &frame(&request("nnnnnnnn", 9, &[])), &media, &frame(&[22; 70])].concat();
    let cut = |size: usize| stream.chunks(size).map(<[u8]>::to_vec).collect::<Vec<_>>();
    let ways = [(0, stream.len()), (1, 50), (2, 7), (0, 100)];
    let whole = ways.iter().map(|(first, size)| joined(&[*first], &cut(*size)));
    whole.chain([joined(&[0], &[check, b"GET / HTTP/1.1\r\n".to_vec()]), joined(&[1], &[media])]).collect()
}

/// A publisher's offer with layers, as Chromium writes it.
pub fn layered(offer: &str) -> String {
    let (audio, video) = offer.split_once("m=video").unwrap_or_default();
    let ids = ["sdes:rtp-stream-id", "sdes:repaired-rtp-stream-id"].iter().zip(10..);
    let lines = ids.map(|(name, id)| format!("a=extmap:{id} urn:ietf:params:rtp-hdrext:{name}\r\n"));
    let plain = |line: &&str| !line.starts_with("a=ssrc") && !line.contains("extmap:1");
    let video: String = video.lines().filter(plain).flat_map(|line| [line, "\r\n"]).collect();
    let rids = "a=rid:h send\r\na=rid:m send\r\na=rid:l send\r\na=simulcast:send h;~m,l;l\r\n";
    format!("{audio}m=video{video}{}{rids}", lines.collect::<String>())
}
