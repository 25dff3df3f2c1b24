//! Trickle-ICE fragments (RFC 8840) of PATCH requests.

use super::Refusal;
use super::offer::ice_token;
use super::sdp::{MAX_SDP_BYTES, attribute};

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
        match attribute.name.as_str() {
            "ice-ufrag" => self.ufrag = Some(ice_token(&attribute.value, 4..=256, "ice-ufrag")?),
            "ice-pwd" => self.password = Some(ice_token(&attribute.value, 22..=256, "ice-pwd")?),
            "candidate" => self.candidates += 1,
            "end-of-candidates" => {}
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Whether it is a restart: credentials other than those of the session.
    #[must_use]
    pub fn restarts(&self, remote_ufrag: &str) -> bool {
        self.ufrag.as_deref().is_some_and(|ufrag| ufrag != remote_ufrag)
    }
}
