//! Well-formed inputs of each target of `rivulet_core::fuzz`.

mod peers;

use std::net::SocketAddr;
use std::time::Instant;

use aws_lc_rs::hmac;
use rivulet_core::dtls::Crypto;
use rivulet_core::negotiation::{Codec, Format, LocalTransport, Track, relay};
use rivulet_core::rtcp::{self, ReportBlock, SenderReport};
use rivulet_core::rtp::{self, HeaderWriter, RtpHeader};
use rivulet_core::stun::Message;
use str0m::crypto::dtls::{DtlsInstance, DtlsOutput, DtlsVersion};

const PASSWORD: &str = "pppppppppppppppppppppppp";

/// Of the target `name`.
pub fn of(name: &str) -> Vec<Vec<u8>> {
    match name {
        "stun" => stun(),
        "rtp" => rtp_packets(),
        "rtcp" => reports(),
        "payload" => payloads(),
        "framing" => streams(),
        "inlet" => peers::inlets(),
        "address" => addresses(),
        "dtls" => flights().iter().flat_map(|flight| flight.datagrams.clone()).collect(),
        "handshake" => flights().iter().map(|flight| joined(&[flight.role], &flight.datagrams)).collect(),
        "certificate" => certificates(),
        "trace" | "node" => [stun(), rtp_packets(), reports(), of("dtls")].concat(),
        "sdp" => offers(),
        "fragment" => fragments(),
        "link" => peers::links(),
        "refragment" => cut(),
        "receive" => received(),
        "forward" => forwarded(),
        "legs" => peers::legs(),
        "checks" => peers::checks(),
        _ => Vec::new(),
    }
}

/// Several parts, each behind two bytes of its length, and `first` before all.
fn joined(first: &[u8], parts: &[Vec<u8>]) -> Vec<u8> {
    let sized = |part: &Vec<u8>| [&u16::try_from(part.len()).unwrap_or(0).to_be_bytes(), &part[..]].concat();
    first.iter().copied().chain(parts.iter().flat_map(sized)).collect()
}

/// What a client sends on a connection, behind the size of the pieces in which it is read.
fn streams() -> Vec<Vec<u8>> {
    let all = [stun(), rtp_packets(), reports()];
    let longest = vec![vec![0x80; 1_500], vec![], vec![0x80; 1_501]];
    let sizes = [0_u8, 1, 2, 3, 255];
    all.iter().chain([&longest]).flat_map(|datagrams| sizes.map(|size| joined(&[size], datagrams))).collect()
}

/// Numbers of connections, each with its peer's address, port and scope.
fn addresses() -> Vec<Vec<u8>> {
    let row = |number: u32, ip: &str, port: u16, scope: u32| {
        let ip: std::net::Ipv6Addr = ip.parse().expect("an address");
        [&number.to_be_bytes()[..], &ip.octets(), &port.to_be_bytes(), &scope.to_be_bytes()].concat()
    };
    let rows = [
        row(16, "2001:db8::7", 7_000, 0),
        row(17, "::ffff:192.0.2.7", 7_000, 0),
        row(u32::MAX, "fe80::1", 65_535, 3),
        row(0, "::", 0, 0),
    ];
    rows.iter().cloned().chain([rows.concat()]).collect()
}

/// A binding request as a client sends it, `attributes` before its integrity.
fn binding_request(transaction: u8, attributes: &[u8]) -> Vec<u8> {
    request("pppppppp", transaction, attributes)
}

/// The same for the session of that user name, whose password is its letter.
fn request(ufrag: &str, transaction: u8, attributes: &[u8]) -> Vec<u8> {
    let (username, password) = (format!("{ufrag}:cccccccc"), ufrag.repeat(3));
    let mut bytes = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    bytes.extend([transaction; 12]);
    bytes.extend([0, 6, 0, 17]);
    bytes.extend(username.as_bytes());
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes.extend(attributes);
    let length = u16::try_from(bytes.len() - 20 + 24).unwrap_or(0).to_be_bytes();
    bytes.splice(2..4, length);
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
    let tag = hmac::sign(&key, &bytes);
    bytes.extend([0, 8, 0, 20]);
    bytes.extend(tag.as_ref());
    bytes
}

