//! The text of a session description (RFC 8866), as lines that are left where they stand: what it says is judged elsewhere.

use std::str::FromStr;

use super::Refusal;

/// Longest description that is read.
pub const MAX_SDP_BYTES: usize = 64 * 1024;
/// Most `m=` sections that are read.
const MAX_SECTIONS: usize = 64;
/// Most formats of a section: a payload type has seven bits. Without a limit a long description takes minutes to read.
const MAX_FORMATS: usize = 128;

/// One `a=` line: `name` or `name:value`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute<'t> {
    pub name: &'t str,
    pub value: &'t str,
}

/// One `m=` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section<'t> {
    pub media: &'t str,
    pub port: u16,
    pub protocol: &'t str,
    pub formats: Vec<&'t str>,
    pub attributes: Vec<Attribute<'t>>,
}

/// A whole description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description<'t> {
    pub attributes: Vec<Attribute<'t>>,
    pub sections: Vec<Section<'t>>,
}

impl<'t> Section<'t> {
    /// The first value of attribute `name`.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&'t str> {
        first(&self.attributes, name)
    }

    /// All values of attribute `name`, in order.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'t str> + use<'a, 't> {
        self.attributes.iter().filter(move |a| a.name == name).map(|a| a.value)
    }

    /// Whether the attribute `name` is there.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }
}

impl<'t> Description<'t> {
    /// Parse `text`; lines that mean nothing to us are skipped, lines that are no SDP are refused.
    ///
    /// # Errors
    /// `Malformed` when the text is too long, is no SDP or has no media section.
    pub fn parse(text: &'t str) -> Result<Self, Refusal> {
        if text.len() > MAX_SDP_BYTES {
            return Err(Refusal::malformed(format!("the SDP is longer than {MAX_SDP_BYTES} bytes")));
        }
        let mut lines = text.lines().map(|line| line.trim_end_matches('\r')).filter(|line| !line.is_empty());
        if lines.next() != Some("v=0") {
            return Err(Refusal::malformed("the SDP does not begin with v=0"));
        }
        let mut description = Self { attributes: Vec::new(), sections: Vec::new() };
        for line in lines {
            description.read_line(line)?;
        }
        if description.sections.is_empty() {
            return Err(Refusal::malformed("the SDP has no media section"));
        }
        Ok(description)
    }

    /// The first value of the session-level attribute `name`.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&'t str> {
        first(&self.attributes, name)
    }

    /// The value of `name` in the section, else of the session (RFC 8866: the section wins).
    #[must_use]
    pub fn inherited(&self, section: &Section<'t>, name: &str) -> Option<&'t str> {
        section.value(name).or_else(|| self.value(name))
    }

    fn read_line(&mut self, line: &'t str) -> Result<(), Refusal> {
        // What of it goes into answers and tables must not break their lines.
        if has_controls(line) {
            return Err(Refusal::malformed(format!("a control character in an SDP line: {}", excerpt(line))));
        }
        let Some((kind, value)) = line.split_once('=') else {
            return Err(Refusal::malformed(format!("not an SDP line: {}", excerpt(line))));
        };
        match kind {
            "m" => self.sections.push(section(value)?),
            "a" => {
                let attributes = self.sections.last_mut().map_or(&mut self.attributes, |s| &mut s.attributes);
                attributes.push(attribute(value));
            }
            _ if kind.len() == 1 => {}
            _ => return Err(Refusal::malformed(format!("not an SDP line: {}", excerpt(line)))),
        }
        if self.sections.len() > MAX_SECTIONS {
            return Err(Refusal::malformed(format!("the SDP has more than {MAX_SECTIONS} media sections")));
        }
        Ok(())
    }
}

/// Parse one `a=` value.
#[must_use]
pub fn attribute(value: &str) -> Attribute<'_> {
    let (name, value) = value.split_once(':').unwrap_or((value, ""));
    Attribute { name: name.trim(), value: value.trim() }
}

/// Control characters but for tabs. Nearly every line is ASCII, and bytes are looked through faster than characters.
fn has_controls(line: &str) -> bool {
    let control = |c: char| c.is_control() && c != '\t';
    if line.is_ascii() { line.bytes().any(|byte| control(byte.into())) } else { line.contains(control) }
}

/// A number as the grammar has it (RFC 8866: digits). Rust's own reading would take a sign.
#[must_use]
pub fn number<N: FromStr>(text: &str) -> Option<N> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn section(value: &str) -> Result<Section<'_>, Refusal> {
    let bad = || Refusal::malformed(format!("not a media line: {}", excerpt(value)));
    let mut words = value.split_ascii_whitespace();
    let media = words.next().ok_or_else(bad)?;
    let port_field = words.next().ok_or_else(bad)?;
    let port = port_field.split('/').next().and_then(number).ok_or_else(bad)?;
    let protocol = words.next().ok_or_else(bad)?;
    let formats: Vec<&str> = words.collect();
    if formats.is_empty() || formats.len() > MAX_FORMATS {
        return Err(bad());
    }
    Ok(Section { media, port, protocol, formats, attributes: Vec::new() })
}

fn first<'t>(attributes: &[Attribute<'t>], name: &str) -> Option<&'t str> {
    attributes.iter().find(|a| a.name == name).map(|a| a.value)
}

/// What of a stranger's text is repeated in a message to him.
fn excerpt(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_digits_and_fits() {
        assert_eq!((number::<u8>("96"), number::<u32>("4294967295")), (Some(96), Some(u32::MAX)));
        for text in ["", "+96", "-0", " 96", "96 ", "256", "0x60", "\u{0669}"] {
            assert_eq!(number::<u8>(text), None, "{text:?}");
        }
    }
}
