//! Datagrams in a byte stream: two bytes of length before each (RFC 4571).
//!
//! Invariant: what comes out does not depend on where the stream was cut, and never more than one frame waits here.

/// The longest frame that is taken, bytes: what fits a datagram on the Internet. Who sends more does not speak this protocol:
/// text and TLS begin with bytes that are longer lengths than this.
pub const MAX_FRAME: usize = 1_500;
const HEADER: usize = 2;

/// A frame is announced that is longer than `MAX_FRAME`: nothing that follows can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Oversized(pub usize);

/// Append `datagram` as a frame. Datagrams above 65,535 bytes do not exist; of such the end is cut.
pub fn frame(datagram: &[u8], stream: &mut Vec<u8>) {
    let length = u16::try_from(datagram.len()).unwrap_or(u16::MAX);
    stream.extend_from_slice(&length.to_be_bytes());
    stream.extend_from_slice(&datagram[..usize::from(length)]);
}

#[derive(Debug, Default)]
pub struct Deframer {
    /// The beginning of a frame, with its header.
    half: Vec<u8>,
}

impl Deframer {
    /// Read on in the stream; `take` gets each datagram that is complete. Empty ones are passed over.
    ///
    /// # Errors
    /// `Oversized`: the stream is to be ended.
    pub fn read(&mut self, mut bytes: &[u8], mut take: impl FnMut(&[u8])) -> Result<(), Oversized> {
        while !bytes.is_empty() {
            if self.half.is_empty()
                && let Some((datagram, rest)) = split(bytes)?
            {
                give(datagram, &mut take);
                bytes = rest;
                continue;
            }
            let wanted = wanted(&self.half)?;
            let (now, rest) = bytes.split_at(wanted.min(bytes.len()));
            self.half.extend_from_slice(now);
            bytes = rest;
            if let Some((datagram, _)) = split(&self.half)? {
                give(datagram, &mut take);
                self.half.clear();
            }
        }
        Ok(())
    }
}

fn give(datagram: &[u8], take: &mut impl FnMut(&[u8])) {
    if !datagram.is_empty() {
        take(datagram);
    }
}

/// Bytes that `half` lacks: of its header, then of its frame.
fn wanted(half: &[u8]) -> Result<usize, Oversized> {
    Ok(match length(half)? {
        Some(length) => HEADER + length - half.len(),
        None => HEADER - half.len(),
    })
}

/// A datagram and what follows it.
type Split<'a> = (&'a [u8], &'a [u8]);

/// None: it is not complete.
fn split(bytes: &[u8]) -> Result<Option<Split<'_>>, Oversized> {
    Ok(length(bytes)?.filter(|length| bytes.len() >= HEADER + length).map(|length| bytes[HEADER..].split_at(length)))
}

fn length(bytes: &[u8]) -> Result<Option<usize>, Oversized> {
    let Some(header) = bytes.first_chunk::<HEADER>() else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes(*header));
    if length > MAX_FRAME { Err(Oversized(length)) } else { Ok(Some(length)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn read(deframer: &mut Deframer, pieces: &[&[u8]]) -> (Vec<Vec<u8>>, Result<(), Oversized>) {
        let mut datagrams = Vec::new();
        for piece in pieces {
            if let Err(oversized) = deframer.read(piece, |datagram| datagrams.push(datagram.to_vec())) {
                return (datagrams, Err(oversized));
            }
        }
        (datagrams, Ok(()))
    }

    fn below(random: &mut Random, limit: usize) -> usize {
        usize::try_from(random.word()).unwrap() % limit
    }

    #[test]
    fn wherever_the_stream_is_cut_the_same_datagrams_come_out() {
        for seed in 0..300 {
            let mut random = Random::new(seed);
            let longest = [3, 20, MAX_FRAME + 1][below(&mut random, 3)];
            let sent: Vec<Vec<u8>> = (0_u8..40).map(|n| vec![n; below(&mut random, longest)]).collect();
            let mut stream = Vec::new();
            for datagram in &sent {
                frame(datagram, &mut stream);
            }
            let most = [1, 2, 5, 4_000][below(&mut random, 4)];
            let (mut pieces, mut rest) = (Vec::new(), &stream[..]);
            while !rest.is_empty() {
                let (piece, later) = rest.split_at((1 + below(&mut random, most)).min(rest.len()));
                pieces.push(piece);
                rest = later;
            }
            let mut deframer = Deframer::default();
            let whole: Vec<Vec<u8>> = sent.into_iter().filter(|datagram| !datagram.is_empty()).collect();
            assert_eq!(read(&mut deframer, &pieces), (whole, Ok(())), "seed {seed}");
            assert!(deframer.half.is_empty(), "seed {seed}");
        }
    }

    #[test]
    fn garbage_ends_in_an_error_or_in_short_datagrams_and_holds_no_more_than_a_frame() {
        for seed in 0..300 {
            let mut random = Random::new(seed);
            let mut deframer = Deframer::default();
            for _ in 0..50 {
                let piece: Vec<u8> =
                    (0..below(&mut random, 700)).map(|_| u8::try_from(below(&mut random, 256)).unwrap()).collect();
                let (datagrams, end) = read(&mut deframer, &[&piece]);
                assert!(datagrams.iter().all(|datagram| datagram.len() <= MAX_FRAME), "seed {seed}");
                assert!(deframer.half.len() <= HEADER + MAX_FRAME, "seed {seed}");
                if end.is_err() {
                    break;
                }
            }
        }
    }

    #[test]
    fn other_protocols_are_recognised_by_their_first_bytes() {
        for (name, bytes) in [
            ("HTTP", &b"GET / HTTP/1.1\r\n"[..]),
            ("TLS", &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]),
            ("SSH", b"SSH-2.0-x"),
            ("RTSP", b"OPTIONS * RTSP/1.0\r\n"),
        ] {
            let mut bytewise = Deframer::default();
            let pieces: Vec<&[u8]> = bytes.chunks(1).collect();
            assert!(read(&mut Deframer::default(), &[bytes]).1.is_err(), "{name}");
            assert!(read(&mut bytewise, &pieces).1.is_err(), "{name}, byte by byte");
        }
    }

    #[test]
    fn the_longest_frame_passes_and_a_longer_one_does_not() {
        let mut stream = Vec::new();
        frame(&[7; MAX_FRAME], &mut stream);
        assert_eq!(read(&mut Deframer::default(), &[&stream]), (vec![vec![7; MAX_FRAME]], Ok(())));
        frame(&[7; MAX_FRAME + 1], &mut stream);
        let expected = (vec![vec![7; MAX_FRAME]], Err(Oversized(MAX_FRAME + 1)));
        assert_eq!(read(&mut Deframer::default(), &[&stream]), expected);
    }
}
