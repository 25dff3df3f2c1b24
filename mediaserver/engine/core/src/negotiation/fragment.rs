//! Trickle-ICE fragments (RFC 8840) of PATCH requests.

use std::fmt::Write as _;
use std::net::SocketAddr;

use super::answer::{ICE_OPTIONS, write_candidates};
use super::offer::ice_token;
use super::sdp::{MAX_SDP_BYTES, attribute};
use super::{Kind, Refusal};

/// What a fragment asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    pub ufrag: Option<String>,
    pub password: Option<String>,
    /// `a=candidate` lines in it.
    pub candidates: usize,
}

impl Fragment {
    /// Read a fragment.
    ///
    /// # Errors
    /// `Malformed` when it is none.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        if text.len() > MAX_SDP_BYTES {
            return Err(Refusal::malformed(format!("the fragment is longer than {MAX_SDP_BYTES} bytes")));
        }
        let mut fragment = Self { ufrag: None, password: None, candidates: 0 };
        let mut known = false;
        for line in text.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
            let Some((kind @ ("a" | "m" | "c" | "v" | "o" | "s" | "t"), value)) = line.split_once('=') else {
                return Err(Refusal::malformed("not a trickle-ICE fragment (RFC 8840)"));
            };
            known |= kind == "a" && fragment.read_attribute(value)?;
        }
        if known { Ok(fragment) } else { Err(Refusal::malformed("the fragment says nothing about ICE")) }
    }

    fn read_attribute(&mut self, value: &str) -> Result<bool, Refusal> {
        let attribute = attribute(value);
        match attribute.name {
            "ice-ufrag" => self.ufrag = Some(ice_token(attribute.value, 4..=256, "ice-ufrag")?),
            "ice-pwd" => self.password = Some(ice_token(attribute.value, 22..=256, "ice-pwd")?),
            "candidate" => self.candidates += 1,
            "end-of-candidates" => {}
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The peer's new credentials, user name and password, when it asks for a restart: credentials other than those of the
    /// session (RFC 9725, 4.3.3).
    ///
    /// # Errors
    /// `Malformed` for a new user name without its password.
    pub fn restart(&self, remote_ufrag: &str) -> Result<Option<(String, String)>, Refusal> {
        let Some(ufrag) = self.ufrag.as_ref().filter(|ufrag| *ufrag != remote_ufrag) else { return Ok(None) };
        let missing = || Refusal::malformed("an ICE restart needs a=ice-pwd beside the new a=ice-ufrag");
        Ok(Some((ufrag.clone(), self.password.clone().ok_or_else(missing)?)))
    }
}

/// The media section that speaks for a whole bundle (RFC 9143, 7.1: the first), and the addresses that stand in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tagged {
    /// Best first.
    pub addresses: Vec<SocketAddr>,
    /// Whether they take TCP connections too.
    pub tcp: bool,
    /// Of the bundle, in order.
    pub mids: Vec<String>,
    /// Kind and payload type of the first section.
    pub first: Option<(Kind, u8)>,
}

/// Our side of a restart, as the body of the PATCH's answer.
#[must_use]
pub fn answer(tagged: &Tagged, ufrag: &str, password: &str) -> String {
    let mids = tagged.mids.join(" ");
    let mut text = format!("{ICE_OPTIONS}a=group:BUNDLE {mids}\r\n");
    if let (Some((kind, payload_type)), Some(mid)) = (tagged.first, tagged.mids.first()) {
        let _ = write!(text, "m={} 9 UDP/TLS/RTP/SAVPF {payload_type}\r\na=mid:{mid}\r\n", kind.name());
    }
    let _ = write!(text, "a=ice-ufrag:{ufrag}\r\na=ice-pwd:{password}\r\n");
    write_candidates(&mut text, &tagged.addresses, (true, tagged.tcp));
    text
}
