//! Simulcast in offers and answers, of publishers and of other nodes.

use super::*;

/// Chromium's offer as `sendEncodings` change it.
fn simulcast(lines: &str) -> String {
    let (audio, video) = CHROMIUM_PUBLISH.split_once("m=video").unwrap();
    let extensions = "a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n\
                      a=extmap:11 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id\r\n";
    let video: String = video
        .lines()
        .filter(|line| !line.starts_with("a=ssrc") && !line.contains("extmap:10 ") && !line.contains("extmap:11 "))
        .flat_map(|line| [line, "\r\n"])
        .collect();
    format!("{audio}m=video{video}{extensions}{lines}")
}

const THREE: &str = "a=rid:h send\r\na=rid:m send\r\na=rid:l send\r\na=simulcast:send h;m;l\r\n";

#[test]
fn a_publishers_layers_are_taken_by_their_rids() {
    let offer = Offer::parse(&simulcast(THREE)).unwrap();
    let receiving = whip::negotiate(&offer, &[]).unwrap();
    let video = receiving.media.iter().find(|media| media.kind == Kind::Video).unwrap();
    assert_eq!((&video.layers[..], video.ssrc), (&["h", "m", "l"].map(str::to_owned)[..], None));
    let answer = whip::answer(&local(), &receiving);
    assert_eq!(lines(&answer, "a=simulcast"), vec!["a=simulcast:recv h;m;l"]);
    assert_eq!(lines(&answer, "a=rid"), vec!["a=rid:h recv", "a=rid:m recv", "a=rid:l recv"]);
    for uri in ["sdes:mid", "sdes:rtp-stream-id", "sdes:repaired-rtp-stream-id"] {
        assert!(answer.contains(uri), "{uri}");
    }
}

#[test]
fn layers_that_cannot_be_told_apart_or_are_no_layers_leave_the_answer_as_it_was() {
    let without_extension = simulcast(THREE).replace("sdes:rtp-stream-id", "sdes:something-else");
    for (name, offer) in [
        ("no rtp-stream-id", without_extension),
        ("one alone", simulcast("a=rid:h send\r\na=simulcast:send h\r\n")),
        ("none", simulcast("")),
    ] {
        let receiving = whip::negotiate(&Offer::parse(&offer).unwrap(), &[]).unwrap();
        let answer = whip::answer(&local(), &receiving);
        assert!(receiving.media.iter().all(|media| media.layers.is_empty()), "{name}");
        assert!(["simulcast", "a=rid", "stream-id"].iter().all(|word| !answer.contains(word)), "{name}: {answer}");
    }
}

#[test]
fn a_relay_has_a_section_for_each_layer_and_an_old_parent_sends_one() {
    let video = Track { layers: ["h", "l"].map(str::to_owned).to_vec(), ..h264("42e01f") };
    let text = relay::offer(&local(), &[opus(), video.clone()]).unwrap();
    assert_eq!(lines(&text, "a=rid"), vec!["a=rid:h recv", "a=rid:l recv"]);
    assert!(!text.contains("simulcast"));
    let offer = Offer::parse(&text).unwrap();
    let sending = whep::negotiate(&offer, &[opus(), video], &sources()).unwrap();
    let rids: Vec<Option<&str>> = sending.media.iter().map(|media| media.rid.as_deref()).collect();
    assert_eq!(rids, [None, Some("h"), Some("l")]);
    let answer = whep::answer(&local(), &sources(), &offer, &sending);
    let receiving = relay::accept(&Offer::parse(&answer).unwrap()).unwrap();
    let received: Vec<_> = receiving.media.iter().map(|media| (&media.layers[..], media.ssrc)).collect();
    let [high, low] = ["h", "l"].map(|rid| vec![rid.to_owned()]);
    assert_eq!(received, [(&[][..], Some(11)), (&high[..], Some(13)), (&low[..], Some(15))]);
    // A parent whose stream has no layers: one section of the kind is answered, the rest is declined.
    let sending = whep::negotiate(&offer, &[opus(), h264("42e01f")], &sources()).unwrap();
    assert_eq!(sending.media.iter().map(|media| media.rid.clone()).collect::<Vec<_>>(), [None, None]);
}

#[test]
fn a_viewer_that_can_say_its_estimate_does_not_tell_of_every_packet() {
    let offer = Offer::parse(CHROMIUM_PLAY).unwrap();
    assert!(CHROMIUM_PLAY.contains("goog-remb"));
    let sending = whep::negotiate(&offer, &[h264("42e01f"), opus()], &sources()).unwrap();
    let answer = whep::answer(&local(), &sources(), &offer, &sending);
    assert!(answer.contains("goog-remb") && !answer.contains("transport-cc") && !answer.contains("transport-wide-cc"));
    assert_eq!(answer.matches("abs-send-time").count(), 1, "of the picture, which is repaired as RTX");
    let without = CHROMIUM_PLAY.replace("goog-remb", "something-else");
    let offer = Offer::parse(&without).unwrap();
    let sending = whep::negotiate(&offer, &[h264("42e01f"), opus()], &sources()).unwrap();
    let answer = whep::answer(&local(), &sources(), &offer, &sending);
    assert!(!answer.contains("goog-remb") && answer.contains("transport-cc") && answer.contains("transport-wide-cc"));
    assert!(!answer.contains("abs-send-time"));
}
