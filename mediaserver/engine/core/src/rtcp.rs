//! RTCP (RFC 3550, RFC 4585, RFC 5104): what viewers tell us, and what we tell them.

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const DESCRIPTION: u8 = 202;
const BYE: u8 = 203;
const TRANSPORT_FEEDBACK: u8 = 205;
const PAYLOAD_FEEDBACK: u8 = 206;

const NACK: u8 = 1;
const PLI: u8 = 1;
const FIR: u8 = 4;
/// RFC 7728, 8.
const PAUSE_RESUME: u8 = 9;
const APPLICATION: u8 = 15;

/// One thing that a compound packet says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    Sender {
        ssrc: u32,
        ntp: u64,
        timestamp: u32,
    },
    Block(ReportBlock),
    /// Packet numbers of `ssrc` that the peer misses.
    Nack {
        ssrc: u32,
        lost: Vec<u16>,
    },
    /// PLI or FIR.
    KeyFrame {
        ssrc: u32,
    },
    /// A stream is to be sent no more for now, or again (RFC 7728).
    Pause {
        ssrc: u32,
        paused: bool,
    },
    /// Receiver's estimate, bit/s.
    Remb {
        bitrate: u64,
    },
    Bye {
        ssrc: u32,
    },
}

/// What a receiver says of one of our SSRCs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportBlock {
    pub ssrc: u32,
    /// In 1/256.
    pub fraction_lost: u8,
    /// Middle 32 bits of the NTP time of our latest report; 0: none seen.
    pub last_report: u32,
    /// Time since then, in 1/65,536 s.
    pub delay: u32,
}

/// What we say of one SSRC of the peer (RFC 3550, 6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reception {
    pub ssrc: u32,
    /// In 1/256, since the last report.
    pub fraction_lost: u8,
    /// In all; 24 bits, negative with repetitions.
    pub lost: i32,
    /// Extended by 16 bits of cycles.
    pub highest: u32,
    /// In ticks of the clock.
    pub jitter: u32,
    /// As `ReportBlock::last_report` and `delay`.
    pub last_report: u32,
    pub delay: u32,
}

/// Read a compound packet. Unknown kinds (transport-cc among them) are passed over; reading ends where the form does.
#[must_use]
pub fn parse(mut compound: &[u8]) -> Vec<Report> {
    let mut reports = Vec::new();
    while let Some((head, body, rest)) = split(compound) {
        match head[1] {
            SENDER_REPORT => sender_report(head[0] & 31, body, &mut reports),
            RECEIVER_REPORT => blocks(head[0] & 31, body.get(4..).unwrap_or_default(), &mut reports),
            BYE => byes(head[0] & 31, body, &mut reports),
            TRANSPORT_FEEDBACK if head[0] & 31 == NACK => nack(body, &mut reports),
            TRANSPORT_FEEDBACK if head[0] & 31 == PAUSE_RESUME => pauses(body, &mut reports),
            PAYLOAD_FEEDBACK => payload_feedback(head[0] & 31, body, &mut reports),
            _ => {}
        }
        compound = rest;
    }
    reports
}

/// The packets of a compound one, whole; reading ends where the form does.
pub fn packets(mut compound: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (.., rest) = split(compound)?;
        let (packet, _) = compound.split_at(compound.len() - rest.len());
        compound = rest;
        Some(packet)
    })
}

/// (header, body without padding, what follows).
fn split(compound: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let head = compound.get(..4).filter(|head| head[0] >> 6 == 2)?;
    let end = 4 + usize::from(u16::from_be_bytes([head[2], head[3]])) * 4;
    let (packet, rest) = compound.split_at_checked(end)?;
    let padding = if head[0] & 0x20 == 0 { 0 } else { packet[end - 1] };
    let body = packet.get(4..end.checked_sub(padding.into())?)?;
    Some((head, body, rest))
}

fn sender_report(count: u8, body: &[u8], reports: &mut Vec<Report>) {
    if body.len() < 24 {
        return;
    }
    let ntp = u64::from(word(&body[4..])) << 32 | u64::from(word(&body[8..]));
    reports.push(Report::Sender { ssrc: word(body), ntp, timestamp: word(&body[12..]) });
    blocks(count, &body[24..], reports);
}

