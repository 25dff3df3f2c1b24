use super::*;
use crate::border::AbsCaptureTime;
use crate::random::Random;

const LIMIT: usize = 1000;

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from(at * 7 % 251).unwrap()).collect()
}

fn with(head: &[u8], body: &[u8]) -> Vec<u8> {
    [head, body].concat()
}

fn packet(sequence: u64, payload: Vec<u8>) -> SourcePacket {
    let payload = payload.into();
    SourcePacket { sequence, timestamp: 0, marker: true, payload, extensions: ExtensionValues::default() }
}

/// The units of H.264 (`long`: H.265) payloads that follow one another.
fn units(payloads: &[Vec<u8>], long: bool) -> Vec<Vec<u8>> {
    let head = if long { 2 } else { 1 };
    let kind = |payload: &[u8]| if long { payload[0] >> 1 & 63 } else { payload[0] & 31 };
    let (aggregate, fragment) = if long { (48, 49) } else { (24, 28) };
    let mut units: Vec<Vec<u8>> = vec![];
    for payload in payloads {
        if kind(payload) == aggregate {
            let mut rest = &payload[head..];
            while !rest.is_empty() {
                let len = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
                units.push(rest[2..2 + len].to_vec());
                rest = &rest[2 + len..];
            }
        } else if kind(payload) == fragment {
            let flags = payload[head];
            if flags & 0x80 != 0 {
                let first = if long { payload[0] & 0x81 | (flags & 63) << 1 } else { payload[0] & 0xe0 | flags & 31 };
                units.push([&[first], &payload[1..head]].concat());
            }
            units.last_mut().unwrap().extend_from_slice(&payload[head + 1..]);
        } else {
            units.push(payload.clone());
        }
    }
    units
}

#[test]
fn h264_and_h265_units_are_the_same_after_cutting() {
    let sized = |len: usize, head: &[u8]| {
        let unit = with(head, &bytes(len));
        [u16::try_from(unit.len()).unwrap().to_be_bytes().to_vec(), unit].concat()
    };
    let h264 = [
        ("unit", with(&[0x65], &bytes(2500)), 3),
        ("aggregate", with(&[0x78], &[sized(20, &[0x67]), sized(5, &[0x68]), sized(1100, &[0x65])].concat()), 3),
        ("small unit, two wanted", with(&[0x41], &bytes(30)), 2),
    ];
    for (name, payload, count) in h264 {
        let cut = pieces(Codec::H264, &payload, LIMIT, if payload.len() < LIMIT { count } else { 1 }).unwrap();
        assert_eq!((cut.len(), cut.iter().all(|piece| piece.len() <= LIMIT)), (count, true), "{name}");
        assert_eq!(units(&cut, false), units(&[payload], false), "{name}");
    }
    let h265 = [
        ("unit", with(&[0x26, 1], &bytes(1900)), 2),
        ("aggregate", with(&[0x60, 1], &[sized(600, &[0x40, 1]), sized(600, &[0x42, 1])].concat()), 2),
    ];
    for (name, payload, count) in h265 {
        let cut = pieces(Codec::H265, &payload, LIMIT, 1).unwrap();
        assert_eq!((cut.len(), cut.iter().all(|piece| piece.len() <= LIMIT)), (count, true), "{name}");
        assert_eq!(units(&cut, true), units(&[payload], true), "{name}");
    }
}

#[test]
fn fragments_that_are_cut_again_begin_and_end_once() {
    for (flags, expected) in [(0x85, [0x85, 5, 5]), (5, [5, 5, 5]), (0x45, [5, 5, 0x45])] {
        let cut = pieces(Codec::H264, &with(&[0x7c, flags], &bytes(2500)), LIMIT, 1).unwrap();
        assert_eq!(cut.iter().map(|piece| piece[1]).collect::<Vec<_>>(), expected);
        let body: Vec<u8> = cut.iter().flat_map(|piece| piece[2..].to_vec()).collect();
        assert_eq!(body, bytes(2500));
    }
}

