//! The text of a session description (RFC 8866), as lines: what it says is judged elsewhere.

use super::Refusal;

/// Longest description that is read.
pub const MAX_SDP_BYTES: usize = 64 * 1024;
/// Most `m=` sections that are read.
const MAX_SECTIONS: usize = 64;
/// Most formats of a section: a payload type has seven bits. Without a limit a long description takes minutes to read.
const MAX_FORMATS: usize = 128;

/// One `a=` line: `name` or `name:value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    pub name: String,
    pub value: String,
}

/// One `m=` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    pub media: String,
    pub port: u16,
    pub protocol: String,
    pub formats: Vec<String>,
    pub attributes: Vec<Attribute>,
}

/// A whole description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    pub attributes: Vec<Attribute>,
    pub sections: Vec<Section>,
}

impl Section {
    /// The first value of attribute `name`.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        first(&self.attributes, name)
    }

    /// All values of attribute `name`, in order.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.attributes.iter().filter(move |a| a.name == name).map(|a| a.value.as_str())
    }

    /// Whether the attribute `name` is there.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }
}

impl Description {
    /// Parse `text`; lines that mean nothing to us are skipped, lines that are no SDP are refused.
    ///
    /// # Errors
    /// `Malformed` when the text is too long, is no SDP or has no media section.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
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
    pub fn value(&self, name: &str) -> Option<&str> {
        first(&self.attributes, name)
    }

    /// The value of `name` in the section, else of the session (RFC 8866: the section wins).
    #[must_use]
    pub fn inherited<'a>(&'a self, section: &'a Section, name: &str) -> Option<&'a str> {
        section.value(name).or_else(|| self.value(name))
    }

    fn read_line(&mut self, line: &str) -> Result<(), Refusal> {
        // What of it goes into answers and tables must not break their lines.
        if line.contains(|c: char| c.is_control() && c != '\t') {
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
pub fn attribute(value: &str) -> Attribute {
    let (name, value) = value.split_once(':').unwrap_or((value, ""));
    Attribute { name: name.trim().to_owned(), value: value.trim().to_owned() }
}

fn section(value: &str) -> Result<Section, Refusal> {
    let bad = || Refusal::malformed(format!("not a media line: {}", excerpt(value)));
    let mut words = value.split_ascii_whitespace();
    let media = words.next().ok_or_else(bad)?.to_owned();
    let port_field = words.next().ok_or_else(bad)?;
    let port = port_field.split('/').next().and_then(|p| p.parse().ok()).ok_or_else(bad)?;
    let protocol = words.next().ok_or_else(bad)?.to_owned();
    let formats: Vec<String> = words.map(str::to_owned).collect();
    if formats.is_empty() || formats.len() > MAX_FORMATS {
        return Err(bad());
    }
    Ok(Section { media, port, protocol, formats, attributes: Vec::new() })
}

fn first<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a str> {
    attributes.iter().find(|a| a.name == name).map(|a| a.value.as_str())
}

/// What of a stranger's text is repeated in a message to him.
fn excerpt(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(60).collect()
}