fn blocks(count: u8, body: &[u8], reports: &mut Vec<Report>) {
    reports.extend(body.chunks_exact(24).take(count.into()).map(|block| {
        Report::Block(ReportBlock {
            ssrc: word(block),
            fraction_lost: block[4],
            last_report: word(&block[16..]),
            delay: word(&block[20..]),
        })
    }));
}

fn byes(count: u8, body: &[u8], reports: &mut Vec<Report>) {
    reports.extend(body.chunks_exact(4).take(count.into()).map(|ssrc| Report::Bye { ssrc: word(ssrc) }));
}

fn nack(body: &[u8], reports: &mut Vec<Report>) {
    if body.len() < 12 {
        return;
    }
    let lost = body[8..].chunks_exact(4).flat_map(|item| {
        let first = u16::from_be_bytes([item[0], item[1]]);
        let mask = u16::from_be_bytes([item[2], item[3]]);
        let others = (0..16).filter(move |bit| mask >> bit & 1 == 1).map(move |bit| first.wrapping_add(bit + 1));
        std::iter::once(first).chain(others)
    });
    reports.push(Report::Nack { ssrc: word(&body[4..]), lost: lost.collect() });
}

/// Items of a target, a kind (0: pause, 1: resume) and words of no interest.
fn pauses(body: &[u8], reports: &mut Vec<Report>) {
    let mut items = body.get(8..).unwrap_or_default();
    while let Some((item, rest)) = items.split_at_checked(8) {
        if item[4] >> 4 <= 1 {
            reports.push(Report::Pause { ssrc: word(item), paused: item[4] >> 4 == 0 });
        }
        items = rest.get(usize::from(item[5]) * 4..).unwrap_or_default();
    }
}

fn payload_feedback(format: u8, body: &[u8], reports: &mut Vec<Report>) {
    if body.len() < 8 {
        return;
    }
    match format {
        PLI => reports.push(Report::KeyFrame { ssrc: word(&body[4..]) }),
        FIR => reports.extend(body[8..].chunks_exact(8).map(|item| Report::KeyFrame { ssrc: word(item) })),
        APPLICATION => reports.extend(remb(&body[8..])),
        _ => {}
    }
}

/// draft-alvestrand-rmcat-remb-03, 2.2.
fn remb(item: &[u8]) -> Option<Report> {
    let parameters = item.strip_prefix(b"REMB").filter(|p| p.len() >= 4)?;
    let exponent = parameters[1] >> 2;
    let mantissa = u64::from(parameters[1] & 3) << 16 | u64::from(u16::from_be_bytes([parameters[2], parameters[3]]));
    Some(Report::Remb { bitrate: mantissa.checked_mul(1_u64.checked_shl(exponent.into())?)? })
}

/// Reads the first four bytes; the caller has checked the length.
fn word(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// A sender report without report blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderReport {
    pub ssrc: u32,
    /// 32.32 seconds.
    pub ntp: u64,
    pub timestamp: u32,
    pub packets: u32,
    pub bytes: u32,
}

pub fn write_sender_report(buffer: &mut Vec<u8>, report: SenderReport) {
    write_head(buffer, 0, SENDER_REPORT, 6);
    buffer.extend_from_slice(&report.ssrc.to_be_bytes());
    buffer.extend_from_slice(&report.ntp.to_be_bytes());
    for word in [report.timestamp, report.packets, report.bytes] {
        buffer.extend_from_slice(&word.to_be_bytes());
    }
}

/// A receiver report without blocks: what a compound packet starts with when there is nothing to report.
pub fn write_empty_report(buffer: &mut Vec<u8>, ssrc: u32) {
    write_head(buffer, 0, RECEIVER_REPORT, 1);
    buffer.extend_from_slice(&ssrc.to_be_bytes());
}

/// A receiver report with one block about `block.ssrc`.
pub fn write_receiver_report(buffer: &mut Vec<u8>, ssrc: u32, block: ReportBlock, highest_sequence: u32) {
    write_head(buffer, 1, RECEIVER_REPORT, 7);
    buffer.extend_from_slice(&ssrc.to_be_bytes());
    buffer.extend_from_slice(&block.ssrc.to_be_bytes());
    buffer.extend_from_slice(&[block.fraction_lost, 0, 0, 0]);
    for word in [highest_sequence, 0, block.last_report, block.delay] {
        buffer.extend_from_slice(&word.to_be_bytes());
    }
}

