//! What a peer's description says, typed. Offers of WHIP and WHEP clients and a parent's answer are read alike.

use super::Refusal;
use super::codec::{Codec, Format, Kind};
use super::extension::{Extension, ExtensionIds};
use super::sdp::{Attribute, Description, Section, number};
use super::simulcast;

/// DTLS role that a description asks for (RFC 8842).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    ActPass,
    Active,
    Passive,
}

impl Setup {
    /// Whether we are the DTLS client when the peer says this.
    #[must_use]
    pub const fn makes_us_active(self) -> bool {
        matches!(self, Self::Passive)
    }
}

/// How the peer's transport is known: one for all sections (BUNDLE).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerTransport {
    pub ufrag: String,
    pub password: String,
    /// As in the SDP: hash function, then hex pairs with colons.
    pub fingerprint: (String, String),
    pub setup: Setup,
    /// Another node that wants media over TCP and in no other way.
    pub over_tcp: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Direction {
    pub sends: bool,
    pub receives: bool,
}

/// A payload type that a peer offers for a codec that the CDN carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedPayload {
    pub payload_type: u8,
    pub format: Format,
    pub rtx: Option<u8>,
    /// Values of `a=rtcp-fb` such as "nack pli".
    pub feedback: Vec<String>,
}

/// One media section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedMedia {
    pub mid: String,
    /// The word of the `m=` line.
    pub media: String,
    /// As on the `m=` line, for a section that is answered with port 0.
    pub protocol: String,
    pub first_format: String,
    /// None: neither audio nor video, or rejected by the peer itself.
    pub kind: Option<Kind>,
    pub direction: Direction,
    pub payloads: Vec<OfferedPayload>,
    /// Encoding names as offered, for messages.
    pub encodings: Vec<String>,
    pub extensions: ExtensionIds,
    /// `a=rtcp-rsize` (RFC 5506).
    pub reduced_size: bool,
    /// First SSRC and its repair SSRC, when the peer names them.
    pub ssrc: Option<u32>,
    pub rtx_ssrc: Option<u32>,
    /// Rids of the layers that the peer sends in this one section (RFC 8853), two at least; or none.
    pub layers: Vec<String>,
    /// The one rid that a section without simulcast names: a relay has a section for each layer.
    pub rid: Option<String>,
    /// The `MediaStream` that it says to be of (RFC 8830).
    pub stream: Option<String>,
}

/// A whole offer, consistent: mids are unique, BUNDLE and rtcp-mux hold, transport is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    pub transport: PeerTransport,
    pub media: Vec<OfferedMedia>,
    /// `a=candidate` values of all sections, unread.
    pub candidates: Vec<String>,
}

impl Offer {
    /// Read a description.
    ///
    /// # Errors
    /// `Malformed` when it is no SDP or breaks a MUST of RFC 9725; `Unsupported` when it asks for something we do not do.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let description = Description::parse(text)?;
        if description.value("ice-lite").is_some() {
            return Err(Refusal::unsupported("ICE lite clients are not supported: one side must check"));
        }
        Self::read(&description)
    }

    /// Read the answer to an offer of ours. Who gave it may be ICE lite: we check.
    ///
    /// # Errors
    /// As `parse`; `Malformed` also when it leaves open who begins DTLS (RFC 8842, 5.3).
    pub fn parse_answer(text: &str) -> Result<Self, Refusal> {
        let answer = Self::read(&Description::parse(text)?)?;
        if answer.transport.setup == Setup::ActPass {
            return Err(Refusal::malformed("an answer needs a=setup:active or a=setup:passive"));
        }
        Ok(answer)
    }

    fn read(description: &Description<'_>) -> Result<Self, Refusal> {
        let bundle = bundle(description);
        let media = description.sections.iter().map(|s| read_section(s, &bundle)).collect::<Result<Vec<_>, _>>()?;
        let mut mids: Vec<&str> = media.iter().filter(|m| m.kind.is_some()).map(|m| m.mid.as_str()).collect();
        mids.sort_unstable();
        if mids.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Refusal::malformed("two media sections have the same a=mid"));
        }
        let Some(carrier) = media.iter().position(|m| m.kind.is_some()) else {
            return Err(Refusal::malformed("the SDP has no audio or video section"));
        };
        let transport = read_transport(description, &description.sections[carrier])?;
        let candidates = description.sections.iter().flat_map(|s| s.values("candidate")).map(str::to_owned).collect();
        Ok(Self { transport, media, candidates })
    }

    /// What is offered for `kind`, for a message.
    #[must_use]
    pub fn describe(&self, kind: Kind) -> String {
        let mut names: Vec<String> = Vec::new();
        for media in self.media.iter().filter(|m| m.kind == Some(kind)) {
            for payload in &media.payloads {
                names.push(payload.format.to_string());
            }
            for encoding in &media.encodings {
                let lower: String =
                    encoding.chars().filter(char::is_ascii_graphic).take(20).collect::<String>().to_lowercase();
                if Codec::from_name(&lower).is_none()
                    && !["rtx", "red", "ulpfec", "flexfec-03"].contains(&lower.as_str())
                {
                    names.push(lower);
                }
            }
        }
        names.dedup();
        names.truncate(16);
        if names.is_empty() { format!("no {}", kind.name()) } else { names.join(", ") }
    }
}