#[test]
fn vp8_and_vp9_descriptors_are_repeated_without_beginning_twice() {
    let vp8 = with(&[0x90, 0xf0, 0x81, 0x02, 3, 4], &bytes(1500));
    let cut = pieces(Codec::Vp8, &vp8, LIMIT, 1).unwrap();
    assert_eq!((cut[0][..6].to_vec(), cut[1][..6].to_vec()), (vp8[..6].to_vec(), vec![0x80, 0xf0, 0x81, 0x02, 3, 4]));
    assert_eq!([&cut[0][6..], &cut[1][6..]].concat(), bytes(1500));
    let structure = [0x18, 1, 64, 0, 240, 1, 0x04, 1];
    let vp9 = with(&[&[0xae, 0x85, 0x01, 0x20, 7][..], &structure].concat(), &bytes(2500));
    let cut = pieces(Codec::Vp9, &vp9, LIMIT, 1).unwrap();
    assert_eq!(cut[0][..13], [&[0xaa, 0x85, 0x01, 0x20, 7][..], &structure].concat());
    assert_eq!(
        (cut[1][..5].to_vec(), cut[2][..5].to_vec()),
        (vec![0xa0, 0x85, 1, 0x20, 7], vec![0xa4, 0x85, 1, 0x20, 7])
    );
    assert_eq!([&cut[0][13..], &cut[1][5..], &cut[2][5..]].concat(), bytes(2500));
}

/// The OBU elements of AV1 payloads that follow one another.
fn elements(payloads: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = vec![];
    for payload in payloads {
        let continues = payload[0] & 0x80 != 0;
        let count = usize::from(payload[0] >> 4 & 3);
        let (mut rest, mut seen) = (&payload[1..], 0);
        while !rest.is_empty() {
            let mut len = rest.len();
            if count == 0 || seen + 1 < count {
                let long = rest[0] & 0x80 != 0;
                len = usize::from(rest[0] & 0x7f) | if long { usize::from(rest[1]) << 7 } else { 0 };
                rest = &rest[if long { 2 } else { 1 }..];
            }
            if seen == 0 && continues && !all.is_empty() {
                all.last_mut().unwrap().extend_from_slice(&rest[..len]);
            } else {
                all.push(rest[..len].to_vec());
            }
            rest = &rest[len..];
            seen += 1;
        }
    }
    all
}

#[test]
fn av1_elements_are_the_same_after_cutting() {
    let first = with(&[20], &bytes(20));
    for (name, payload) in [
        ("one element", with(&[0x18], &bytes(2300))),
        ("two, the first with its length", with(&[0x28], &[first.clone(), bytes(1500)].concat())),
        (
            "all with lengths, to be continued",
            with(&[0x40], &[first.clone(), with(&[0xdc, 0x0b], &bytes(1500))].concat()),
        ),
    ] {
        let cut = pieces(Codec::Av1, &payload, LIMIT, 1).unwrap();
        assert!(cut.len() > 1 && cut.iter().all(|piece| piece.len() <= LIMIT), "{name}");
        assert_eq!(elements(&cut), elements(std::slice::from_ref(&payload)), "{name}");
        assert_eq!((cut[0][0] & 0x88, cut.last().unwrap()[0] & 0x40), (payload[0] & 0x88, payload[0] & 0x40), "{name}");
    }
}

#[test]
fn any_bytes_are_survived_and_pieces_keep_to_the_limit() {
    let mut random = Random::new(3);
    for round in 0..30_000 {
        let len = usize::try_from(random.word() % 3000).unwrap();
        let mut payload: Vec<u8> = std::iter::repeat_with(|| random.word().to_le_bytes()[0]).take(len).collect();
        if round % 3 == 0 && len > 4 {
            // Plausible aggregates and counts, so that more than the first byte is read.
            payload[0] = [0x78, 0x60, 0x18, 0x82, 0xbf, 0x90][usize::try_from(random.word() % 6).unwrap()];
            payload[1] = 0;
        }
        for codec in Codec::ALL {
            let count = usize::try_from(random.word() % 4 + 1).unwrap();
            if let Some(pieces) = pieces(codec, &payload, LIMIT, count) {
                assert!(!pieces.is_empty() && pieces.iter().all(|piece| piece.len() <= LIMIT), "{codec:?} {payload:?}");
            }
        }
    }
}

#[test]
fn nothing_is_renumbered_before_the_first_large_packet() {
    let mut cutter = Refragmenter::new(Codec::H264);
    let numbers = |packets: Vec<SourcePacket>| packets.iter().map(|p| p.sequence).collect::<Vec<_>>();
    assert_eq!(numbers(cutter.push(packet(10, with(&[0x41], &bytes(ROOM - 1))))), [10]);
    assert_eq!(numbers(cutter.push(packet(12, with(&[0x41], &bytes(90))))), [12]);
    assert_eq!(numbers(cutter.push(packet(13, with(&[0x41], &bytes(ROOM))))), [13, 14]);
    assert_eq!(numbers(cutter.push(packet(11, with(&[0x41], &bytes(90))))), [11], "late, of before");
    assert_eq!(numbers(cutter.push(packet(16, with(&[0x41], &bytes(90))))), [19], "14 and 15 have two numbers each");
    assert_eq!(
        numbers(cutter.push(packet(15, with(&[0x41], &bytes(90))))),
        [17, 18],
        "cut, so that no number looks lost"
    );
    let late = cutter.push(packet(14, vec![9]));
    assert_eq!(numbers(late.clone()), [15, 16]);
    assert_eq!(late.iter().map(|p| (p.payload.len(), p.marker)).collect::<Vec<_>>(), [(1, true), (0, false)]);
    assert_eq!(cutter.push(packet(14, vec![9])), [], "a repetition");
}