/// A receiver report about at most 31 SSRCs.
#[allow(clippy::cast_possible_truncation)] // At most 31 blocks of 6 words.
pub fn write_receptions(buffer: &mut Vec<u8>, ssrc: u32, receptions: &[Reception]) {
    let receptions = &receptions[..receptions.len().min(31)];
    write_head(buffer, receptions.len() as u8, RECEIVER_REPORT, 1 + 6 * receptions.len() as u16);
    buffer.extend_from_slice(&ssrc.to_be_bytes());
    for reception in receptions {
        let lost = u32::from(reception.fraction_lost) << 24 | reception.lost.cast_unsigned() & 0xff_ffff;
        let Reception { ssrc, highest, jitter, last_report, delay, .. } = *reception;
        for word in [ssrc, lost, highest, jitter, last_report, delay] {
            buffer.extend_from_slice(&word.to_be_bytes());
        }
    }
}

/// SDES with the CNAME of each SSRC; names are cut at 255 bytes.
#[allow(clippy::cast_possible_truncation)] // Lengths are bounded: at most 31 SSRCs of 264 bytes.
pub fn write_description(buffer: &mut Vec<u8>, ssrcs: &[u32], cname: &str) {
    let ssrcs = &ssrcs[..ssrcs.len().min(31)];
    let name = &cname.as_bytes()[..cname.len().min(255)];
    let start = buffer.len();
    write_head(buffer, ssrcs.len() as u8, DESCRIPTION, 0);
    for ssrc in ssrcs {
        buffer.extend_from_slice(&ssrc.to_be_bytes());
        buffer.extend_from_slice(&[1, name.len() as u8]);
        buffer.extend_from_slice(name);
        // At least one zero ends the list of items, then up to the next word.
        let end = (buffer.len() - start) / 4 * 4 + 4;
        buffer.resize(start + end, 0);
    }
    let words = ((buffer.len() - start) / 4 - 1) as u16;
    buffer[start + 2..start + 4].copy_from_slice(&words.to_be_bytes());
}

#[allow(clippy::cast_possible_truncation)] // At most 31 SSRCs.
pub fn write_bye(buffer: &mut Vec<u8>, ssrcs: &[u32]) {
    let ssrcs = &ssrcs[..ssrcs.len().min(31)];
    write_head(buffer, ssrcs.len() as u8, BYE, ssrcs.len() as u16);
    for ssrc in ssrcs {
        buffer.extend_from_slice(&ssrc.to_be_bytes());
    }
}

pub fn write_pli(buffer: &mut Vec<u8>, sender: u32, media: u32) {
    write_head(buffer, PLI, PAYLOAD_FEEDBACK, 2);
    buffer.extend_from_slice(&sender.to_be_bytes());
    buffer.extend_from_slice(&media.to_be_bytes());
}

/// What is to be sent of `media` from now on (RFC 7728, 8): `id` counts the changes.
pub fn write_pause(buffer: &mut Vec<u8>, sender: u32, media: u32, paused: bool, id: u16) {
    write_head(buffer, PAUSE_RESUME, TRANSPORT_FEEDBACK, 4);
    buffer.extend_from_slice(&sender.to_be_bytes());
    buffer.extend_from_slice(&[0; 4]);
    buffer.extend_from_slice(&media.to_be_bytes());
    let [high, low] = id.to_be_bytes();
    buffer.extend_from_slice(&[u8::from(!paused) << 4, 0, high, low]);
}

/// `lost`: ascending. Numbers at most 16 apart share an item.
#[allow(clippy::cast_possible_truncation)] // A NACK of a datagram's size has fewer items than 65,535.
pub fn write_nack(buffer: &mut Vec<u8>, sender: u32, media: u32, lost: &[u16]) {
    let mut items: Vec<(u16, u16)> = Vec::new();
    for &number in lost {
        match items.last_mut().map(|(first, mask)| (number.wrapping_sub(*first), mask)) {
            Some((distance @ 1..=16, mask)) => *mask |= 1 << (distance - 1),
            _ => items.push((number, 0)),
        }
    }
    write_head(buffer, NACK, TRANSPORT_FEEDBACK, 2 + items.len() as u16);
    buffer.extend_from_slice(&sender.to_be_bytes());
    buffer.extend_from_slice(&media.to_be_bytes());
    for (first, mask) in items {
        buffer.extend_from_slice(&first.to_be_bytes());
        buffer.extend_from_slice(&mask.to_be_bytes());
    }
}