fn bundle<'t>(description: &Description<'t>) -> Vec<&'t str> {
    description
        .attributes
        .iter()
        .filter(|a| a.name == "group")
        .filter_map(|a| a.value.strip_prefix("BUNDLE"))
        .flat_map(str::split_ascii_whitespace)
        .collect()
}

fn read_section(section: &Section<'_>, bundle: &[&str]) -> Result<OfferedMedia, Refusal> {
    let mid = section.value("mid").unwrap_or_default();
    let bundled = bundle.contains(&mid);
    let kind = match section.media {
        _ if section.port == 0 && !(bundled || section.has("bundle-only")) => None,
        "audio" => Some(Kind::Audio),
        "video" => Some(Kind::Video),
        _ => None,
    };
    if kind.is_some() {
        check_section(section, mid, bundled || bundle.is_empty())?;
    }
    let (ssrc, rtx_ssrc) = read_ssrcs(section);
    Ok(OfferedMedia {
        mid: mid.to_owned(),
        media: section.media.to_owned(),
        protocol: section.protocol.to_owned(),
        first_format: section.formats[0].to_owned(),
        kind,
        direction: read_direction(section),
        payloads: kind.map(|kind| read_payloads(section, kind)).unwrap_or_default(),
        encodings: section
            .values("rtpmap")
            .filter_map(|v| Some(encoding_name(v.split_once(' ')?.1).to_owned()))
            .collect(),
        extensions: read_extensions(section),
        reduced_size: section.has("rtcp-rsize"),
        ssrc,
        rtx_ssrc,
        layers: simulcast::layers(section),
        rid: simulcast::only_rid(section),
        stream: section.value("msid").and_then(|v| v.split(' ').next()).filter(|id| *id != "-").map(str::to_owned),
    })
}

fn check_section(section: &Section<'_>, mid: &str, bundled: bool) -> Result<(), Refusal> {
    let token = !mid.is_empty() && mid.len() <= 16 && mid.bytes().all(|b| b.is_ascii_graphic());
    if !token {
        return Err(Refusal::malformed("each media section needs an a=mid of 1 to 16 characters"));
    }
    if !bundled {
        return Err(Refusal::malformed("all media sections must be in one BUNDLE group (RFC 9725, 4.4.1)"));
    }
    if !section.has("rtcp-mux") {
        return Err(Refusal::malformed("each media section needs a=rtcp-mux (RFC 9725, 4.4.1)"));
    }
    if !section.protocol.ends_with("TLS/RTP/SAVPF") {
        return Err(Refusal::malformed("media must use UDP/TLS/RTP/SAVPF"));
    }
    Ok(())
}

fn read_transport<'t>(description: &Description<'t>, section: &Section<'t>) -> Result<PeerTransport, Refusal> {
    let attribute = |name: &'static str| {
        description.inherited(section, name).ok_or_else(|| Refusal::malformed(format!("a={name} is missing")))
    };
    let ufrag = ice_token(attribute("ice-ufrag")?, 4..=256, "ice-ufrag")?;
    let password = ice_token(attribute("ice-pwd")?, 22..=256, "ice-pwd")?;
    let (hash, digest) = attribute("fingerprint")?
        .split_once(' ')
        .ok_or_else(|| Refusal::malformed("a=fingerprint needs a hash function and a digest"))?;
    let hash = hash.to_ascii_lowercase();
    if hash != "sha-256" {
        return Err(Refusal::unsupported("only sha-256 fingerprints are supported"));
    }
    let digest = sha_256(digest.trim())?;
    let setup = match description.inherited(section, "setup").unwrap_or("actpass") {
        "actpass" => Setup::ActPass,
        "active" => Setup::Active,
        "passive" => Setup::Passive,
        _ => return Err(Refusal::malformed("a=setup must be actpass, active or passive")),
    };
    Ok(PeerTransport { ufrag, password, fingerprint: (hash, digest), setup, over_tcp: false })
}

/// Check a digest: hex pairs with colons, made upper-case.
pub(super) fn sha_256(digest: &str) -> Result<String, Refusal> {
    let pairs: Vec<&str> = digest.split(':').collect();
    let hex = |pair: &&str| pair.len() == 2 && pair.bytes().all(|digit| digit.is_ascii_hexdigit());
    if pairs.len() != 32 || !pairs.iter().all(hex) {
        return Err(Refusal::malformed("a=fingerprint is not a sha-256 digest"));
    }
    Ok(digest.to_ascii_uppercase())
}

/// Check an ICE user name or password (RFC 8839: ice-char, length).
pub(super) fn ice_token(text: &str, length: std::ops::RangeInclusive<usize>, name: &str) -> Result<String, Refusal> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b == b'+' || b == b'/' || b == b'-' || b == b'_' || b == b'=';
    if length.contains(&text.len()) && text.bytes().all(good) {
        Ok(text.to_owned())
    } else {
        Err(Refusal::malformed(format!("a={name} is not valid")))
    }
}

