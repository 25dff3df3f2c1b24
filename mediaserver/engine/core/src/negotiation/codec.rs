//! The codecs that the CDN carries, and how one payload type of an offer is matched with a track.

use std::fmt;

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
    /// H.264 by packetization mode only (a mode 1 receiver takes mode 0 too); VP9 and AV1 by profile.
    #[must_use]
    pub fn fits(&self, offered: &Self) -> bool {
        self.codec == offered.codec
            && match self.codec {
                Codec::H264 => offered.packetization_mode() >= self.packetization_mode(),
                Codec::Vp9 => {
                    self.parameter("profile-id").unwrap_or("0") == offered.parameter("profile-id").unwrap_or("0")
                }
                Codec::Av1 => self.parameter("profile").unwrap_or("0") == offered.parameter("profile").unwrap_or("0"),
                Codec::H265 | Codec::Vp8 | Codec::Opus => true,
            }
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

    fn profile_level(&self) -> Option<&str> {
        self.parameter("profile-level-id").filter(|v| v.is_ascii())
    }

    fn packetization_mode(&self) -> u8 {
        self.parameter("packetization-mode").and_then(|v| v.parse().ok()).unwrap_or(0)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.codec {
            Codec::H264 => write!(f, "h264 (packetization-mode={})", self.packetization_mode()),
            Codec::Vp9 => write!(f, "vp9 (profile-id={})", self.parameter("profile-id").unwrap_or("0")),
            Codec::Av1 => write!(f, "av1 (profile={})", self.parameter("profile").unwrap_or("0")),
            codec => codec.fmt(f),
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
