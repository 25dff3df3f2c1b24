//! How much of a thread's turn handshakes may take: media come first, and all of them wait meanwhile.

use std::time::{Duration, Instant};

use super::Node;

/// Of a turn with hardly any media in it.
const LEAST: Duration = Duration::from_millis(1);

impl Node {
    /// Let handshakes have a fifth of the turn that began at `now`, after its media; `clock` says how late it is.
    pub fn on_handshakes_in_turn(&mut self, now: Instant, clock: &mut dyn FnMut() -> Instant) {
        let began = clock();
        let time = (began.saturating_duration_since(now) / 4).max(LEAST);
        self.on_handshakes(now, &mut || clock().saturating_duration_since(began) < time);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Socket;
    use super::super::tests::{CHILD, STEP, pulled};
    use super::*;

    /// Datagrams of handshakes that a turn takes when its media took `media` and each of them takes `each`.
    fn taken(media: Duration, each: Duration) -> u32 {
        let mut now = Instant::now();
        let (mut child, mut parent) = pulled(now);
        for _ in 0..600 {
            now += STEP;
            child.on_timeout(now);
            for sent in child.transmits.drain(..) {
                for _ in 0..4 {
                    parent.on_datagram(Socket::Shared, CHILD.parse().unwrap(), &sent.datagram, now);
                }
            }
        }
        let mut looks = 0;
        parent.on_handshakes_in_turn(now, &mut || {
            looks += 1;
            now + media + each * (looks - 1)
        });
        assert!(parent.has_handshakes(), "not all of them");
        looks - 1
    }

    #[test]
    fn handshakes_have_a_fifth_of_a_turn_and_a_millisecond_in_any() {
        let micros = Duration::from_micros;
        for (name, media, each, expected) in [
            ("a fifth of 5 ms", 4_000, 200, 5),
            ("a fifth of 50 ms", 40_000, 2_500, 4),
            ("a millisecond beside few media", 100, 250, 4),
            ("one that takes longer than all that there is", 4_000, 30_000, 1),
        ] {
            assert_eq!(taken(micros(media), micros(each)), expected, "{name}");
        }
    }
}