fn stun() -> Vec<Vec<u8>> {
    let priority = [0, 0x24, 0, 4, 0x6e, 0, 1, 0xff];
    let controlling = [0x80, 0x2a, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
    let nominating = [&priority[..], &controlling, &[0, 0x25, 0, 0]].concat();
    let request = binding_request(7, &nominating);
    let bare = [&[1, 1, 0, 0][..], &request[4..20]].concat();
    let answer = |text: &str| {
        let address: SocketAddr = text.parse().expect("an address");
        Message::parse(&bare).map(|message| message.mapped_to(address, PASSWORD)).unwrap_or_default()
    };
    let answers = [answer("192.0.2.7:7000"), answer("[2001:db8::7]:7001")];
    [vec![request, binding_request(9, &priority), bare.clone()], answers.to_vec()].concat()
}

/// A packet of the publisher that the checks know (`rivulet_core::fuzz`).
fn rtp_packet(payload_type: u8, number: u16, extensions: &[(u8, &[u8])], padding: u8, payload: &[u8]) -> Vec<u8> {
    let ssrc = 1000 + u32::from(payload_type);
    let timestamp = 3000 * u32::from(number / 2);
    let padded = padding > 0;
    let header = RtpHeader { marker: number % 2 == 1, payload_type, sequence: number, timestamp, ssrc, padded };
    let mut packet = vec![];
    let longest = extensions.iter().map(|(_, value)| value.len()).max().unwrap_or(0);
    let mut writer = HeaderWriter::begin(&mut packet, header, longest);
    for (id, value) in extensions {
        writer.extension(*id, value);
    }
    let _ = writer.end();
    packet.extend_from_slice(payload);
    packet.extend_from_slice(rtp::padding(padding));
    packet
}

fn rtp_packets() -> Vec<Vec<u8>> {
    let values: [&[(u8, &[u8])]; 4] =
        [&[], &[(4, b"1"), (1, &[1, 2])], &[(2, &[9; 8]), (3, &[0x85]), (5, &[1])], &[(4, b"1"), (6, &[7; 40])]];
    let packet = |(number, payload): (u16, Vec<u8>)| {
        let at = usize::from(number);
        let padding = if at.is_multiple_of(5) { 4 } else { 0 };
        rtp_packet([96, 97, 111][at % 3], 65_530_u16.wrapping_add(number), values[at % 4], padding, &payload[1..])
    };
    (0..).zip(payloads()).map(packet).collect()
}

fn written(write: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let mut buffer = vec![];
    write(&mut buffer);
    buffer
}

/// What a peer reports of `media`, and of its own.
fn report_parts(media: u32) -> Vec<Vec<u8>> {
    let block = ReportBlock { ssrc: media, fraction_lost: 64, last_report: 7, delay: 8 };
    let [a, b, c, d] = media.to_be_bytes();
    vec![
        written(|buffer| rtcp::write_receiver_report(buffer, 1, block, 9)),
        written(|buffer| rtcp::write_description(buffer, &[media, 1000], "name")),
        written(|buffer| rtcp::write_nack(buffer, 1, media, &[65_535, 0, 15, 16, 40])),
        written(|buffer| rtcp::write_nack(buffer, 1, media, &(0..300).step_by(3).collect::<Vec<u16>>())),
        written(|buffer| rtcp::write_pli(buffer, 1, media)),
        vec![0x84, 206, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, a, b, c, d, 3, 0, 0, 0],
        [&[0x8f, 206, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0][..], b"REMB", &[1, 13, 0, 2, a, b, c, d]].concat(),
        written(|buffer| rtcp::write_transport_feedback(buffer, 15, 1, &[1; 18])),
        written(|buffer| rtcp::write_bye(buffer, &[media, 1000])),
    ]
}

fn reports() -> Vec<Vec<u8>> {
    let report = SenderReport { ssrc: 1096, ntp: 1 << 40, timestamp: 4, packets: 5, bytes: 6 };
    let sender = written(|buffer| rtcp::write_sender_report(buffer, report));
    let parts = [report_parts(1096), report_parts(2000)].concat();
    let compound = [sender.clone(), parts.concat()].concat();
    parts.into_iter().map(|part| [sender.clone(), part].concat()).chain([compound]).collect()
}

/// The beginning of a frame of each codec, the codec's number before it.
fn payloads() -> Vec<Vec<u8>> {
    let sized = |unit: &[u8]| [&u16::try_from(unit.len()).unwrap_or(0).to_be_bytes(), unit].concat();
    let body = |head: &[u8], len: usize| [head, &(0..len).map(|at| at.to_le_bytes()[0]).collect::<Vec<_>>()].concat();
    let sps = [0x67, 0x42, 0xe0, 0x1f, 0xda, 2, 0x80, 0x2d];
    let stap = [&[0x78][..], &sized(&sps), &sized(&[0x68, 0xce, 6]), &sized(&body(&[0x65], 60))].concat();
    let aggregate = [&[48 << 1, 1][..], &sized(&[64, 1, 9]), &sized(&[66, 1, 9, 9]), &sized(&[38, 1, 5])].concat();
    let structure = [0x18, 1, 64, 0, 240, 1, 4, 1];
    // In the order of `Codec::ALL`: H.264, VP8, VP9, AV1, H.265, Opus.
    let table: [(u8, Vec<u8>); 17] = [
        (0, body(&[0x65], 90)),
        (0, sps.to_vec()),
        (0, stap),
        (0, body(&[0x7c, 0x85], 90)),
        (0, body(&[0x7c, 0x45], 90)),
        (1, body(&[0x10, 0], 30)),
        (1, body(&[0x90, 0xf0, 0x81, 2, 3, 4, 0], 30)),
        (1, body(&[0x80, 0x80, 0x12], 30)),
        (2, body(&[&[0xae, 0x85, 1, 0x20, 7][..], &structure].concat(), 30)),
        (2, body(&[0xfc, 0x92, 0x34, 0x20, 3, 2], 30)),
        (2, body(&[0x88, 0x12], 30)),
        (3, body(&[0x18, 0x0a], 30)),
        (3, [&[0x28, 5, 1, 2, 3, 4, 5][..], &[0x32; 30]].concat()),
        (3, [&[0xc0, 3, 1, 2, 3, 0x80, 0, 2, 7, 7][..]].concat()),
        (4, body(&[38, 1], 90)),
        (4, aggregate),
        (4, body(&[98, 1, 0x93], 90)),
    ];
    let opus = vec![5, 0xfc, 0xff, 0xfe];
    table.into_iter().map(|(codec, payload)| [&[codec][..], &payload].concat()).chain([opus]).collect()
}

/// Payloads of one codec as they come from a publisher: step, flags, time, then the payload (`rivulet_core::fuzz`).
fn cut() -> Vec<Vec<u8>> {
    let of = |codec: u8| payloads().into_iter().filter(move |payload| payload[0] == codec);
    let steps: [(i8, u8); 8] = [(1, 0x40), (1, 0x80), (3, 0x80), (-1, 0x20), (-2, 0xa0), (1, 0), (2, 0xc0), (-3, 0x80)];
    let packets = |codec| {
        let rows = steps.iter().zip(of(codec).cycle());
        let part = |((step, flags), payload): (&(i8, u8), Vec<u8>)| {
            [&[step.cast_unsigned(), *flags, 7][..], &payload[1..]].concat()
        };
        joined(&[codec], &rows.map(part).collect::<Vec<_>>())
    };
    (0..5).map(packets).collect()
}

/// Packets of a publisher, each behind the time since the one before.
fn received() -> Vec<Vec<u8>> {
    let video: Vec<Vec<u8>> = payloads().into_iter().filter(|payload| payload[0] == 1).collect();
    let numbers: [u16; 10] = [65_533, 65_534, 1, 2, 65_535, 0, 9, 600, 7, 4];
    let media = numbers.iter().zip(0_u8..).map(|(number, at)| {
        let payload = &video[usize::from(at) % video.len()][1..];
        [&[at][..], &rtp_packet(96, *number, &[(4, b"1"), (1, &[0, at])], 0, payload)].concat()
    });
    let repair = [&[9][..], &rtp_packet(97, 5, &[(4, b"1")], 0, &[0, 3, 0x10, 0, 9])].concat();
    let audio = [&[2][..], &rtp_packet(111, 5, &[(3, &[0x85])], 0, &[0xfc, 1])].concat();
    let reports = reports().into_iter().map(|report| [&[3][..], &report].concat());
    let all: Vec<Vec<u8>> = media.chain([repair, audio]).chain(reports).collect();
    vec![joined(&[], &all), joined(&[], &all[..6]), joined(&[], &all[8..])]
}

/// What a source and two viewers do: kind, whose, and what (`rivulet_core::fuzz`).
fn forwarded() -> Vec<Vec<u8>> {
    let scene = |codec: u8| {
        let frames = payloads().into_iter().filter(|payload| payload[0] == codec).cycle().take(9);
        let video = frames.zip(0_u8..).map(|(payload, at)| [&[0, 1, 1, 0x60, at / 2][..], &payload[1..]].concat());
        let audio = [0, 0, 1, 0, 3, 0xfc, 1].to_vec();
        let wait = vec![3, 8];
        let asked = [report_parts(2000), report_parts(1000)].concat();
        let asked = asked.iter().zip([0, 1].into_iter().cycle()).map(|(report, at)| [&[2, at][..], report].concat());
        let mut parts: Vec<Vec<u8>> = video.flat_map(|part| [part, audio.clone(), wait.clone()]).collect();
        parts.extend(asked.flat_map(|part| [part, wait.clone()]));
        joined(&[codec], &parts)
    };
    (0..5).map(scene).collect()
}

/// Self-signed, made by `openssl req -x509`: RSA of 2,048 bits, ECDSA on P-256.
fn certificates() -> Vec<Vec<u8>> {
    vec![include_bytes!("seeds/rsa.der").to_vec(), include_bytes!("seeds/ecdsa.der").to_vec()]
}

/// What one side of a handshake sent; `role`: of the other side, 1 for the client.
struct Flight {
    role: u8,
    datagrams: Vec<Vec<u8>>,
}

fn flights() -> [Flight; 2] {
    let now = Instant::now();
    let instance = |active| {
        let crypto = Crypto::new().expect("a certificate");
        let provider = crypto.provider(false);
        let made = provider.dtls_provider.new_dtls(&crypto.certificate, now, DtlsVersion::Dtls12, None);
        let mut made = made.expect("an instance");
        made.set_active(active);
        made.handle_timeout(now).expect("nothing is late");
        made
    };
    let (mut client, mut server) = (instance(true), instance(false));
    let (mut from_client, mut from_server) = (vec![], vec![]);
    for _ in 0..6 {
        pass(&mut *client, &mut *server, &mut from_client);
        pass(&mut *server, &mut *client, &mut from_server);
    }
    [Flight { role: 0, datagrams: from_client }, Flight { role: 1, datagrams: from_server }]
}

fn pass(from: &mut dyn DtlsInstance, to: &mut dyn DtlsInstance, seen: &mut Vec<Vec<u8>>) {
    let mut buffer = vec![0; 2000];
    loop {
        match from.poll_output(&mut buffer) {
            DtlsOutput::Packet(packet) => {
                seen.push(packet.to_vec());
                to.handle_packet(packet).expect("an honest peer");
            }
            DtlsOutput::Timeout(_) => return,
            _ => {}
        }
    }
}

fn offers() -> Vec<Vec<u8>> {
    let samples = [
        include_str!("../../../core/src/negotiation/samples/aiortc-answer.sdp"),
        include_str!("../../../core/src/negotiation/samples/aiortc-play.sdp"),
        include_str!("../../../core/src/negotiation/samples/chromium-play.sdp"),
        include_str!("../../../core/src/negotiation/samples/chromium-publish.sdp"),
        include_str!("../../../core/src/negotiation/samples/ffmpeg-publish.sdp"),
        include_str!("../../../core/src/negotiation/samples/firefox-play.sdp"),
        include_str!("../../../core/src/negotiation/samples/gstreamer-play.sdp"),
        include_str!("../../../core/src/negotiation/samples/gstreamer-publish.sdp"),
        include_str!("../../../core/src/negotiation/samples/obs-publish.sdp"),
        include_str!("../../../core/src/negotiation/samples/pion-answer.sdp"),
        include_str!("../../../core/src/negotiation/samples/pion-play.sdp"),
        include_str!("../../../core/src/negotiation/samples/pion-publish.sdp"),
    ];
    let local = LocalTransport {
        session_id: 7,
        ufrag: "ours".to_owned(),
        password: "a-password-of-24-letters".to_owned(),
        fingerprint: ["AB"; 32].join(":"),
        candidates: vec![SocketAddr::from(([198, 51, 100, 1], 7000))],
        tcp: true,
    };
    let ours = |layers: &[&str]| {
        let tracks = [(Codec::Vp9, layers), (Codec::Opus, &[])].map(|(codec, layers)| Track {
            kind: codec.kind(),
            format: Format { codec, fmtp: "profile-id=0".to_owned() },
            layers: layers.iter().map(|rid| (*rid).to_owned()).collect(),
        });
        relay::offer(&local, &tracks).unwrap_or_default()
    };
    let layered = peers::layered(include_str!("../../../core/src/negotiation/samples/chromium-publish.sdp"));
    let more = [ours(&[]), ours(&["h", "m", "l"]), layered];
    samples.iter().map(|text| (*text).to_owned()).chain(more).map(String::into_bytes).collect()
}

fn fragments() -> Vec<Vec<u8>> {
    let credentials = "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n";
    let candidate =
        "a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1\r\n";
    let section = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n";
    [
        format!("{credentials}{section}{candidate}a=end-of-candidates\r\n"),
        format!("a=ice-options:trickle ice2\r\na=group:BUNDLE 0 1\r\n{section}{credentials}{candidate}"),
        format!("{section}{candidate}"),
    ]
    .map(String::into_bytes)
    .to_vec()
}
