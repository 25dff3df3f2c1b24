//! The members that say what a datagram is. Each begins with a comma: the line stands open.

use std::fmt::Write;

use crate::rtcp::{self, Report};
use crate::rtp;
use crate::stun::{Class, Message};

pub fn stun(line: &mut String, datagram: &[u8]) {
    line.push_str(r#","kind":"stun""#);
    let Some(message) = Message::parse(datagram) else { return };
    let class = match message.class {
        Class::Request => "request",
        Class::Success => "success",
        Class::Other => "other",
    };
    let id = message.transaction;
    let _ = write!(line, r#","class":"{class}","id":"{}","nominates":{}"#, hex(&id), message.use_candidate);
}

/// The header of an SRTP packet is in the clear.
pub fn rtp(line: &mut String, datagram: &[u8]) {
    line.push_str(r#","kind":"rtp""#);
    let Some(mut header) = rtp::header_len(datagram).map(|len| datagram[..len].to_vec()) else { return };
    // What padding there is stands at the sealed end.
    header[0] &= !0x20;
    let Some(view) = rtp::RtpView::parse(&header) else { return };
    let _ = write!(
        line,
        r#","ssrc":{},"pt":{},"seq":{},"ts":{},"marker":{},"header":{},"ext":{{"#,
        view.ssrc,
        view.payload_type,
        view.sequence,
        view.timestamp,
        view.marker,
        header.len()
    );
    let extensions: Vec<String> = view.extensions().map(|(id, value)| format!(r#""{id}":"{}""#, hex(value))).collect();
    let _ = write!(line, "{}}}", extensions.join(","));
}

/// `compound`: opened; None where it could not be.
pub fn rtcp(line: &mut String, compound: Option<&[u8]>) {
    line.push_str(r#","kind":"rtcp""#);
    let Some(compound) = compound else {
        line.push_str(r#","sealed":true"#);
        return;
    };
    let packets: Vec<String> = rtcp::packets(compound).map(rtcp_packet).collect();
    let _ = write!(line, r#","packets":[{}]"#, packets.join(","));
}

pub fn dtls(line: &mut String, datagram: &[u8]) {
    line.push_str(r#","kind":"dtls""#);
    let (Some(content), Some(epoch)) = (datagram.first(), datagram.get(3..5)) else { return };
    let _ = write!(line, r#","content":{content}"#);
    // RFC 6347: of a handshake record in the clear the message's type follows the record's header.
    if let (22, [0, 0], Some(handshake)) = (content, epoch, datagram.get(13)) {
        let _ = write!(line, r#","handshake":{handshake}"#);
    }
}

fn rtcp_packet(packet: &[u8]) -> String {
    let (count, body) = (packet[0] & 31, &packet[4..]);
    let ssrc = word(body, 0);
    match packet[1] {
        200 => format!(
            r#"{{"type":"sr","ssrc":{ssrc},"ntp":"{}","ts":{},"packets":{},"bytes":{},"blocks":[{}]}}"#,
            hex(body.get(4..12).unwrap_or_default()),
            word(body, 12),
            word(body, 16),
            word(body, 20),
            blocks(body.get(24..).unwrap_or_default(), count)
        ),
        201 => {
            format!(r#"{{"type":"rr","ssrc":{ssrc},"blocks":[{}]}}"#, blocks(body.get(4..).unwrap_or_default(), count))
        }
        202 => format!(r#"{{"type":"sdes","ssrc":{ssrc}}}"#),
        203 => format!(r#"{{"type":"bye","ssrc":{ssrc}}}"#),
        205 | 206 => feedback(packet, ssrc, word(body, 4)),
        other => format!(r#"{{"type":"{other}","ssrc":{ssrc}}}"#),
    }
}

fn feedback(packet: &[u8], ssrc: u32, media: u32) -> String {
    let name = match (packet[1], packet[0] & 31) {
        (205, 1) => "nack".to_owned(),
        (205, 15) => "transport-cc".to_owned(),
        (206, 1) => "pli".to_owned(),
        (206, 4) => "fir".to_owned(),
        (kind, format) => format!("{kind}.{format}"),
    };
    let reports = rtcp::parse(packet);
    match reports.first() {
        Some(Report::Nack { lost, .. }) => {
            let lost: Vec<String> = lost.iter().map(u16::to_string).collect();
            format!(r#"{{"type":"{name}","ssrc":{ssrc},"media":{media},"lost":[{}]}}"#, lost.join(","))
        }
        Some(Report::Remb { bitrate }) => format!(r#"{{"type":"remb","ssrc":{ssrc},"bitrate":{bitrate}}}"#),
        _ => format!(r#"{{"type":"{name}","ssrc":{ssrc},"media":{media}}}"#),
    }
}

/// Report blocks (RFC 3550, 6.4.1); `lost` so far is 24 bits, signed.
fn blocks(body: &[u8], count: u8) -> String {
    let block = |block: &[u8]| {
        let lost = (word(block, 4) << 8).cast_signed() >> 8;
        format!(
            r#"{{"ssrc":{},"fraction":{},"lost":{lost},"highest":{},"jitter":{},"lsr":{},"dlsr":{}}}"#,
            word(block, 0),
            block[4],
            word(block, 8),
            word(block, 12),
            word(block, 16),
            word(block, 20)
        )
    };
    body.chunks_exact(24).take(count.into()).map(block).collect::<Vec<_>>().join(",")
}

/// 0 where the packet is too short.
fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Every reader on the same bytes.
#[cfg(test)]
pub fn everything(bytes: &[u8]) {
    let mut line = String::new();
    stun(&mut line, bytes);
    rtp(&mut line, bytes);
    rtcp(&mut line, Some(bytes));
    dtls(&mut line, bytes);
}
