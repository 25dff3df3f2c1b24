//! One layer of a simulcast publication as it arrives: whether it is sent at all, how fast, how large.

use std::time::{Duration, Instant};

use crate::border::Layer;

/// A layer without a packet for so long is not sent, when another one is.
pub const SILENCE: Duration = Duration::from_secs(1);
/// How long another node may take to send a layer that it is asked for: the asking is repeated each second.
const COMING: Duration = Duration::from_millis(2500);
/// How long a layer may take to say how large it is.
const ACQUAINTANCE: Duration = Duration::from_secs(3);
/// Rates are taken over this.
const WINDOW: Duration = Duration::from_secs(1);
/// A changed rate is told this often at most, and not below a change by half.
const TELLING: Duration = Duration::from_secs(10);
/// RTP header with extensions, about.
const HEADER: u64 = 20;

#[derive(Debug)]
pub struct LayerWatch {
    last_packet: Option<Instant>,
    since: Option<Instant>,
    bytes: u64,
    told: Option<(u32, Instant)>,
    first_packet: Option<Instant>,
    /// It was asked for, and may yet come until then.
    expected: Option<Instant>,
}

impl LayerWatch {
    #[must_use]
    pub const fn new() -> Self {
        Self { last_packet: None, since: None, bytes: 0, told: None, first_packet: None, expected: None }
    }

    /// A packet of the layer; true: what it says of itself has changed.
    pub fn on_packet(&mut self, layer: &mut Layer, payload: usize, now: Instant) -> bool {
        if self.last_packet.is_none_or(|last| now.saturating_duration_since(last) > SILENCE) {
            (self.since, self.bytes) = (Some(now), 0);
        }
        self.last_packet = Some(now);
        self.first_packet.get_or_insert(now);
        self.bytes += payload as u64 + HEADER;
        let woke = !std::mem::replace(&mut layer.live, true);
        self.measure(layer, now) || woke
    }

    fn measure(&mut self, layer: &mut Layer, now: Instant) -> bool {
        let elapsed = self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        if elapsed < WINDOW {
            return false;
        }
        let bits = u128::from(self.bytes * 8) * 1_000_000 / elapsed.as_micros().max(1);
        let rate = u32::try_from(bits).unwrap_or(u32::MAX);
        let smooth = layer.bitrate.map_or(rate, |before| before / 4 * 3 + rate / 4);
        layer.bitrate = Some(smooth);
        (self.since, self.bytes) = (Some(now), 0);
        let news = self
            .told
            .is_none_or(|(told, at)| now.saturating_duration_since(at) >= TELLING && smooth.abs_diff(told) > told / 2);
        if news {
            self.told = Some((smooth, now));
        }
        news
    }

    /// Whether more of it must be seen to tell what it is: its rate, and its size unless its packets do not say that.
    #[must_use]
    pub fn is_unknown(&self, layer: &Layer, now: Instant) -> bool {
        let new = self.first_packet.is_none_or(|first| now.saturating_duration_since(first) < ACQUAINTANCE);
        layer.bitrate.is_none() || layer.size.is_none() && new
    }

    /// It was asked for: it counts as sent until it shows that it is not.
    pub fn expect(&mut self, layer: &mut Layer, now: Instant) {
        self.expected = Some(now + COMING);
        layer.live = true;
    }

    /// Its key frame is so large; true: that is new.
    pub fn on_key_frame(layer: &mut Layer, size: Option<(u16, u16)>) -> bool {
        let news = size.is_some() && layer.size != size;
        if news {
            layer.size = size;
        }
        news
    }

    /// When it counts as not sent if nothing comes.
    #[must_use]
    pub fn silent_from(&self) -> Option<Instant> {
        self.last_packet.map(|last| last + SILENCE).max(self.expected)
    }

    /// True once, when it is not sent any more.
    pub fn falls_silent(&self, layer: &mut Layer, now: Instant) -> bool {
        let silent = self.silent_from().is_none_or(|from| from <= now);
        silent && std::mem::replace(&mut layer.live, false)
    }
}

/// Better layers are greater: by their size, then by their rate, then as the publisher lists them. `place`: in that list.
#[must_use]
pub fn rank(layer: &Layer, place: usize) -> (u32, u32, std::cmp::Reverse<usize>) {
    let area = layer.size.map_or(0, |(width, height)| u32::from(width) * u32::from(height));
    (area, layer.bitrate.unwrap_or(0), std::cmp::Reverse(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_shows_its_rate_and_when_it_stops() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let (mut layer, mut watch) = (Layer::named("h"), LayerWatch::new());
        let news: Vec<u64> = (0..3000).step_by(10).filter(|ms| watch.on_packet(&mut layer, 1230, at(*ms))).collect();
        assert_eq!(news, [0, 1000], "it is there; it has a rate");
        assert!((990_000..1_020_000).contains(&layer.bitrate.unwrap()), "{layer:?}");
        assert!(!watch.falls_silent(&mut layer, at(3989)));
        assert!(watch.falls_silent(&mut layer, at(3990)) && !layer.live);
        assert!(!watch.falls_silent(&mut layer, at(3991)), "once");
        assert!(watch.on_packet(&mut layer, 1230, at(9000)) && layer.live);
        assert!((990_000..1_020_000).contains(&layer.bitrate.unwrap()), "the pause is no rate");
    }

    #[test]
    fn the_larger_layer_is_the_better_one_then_the_faster_then_the_first() {
        let layer = |rid, size, bitrate| Layer { rid: std::sync::Arc::from(rid), size, bitrate, live: true };
        let layers = [
            layer("first", None, None),
            layer("second", None, None),
            layer("fast", None, Some(9)),
            layer("small", Some((320, 180)), Some(5)),
            layer("large", Some((640, 360)), Some(1)),
        ];
        let mut order: Vec<usize> = (0..layers.len()).collect();
        order.sort_by_key(|&place| rank(&layers[place], place));
        let names: Vec<&str> = order.iter().map(|&place| &*layers[place].rid).collect();
        assert_eq!(names, ["second", "first", "fast", "small", "large"]);
    }
}