/// The first large packet could not be cut, so one number was kept free for what was missing then.
#[test]
fn a_late_packet_takes_no_more_numbers_than_were_kept_free_for_it() {
    let mut cutter = Refragmenter::new(Codec::H264);
    let mut numbers = |sequence, payload| -> Vec<u64> {
        cutter.push(packet(sequence, payload)).iter().map(|packet| packet.sequence).collect()
    };
    assert_eq!(numbers(10, with(&[0x1f], &bytes(ROOM))), [10], "no kind that is known");
    assert_eq!(numbers(12, with(&[0x41], &bytes(90))), [12]);
    assert_eq!(numbers(11, with(&[0x41], &bytes(2 * ROOM))), [11], "12 is another's");
}

#[test]
fn whatever_is_lost_late_or_repeated_numbers_are_used_once_and_keep_their_order() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let mut below = |limit: u32| random.word() % limit;
        let mut cutter = Refragmenter::new(Codec::H264);
        // New number → old number.
        let mut sent: BTreeMap<u64, u64> = BTreeMap::new();
        let mut late: Vec<SourcePacket> = vec![];
        let mut sequence = u64::from(below(70_000));
        let mut lost = 0_u64;
        let mut take = |packets: Vec<SourcePacket>, of: u64| {
            for packet in packets {
                let known = sent.insert(packet.sequence, of);
                assert_eq!(known, None, "seed {seed}: {} of {of}", packet.sequence);
            }
        };
        for _ in 0..400 {
            let len = if below(3) == 0 { 1300 + below(1500) } else { 2 + below(1100) };
            let next = packet(sequence, with(&[0x41], &bytes(usize::try_from(len).unwrap())));
            sequence += 1;
            match below(12) {
                0 => late.push(next),
                1 => lost += 1,
                _ => {
                    let of = next.sequence;
                    take(cutter.push(next.clone()), of);
                    if below(9) == 0 && cutter.since.is_some_and(|since| of >= since) {
                        take(cutter.push(next), of);
                    }
                }
            }
            if below(6) == 0 && !late.is_empty() {
                let repaired = late.swap_remove(below(1000) as usize % late.len());
                let of = repaired.sequence;
                take(cutter.push(repaired), of);
            }
        }
        for repaired in late.drain(..) {
            let of = repaired.sequence;
            take(cutter.push(repaired), of);
        }
        let of: Vec<u64> = sent.values().copied().collect();
        assert!(of.is_sorted(), "seed {seed}: the order is the source's");
        let gaps: u64 = sent.keys().zip(sent.keys().skip(1)).map(|(a, b)| b - a - 1).sum();
        assert!(
            gaps <= lost * MAX_SLOTS && (lost == 0) == (gaps == 0),
            "seed {seed}: only what is lost is missing: {gaps}"
        );
    }
}

#[test]
fn pieces_share_the_extensions_and_only_the_last_ends_the_frame() {
    let descriptor = |bytes: &[u8]| Some(std::sync::Arc::from(bytes));
    let captured = Some(AbsCaptureTime { timestamp: 5, clock_offset: None });
    let mut whole = packet(1, with(&[0x65], &bytes(2400)));
    whole.extensions = ExtensionValues {
        abs_capture_time: captured,
        dependency_descriptor: descriptor(&[0xc5, 0, 9, 0x80, 1]),
        ..whole.extensions
    };
    let cut = Refragmenter::new(Codec::H264).push(whole);
    let seen: Vec<_> = cut
        .iter()
        .map(|p| (p.marker, p.extensions.abs_capture_time, p.extensions.dependency_descriptor.clone()))
        .collect();
    let expected = [
        (false, captured, descriptor(&[0x85, 0, 9, 0x80, 1])),
        (false, captured, descriptor(&[0x05, 0, 9])),
        (true, captured, descriptor(&[0x45, 0, 9])),
    ];
    assert_eq!(seen, expected);
}
