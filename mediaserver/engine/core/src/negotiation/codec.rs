//! The codecs that the CDN carries, and how one payload type of an offer is matched with a track.

use std::fmt;

use super::sdp::number;

/// Audio or video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    Audio,
    Video,
}

impl Kind {
    /// The word of an `m=` line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
        }
    }
}

/// A codec that passes through the CDN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    H264,
    H265,
    Vp8,
    Vp9,
    Av1,
    Opus,
}

impl Codec {
    /// All of them, in the order of preference when nobody says otherwise.
    pub const ALL: [Self; 6] = [Self::H264, Self::Vp8, Self::Vp9, Self::Av1, Self::H265, Self::Opus];

    /// The name in tables and settings, lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::H264 => "h264",
            Self::H265 => "h265",
            Self::Vp8 => "vp8",
            Self::Vp9 => "vp9",
            Self::Av1 => "av1",
            Self::Opus => "opus",
        }
    }

    /// The encoding name and parameters of an `a=rtpmap`.
    #[must_use]
    pub const fn rtpmap(self) -> &'static str {
        match self {
            Self::H264 => "H264/90000",
            Self::H265 => "H265/90000",
            Self::Vp8 => "VP8/90000",
            Self::Vp9 => "VP9/90000",
            Self::Av1 => "AV1/90000",
            Self::Opus => "opus/48000/2",
        }
    }

    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::Opus => Kind::Audio,
            _ => Kind::Video,
        }
    }

    /// RTP clock rate, Hz.
    #[must_use]
    pub const fn clock_rate(self) -> u32 {
        match self {
            Self::Opus => 48_000,
            _ => 90_000,
        }
    }

    /// The codec of a table's or setting's name, or of an encoding name (any case).
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.name().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A codec with the parameters that a publication or an offer gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    pub codec: Codec,
    /// The `a=fmtp` parameters as they were written, "" without.
    pub fmtp: String,
}

impl Format {
    /// The value of an fmtp parameter (names compare without case).
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        parameter(&self.fmtp, name)
    }

    /// Whether what is published as `self` can be sent on a payload type offered as `offered`.
    ///
    /// H.264 by packetization mode only (a mode 1 receiver takes mode 0 too); VP9, AV1 and H.265 by profile.
    #[must_use]
    pub fn fits(&self, offered: &Self) -> bool {
        self.codec == offered.codec
            && self.profile() == offered.profile()
            && offered.packetization_mode() >= self.packetization_mode()
    }

    /// How near an offered H.264 profile is to ours: the bigger, the better. 0 for other codecs.
    #[must_use]
    pub fn likeness(&self, offered: &Self) -> u8 {
        if self.codec != Codec::H264 {
            return 0;
        }
        let ours = self.profile_level().unwrap_or("42e01f").to_ascii_lowercase();
        let theirs = offered.profile_level().unwrap_or("42e01f").to_ascii_lowercase();
        match (ours.get(..4) == theirs.get(..4), ours.get(..2) == theirs.get(..2)) {
            (true, _) => 3,
            (false, true) => 2,
            (false, false) => u8::from(theirs.starts_with("42e0")),
        }
    }

    /// Name and value of the parameter by which decoders differ, with what stands for none (RFC 9628, 6.1; AV1's RTP payload format,
    /// 7.2; RFC 7798, 7.1: Main).
    fn profile(&self) -> Option<(&'static str, &str)> {
        let (name, otherwise) = match self.codec {
            Codec::Vp9 => ("profile-id", "0"),
            Codec::Av1 => ("profile", "0"),
            Codec::H265 => ("profile-id", "1"),
            Codec::H264 | Codec::Vp8 | Codec::Opus => return None,
        };
        Some((name, self.parameter(name).unwrap_or(otherwise)))
    }

    fn profile_level(&self) -> Option<&str> {
        self.parameter("profile-level-id").filter(|v| v.is_ascii())
    }

    /// 0 for codecs other than H.264.
    fn packetization_mode(&self) -> u8 {
        if self.codec != Codec::H264 {
            return 0;
        }
        self.parameter("packetization-mode").and_then(number).unwrap_or(0)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.profile() {
            Some((name, value)) => write!(f, "{} ({name}={value})", self.codec),
            None if self.codec == Codec::H264 => {
                write!(f, "h264 (packetization-mode={})", self.packetization_mode())
            }
            None => self.codec.fmt(f),
        }
    }
}

/// The value of parameter `name` in the text of an `a=fmtp`.
#[must_use]
pub fn parameter<'a>(fmtp: &'a str, name: &str) -> Option<&'a str> {
    fmtp.split(';')
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(key, value)| key.trim().eq_ignore_ascii_case(name).then(|| value.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_fits_what_its_decoder_takes() {
        for (name, codec, published, offered, fits) in [
            ("mode 0 for a receiver of mode 1", Codec::H264, "", "packetization-mode=1", true),
            ("mode 1 for a receiver of mode 0", Codec::H264, "packetization-mode=1", "", false),
            ("any H.264 profile", Codec::H264, "profile-level-id=640c1f", "profile-level-id=42e01f", true),
            ("VP9 without a profile is of profile 0", Codec::Vp9, "", "profile-id=0", true),
            ("another VP9 profile", Codec::Vp9, "profile-id=2", "profile-id=0", false),
            ("AV1 without a profile is of profile 0", Codec::Av1, "profile=0", "level-idx=5", true),
            ("another AV1 profile", Codec::Av1, "profile=1", "", false),
            ("H.265 without a profile is Main", Codec::H265, "", "level-id=93;profile-id=1", true),
            ("Main 10 for a receiver of Main", Codec::H265, "profile-id=2", "profile-id=1", false),
            ("Main 10 for one that says nothing", Codec::H265, "profile-id=2", "level-id=180", false),
            ("Main 10 for a receiver of it", Codec::H265, "profile-id=2;tier-flag=0", "profile-id=2", true),
            ("VP8 has none", Codec::Vp8, "profile-id=1", "", true),
        ] {
            let format = |fmtp: &str| Format { codec, fmtp: fmtp.to_owned() };
            assert_eq!(format(published).fits(&format(offered)), fits, "{name}");
        }
    }

    #[test]
    fn people_are_told_what_made_the_difference() {
        for (codec, fmtp, expected) in [
            (Codec::H264, "packetization-mode=1", "h264 (packetization-mode=1)"),
            (Codec::Vp9, "profile-id=2", "vp9 (profile-id=2)"),
            (Codec::Av1, "", "av1 (profile=0)"),
            (Codec::H265, "profile-id=2", "h265 (profile-id=2)"),
            (Codec::H265, "", "h265 (profile-id=1)"),
            (Codec::Opus, "stereo=1", "opus"),
        ] {
            assert_eq!(Format { codec, fmtp: fmtp.to_owned() }.to_string(), expected);
        }
    }
}
