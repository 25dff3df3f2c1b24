//! The RTP header extensions that pass through the CDN or that it writes itself (RFC 8285).

/// A header extension known by its URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Extension {
    Mid,
    TransportCc,
    AbsSendTime,
    AbsCaptureTime,
    AudioLevel,
    DependencyDescriptor,
    Orientation,
    PlayoutDelay,
    /// RFC 8852.
    Rid,
    RepairedRid,
}

impl Extension {
    const ALL: [Self; 10] = [
        Self::Mid,
        Self::TransportCc,
        Self::AbsSendTime,
        Self::AbsCaptureTime,
        Self::AudioLevel,
        Self::DependencyDescriptor,
        Self::Orientation,
        Self::PlayoutDelay,
        Self::Rid,
        Self::RepairedRid,
    ];

    #[must_use]
    pub const fn uri(self) -> &'static str {
        match self {
            Self::Mid => "urn:ietf:params:rtp-hdrext:sdes:mid",
            Self::TransportCc => "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
            Self::AbsSendTime => "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
            Self::AbsCaptureTime => "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
            Self::AudioLevel => "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
            Self::DependencyDescriptor => {
                "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
            }
            Self::Orientation => "urn:3gpp:video-orientation",
            Self::PlayoutDelay => "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
            Self::Rid => "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
            Self::RepairedRid => "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
        }
    }

    #[must_use]
    pub fn from_uri(uri: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|extension| extension.uri() == uri)
    }
}

/// The extensions of one media section with the ids that the session gives them (1…14).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExtensionIds(Vec<(Extension, u8)>);

impl ExtensionIds {
    /// An id is given once, and only ids that fit a one-byte header are taken.
    pub fn insert(&mut self, extension: Extension, id: u8) {
        if (1..=14).contains(&id) && !self.0.iter().any(|&(known, taken)| known == extension || taken == id) {
            self.0.push((extension, id));
        }
    }

    #[must_use]
    pub fn id(&self, extension: Extension) -> Option<u8> {
        self.0.iter().find(|(known, _)| *known == extension).map(|&(_, id)| id)
    }

    pub fn iter(&self) -> impl Iterator<Item = (Extension, u8)> {
        self.0.iter().copied()
    }

    /// All but one.
    #[must_use]
    pub fn without(&self, unwanted: Extension) -> Self {
        Self(self.0.iter().copied().filter(|(extension, _)| *extension != unwanted).collect())
    }

    /// Those of them that are in `wanted`.
    #[must_use]
    pub fn only(&self, wanted: &[Extension]) -> Self {
        Self(self.0.iter().copied().filter(|(extension, _)| wanted.contains(extension)).collect())
    }
}

impl FromIterator<(Extension, u8)> for ExtensionIds {
    fn from_iter<T: IntoIterator<Item = (Extension, u8)>>(pairs: T) -> Self {
        let mut ids = Self::default();
        for (extension, id) in pairs {
            ids.insert(extension, id);
        }
        ids
    }
}