fn read_direction(section: &Section<'_>) -> Direction {
    let (sends, receives) = if section.has("sendonly") {
        (true, false)
    } else if section.has("recvonly") {
        (false, true)
    } else if section.has("inactive") {
        (false, false)
    } else {
        (true, true)
    };
    Direction { sends, receives }
}

/// The name in an `a=rtpmap`'s "VP8/90000".
fn encoding_name(encoding: &str) -> &str {
    encoding.split('/').next().unwrap_or_default()
}

fn read_payloads(section: &Section<'_>, kind: Kind) -> Vec<OfferedPayload> {
    let attributes = FormatAttributes::of(section);
    section.formats.iter().filter_map(|format| attributes.payload(kind, format)).collect()
}

/// An attribute of one format (RFC 8866, 6.6 and 6.15; RFC 4585, 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FormatAttribute {
    RtpMap,
    Fmtp,
    RtcpFb,
}

impl FormatAttribute {
    fn from_name(name: &str) -> Option<Self> {
        match name {
            "rtpmap" => Some(Self::RtpMap),
            "fmtp" => Some(Self::Fmtp),
            "rtcp-fb" => Some(Self::RtcpFb),
            _ => None,
        }
    }
}

/// Those of a section. Each is asked for many times, so names and numbers are read once.
struct FormatAttributes<'t> {
    lines: Vec<(u8, FormatAttribute, &'t str)>,
    /// Payload types that repair, each with the one that it repairs (RFC 4588: apt).
    repairs: Vec<(u8, u8)>,
    /// `a=rtcp-fb` of all of them.
    feedback: Vec<&'t str>,
}

impl<'t> FormatAttributes<'t> {
    fn of(section: &Section<'t>) -> Self {
        let read = section.attributes.iter().filter_map(|Attribute { name, value }| {
            let attribute = FormatAttribute::from_name(name)?;
            let (format, text) = value.split_once(' ')?;
            Some((number(format)?, attribute, text.trim()))
        });
        let feedback = section.values("rtcp-fb").filter_map(|v| v.strip_prefix("* ")).collect();
        let mut attributes = Self { lines: read.collect(), repairs: Vec::new(), feedback };
        attributes.repairs = section.formats.iter().filter_map(|format| attributes.repair(format)).collect();
        attributes
    }

    fn by(&self, attribute: FormatAttribute, payload_type: u8) -> impl Iterator<Item = &'t str> {
        self.lines.iter().filter(move |(of, by, _)| *of == payload_type && *by == attribute).map(|(.., text)| *text)
    }

    fn repair(&self, format: &str) -> Option<(u8, u8)> {
        let rtx: u8 = number(format).filter(|rtx| *rtx < 128)?;
        let encoding = self.by(FormatAttribute::RtpMap, rtx).next()?;
        let apt = self.by(FormatAttribute::Fmtp, rtx).find_map(|fmtp| super::codec::parameter(fmtp, "apt"))?;
        encoding_name(encoding).eq_ignore_ascii_case("rtx").then_some((rtx, number(apt)?))
    }

    fn payload(&self, kind: Kind, format: &str) -> Option<OfferedPayload> {
        let payload_type: u8 = number(format).filter(|pt| *pt < 128)?;
        let encoding = self.by(FormatAttribute::RtpMap, payload_type).next()?;
        let codec = Codec::from_name(encoding_name(encoding))?;
        let rate = codec.clock_rate().to_string();
        if codec.kind() != kind || encoding.split('/').nth(1) != Some(rate.as_str()) {
            return None;
        }
        let fmtp = self.by(FormatAttribute::Fmtp, payload_type).next().unwrap_or_default().to_owned();
        let feedback =
            self.by(FormatAttribute::RtcpFb, payload_type).chain(self.feedback.iter().copied()).map(str::to_owned);
        let rtx = self.repairs.iter().find(|(_, repaired)| *repaired == payload_type).map(|(rtx, _)| *rtx);
        Some(OfferedPayload { payload_type, format: Format { codec, fmtp }, rtx, feedback: feedback.collect() })
    }
}

fn read_extensions(section: &Section<'_>) -> ExtensionIds {
    section
        .values("extmap")
        .filter_map(|value| {
            let mut words = value.split_ascii_whitespace();
            let id = words.next()?.split('/').next().and_then(number)?;
            Some((Extension::from_uri(words.next()?)?, id))
        })
        .collect()
}

fn read_ssrcs(section: &Section<'_>) -> (Option<u32>, Option<u32>) {
    if let Some(group) = section.values("ssrc-group").find_map(|v| v.strip_prefix("FID ")) {
        let mut ssrcs = group.split_ascii_whitespace().filter_map(number);
        return (ssrcs.next(), ssrcs.next());
    }
    (section.values("ssrc").find_map(|v| number(v.split(' ').next()?)), None)
}
