//! Layers of one track in a description: `a=simulcast` (RFC 8853) and `a=rid` (RFC 8851).

use super::sdp::Section;

/// Layers that are taken; a publisher's others are declined.
pub const MAX_LAYERS: usize = 3;

/// Rids of the layers that the section's peer sends, in its order; of alternatives the first. Fewer than two are none.
#[must_use]
pub fn layers(section: &Section<'_>) -> Vec<String> {
    let sent = section.value("simulcast").and_then(|value| {
        let mut words = value.split_ascii_whitespace();
        words.by_ref().find(|word| *word == "send").and_then(|_| words.next())
    });
    let mut layers: Vec<String> = Vec::new();
    for alternatives in sent.unwrap_or_default().split(';') {
        let mut rids = alternatives.split(',').map(|rid| rid.trim_start_matches('~'));
        if let Some(rid) = rids.find(|rid| is_rid(rid) && declared(section, rid, "send"))
            && !layers.iter().any(|known| known == rid)
            && layers.len() < MAX_LAYERS
        {
            layers.push(rid.to_owned());
        }
    }
    if layers.len() < 2 { Vec::new() } else { layers }
}

/// The rid of a section that has just one and no simulcast.
#[must_use]
pub fn only_rid(section: &Section<'_>) -> Option<String> {
    let mut rids = section.values("rid");
    let rid = rids.next()?.split_ascii_whitespace().next().filter(|rid| is_rid(rid))?;
    (rids.next().is_none() && !section.has("simulcast")).then(|| rid.to_owned())
}

fn declared(section: &Section<'_>, rid: &str, direction: &str) -> bool {
    section.values("rid").any(|value| {
        let mut words = value.split_ascii_whitespace();
        words.next() == Some(rid) && words.next() == Some(direction)
    })
}

/// RFC 8851, 10, with the length that fits a header extension's short form.
#[must_use]
pub fn is_rid(text: &str) -> bool {
    (1..=16).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::super::sdp::attribute;
    use super::*;

    fn section<'t>(lines: &[&'t str]) -> Section<'t> {
        Section {
            media: "video",
            port: 9,
            protocol: "",
            formats: vec![],
            attributes: lines.iter().map(|line| attribute(line)).collect(),
        }
    }

    #[test]
    fn layers_are_what_is_declared_and_listed_for_sending() {
        let rids = ["rid:h send", "rid:m send", "rid:l send pt=96", "rid:x send", "rid:r recv"];
        for (name, simulcast, expected) in [
            ("three", "simulcast:send h;m;l", &["h", "m", "l"][..]),
            ("paused ones may come", "simulcast:send h;~m", &["h", "m"]),
            ("the first of alternatives", "simulcast:send h,m;l", &["h", "l"]),
            ("both directions", "simulcast:recv r send h;l", &["h", "l"]),
            ("at most three", "simulcast:send h;m;l;x", &["h", "m", "l"]),
            ("not declared", "simulcast:send h;q", &[]),
            ("declared for receiving", "simulcast:send h;r", &[]),
            ("twice the same", "simulcast:send h;h", &[]),
            ("one alone", "simulcast:send h", &[]),
            ("receiving only", "simulcast:recv h;m", &[]),
            ("nothing", "simulcast:", &[]),
            ("not a token", "simulcast:send h;m l;\"", &["h", "m"]),
        ] {
            assert_eq!(layers(&section(&[&rids[..], &[simulcast]].concat())), expected, "{name}");
        }
    }

    #[test]
    fn one_rid_without_simulcast_names_its_section() {
        for (name, lines, expected) in [
            ("one", &["rid:h recv"][..], Some("h")),
            ("two", &["rid:h recv", "rid:l recv"], None),
            ("with simulcast", &["rid:h send", "simulcast:send h"], None),
            ("none", &[], None),
            ("no token", &["rid:h! recv"], None),
        ] {
            assert_eq!(only_rid(&section(lines)).as_deref(), expected, "{name}");
        }
    }
}