/// Transport-layer feedback of `format` with its own `body`, padded to whole words (RFC 4585, 6.1). At most 64 KiB.
#[allow(clippy::cast_possible_truncation)] // Bounded by what fits a datagram.
pub fn write_transport_feedback(buffer: &mut Vec<u8>, format: u8, sender: u32, body: &[u8]) {
    let padding = body.len().next_multiple_of(4) - body.len();
    let start = buffer.len();
    write_head(buffer, format, TRANSPORT_FEEDBACK, 1 + body.len().div_ceil(4) as u16);
    buffer.extend_from_slice(&sender.to_be_bytes());
    buffer.extend_from_slice(body);
    if padding > 0 {
        buffer[start] |= 0x20;
        buffer.resize(buffer.len() + padding - 1, 0);
        buffer.push(padding as u8);
    }
}

fn write_head(buffer: &mut Vec<u8>, count: u8, kind: u8, words: u16) {
    let [high, low] = words.to_be_bytes();
    buffer.extend_from_slice(&[0x80 | count, kind, high, low]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut buffer = vec![];
        write(&mut buffer);
        buffer
    }

    #[test]
    fn what_is_written_is_read_back() {
        let block = ReportBlock { ssrc: 5, fraction_lost: 64, last_report: 7, delay: 8 };
        let report = SenderReport { ssrc: 1, ntp: 2 << 32 | 3, timestamp: 4, packets: 5, bytes: 6 };
        let table = [
            (
                "sender report",
                written(|b| write_sender_report(b, report)),
                vec![Report::Sender { ssrc: 1, ntp: 2 << 32 | 3, timestamp: 4 }],
            ),
            ("receiver report", written(|b| write_receiver_report(b, 1, block, 9)), vec![Report::Block(block)]),
            ("empty report", written(|b| write_empty_report(b, 1)), vec![]),
            ("description", written(|b| write_description(b, &[1, 2], "name")), vec![]),
            ("bye", written(|b| write_bye(b, &[1, 2])), vec![Report::Bye { ssrc: 1 }, Report::Bye { ssrc: 2 }]),
            ("pli", written(|b| write_pli(b, 1, 2)), vec![Report::KeyFrame { ssrc: 2 }]),
            ("pause", written(|b| write_pause(b, 1, 2, true, 3)), vec![Report::Pause { ssrc: 2, paused: true }]),
            ("resume", written(|b| write_pause(b, 1, 2, false, 4)), vec![Report::Pause { ssrc: 2, paused: false }]),
            (
                "nack",
                written(|b| write_nack(b, 1, 2, &[65535, 0, 15, 16, 40])),
                vec![Report::Nack { ssrc: 2, lost: vec![65535, 0, 15, 16, 40] }],
            ),
        ];
        let compound: Vec<u8> = table.iter().flat_map(|(_, bytes, _)| bytes.clone()).collect();
        let all: Vec<Report> = table.iter().flat_map(|(_, _, reports)| reports.clone()).collect();
        for (name, bytes, reports) in table {
            assert_eq!(parse(&bytes), reports, "{name}");
        }
        assert_eq!(parse(&compound), all);
        for cut in 0..compound.len() {
            assert!(parse(&compound[..cut]).len() <= all.len());
        }
    }

    #[test]
    fn fir_remb_and_unknown_feedback_are_read() {
        let fir = [0x84, 206, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 3, 0, 0, 0];
        assert_eq!(parse(&fir), [Report::KeyFrame { ssrc: 9 }]);
        let remb =
            [&[0x8f, 206, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0][..], b"REMB", &[1, 3 << 2 | 1, 0, 2, 0, 0, 0, 9]].concat();
        assert_eq!(parse(&remb), [Report::Remb { bitrate: 0x1_0002 << 3 }]);
        let transport_cc = [0x8f, 205, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2];
        assert_eq!(parse(&transport_cc), []);
    }

    #[test]
    fn a_description_of_any_name_keeps_to_words() {
        for len in 0..9 {
            let bytes = written(|b| write_description(b, &[1], &"n".repeat(len)));
            assert_eq!(bytes.len() % 4, 0);
            assert_eq!(usize::from(u16::from_be_bytes([bytes[2], bytes[3]])) * 4 + 4, bytes.len());
            assert_eq!(*bytes.last().unwrap(), 0);
        }
    }
}
