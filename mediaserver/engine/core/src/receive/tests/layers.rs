//! Layers of one track: whose each packet is, and what is asked for.

use super::*;

const RID: u8 = 5;
const REPAIRED: u8 = 6;

/// A publisher of the layers `h` and `l`, tracks 1 and 2.
fn simulcast() -> World {
    let mut receiving = receiving(None);
    let video = &mut receiving.media[VIDEO];
    video.layers = vec!["h".to_owned(), "l".to_owned()];
    let named = [(Extension::Rid, RID), (Extension::RepairedRid, REPAIRED)];
    video.extensions = video.extensions.iter().chain(named).collect();
    World::new(Receiver::new(&receiving, "cname"))
}

impl World {
    fn named(&mut self, payload_type: u8, ssrc: u32, number: u64, name: (u8, &str), payload: &[u8]) -> Vec<u8> {
        let header =
            RtpHeader { marker: false, payload_type, sequence: number as u16, timestamp: 9, ssrc, padded: false };
        let mut packet = vec![];
        let mut writer = HeaderWriter::begin(&mut packet, header, 0);
        writer.extension(4, b"v");
        writer.extension(name.0, name.1.as_bytes());
        let header = writer.end();
        packet.extend_from_slice(payload);
        assert!(self.sealer.seal_rtp(&mut packet, 0, Unsealed::whole(header), number, IndexUse::First));
        packet
    }

    fn hear(&mut self, payload_type: u8, ssrc: u32, number: u64, name: (u8, &str)) {
        let packet = self.named(payload_type, ssrc, number, name, &[0x10, 1, number as u8]);
        self.arrive(&packet);
    }
}

#[test]
fn a_layer_is_known_by_its_rid_and_from_then_on_by_its_ssrc() {
    let mut world = simulcast();
    world.hear(VIDEO_TYPE, 50, 10, (0, ""));
    assert_eq!((world.packets.len(), world.receiver.figures().rejected), (0, 1), "nobody's yet");
    world.hear(VIDEO_TYPE, 60, 500, (RID, "l"));
    world.hear(VIDEO_TYPE, 50, 11, (RID, "h"));
    world.hear(VIDEO_TYPE, 50, 12, (0, ""));
    world.hear(VIDEO_TYPE, 60, 501, (0, ""));
    world.hear(VIDEO_TYPE, 70, 1, (RID, "x"));
    assert_eq!((world.numbers(1), world.numbers(2)), (vec![11, 12], vec![500, 501]));
    assert_eq!(world.receiver.figures().rejected, 2);
    let rids: Vec<_> = world.receiver.specs().into_iter().map(|spec| spec.layer.map(|layer| layer.rid)).collect();
    assert_eq!(rids, [None, Some("h".into()), Some("l".into())]);
    assert_eq!(world.receiver.mids(), ["a", "v"]);
}

#[test]
fn each_layer_is_repaired_and_asked_for_key_frames_by_itself() {
    let mut world = simulcast();
    for (ssrc, first, rid) in [(50, 10, "h"), (60, 500, "l")] {
        world.hear(VIDEO_TYPE, ssrc, first, (RID, rid));
        world.hear(VIDEO_TYPE, ssrc, first + 2, (0, ""));
    }
    world.wait(ms(5));
    world.receiver.request_key_frame(2);
    world.collect();
    let said: Vec<Report> = world.feedback.iter().flat_map(|(_, packet)| rtcp::parse(packet)).collect();
    assert_eq!(
        said,
        [
            Report::Nack { ssrc: 50, lost: vec![11] },
            Report::Nack { ssrc: 60, lost: vec![501] },
            Report::KeyFrame { ssrc: 60 }
        ]
    );
    let lost = [&501_u16.to_be_bytes()[..], &[0x10, 1, 7]].concat();
    let repair = world.named(RTX_TYPE, 61, 1, (REPAIRED, "l"), &lost);
    world.arrive(&repair);
    let lost = [&11_u16.to_be_bytes()[..], &[0x10, 1, 7]].concat();
    let unnamed = world.named(RTX_TYPE, 51, 1, (0, ""), &lost);
    world.arrive(&unnamed);
    assert_eq!(
        (world.numbers(1), world.numbers(2)),
        (vec![10, 12], vec![500, 502, 501]),
        "whose the other is nobody knows"
    );
}

#[test]
fn only_another_node_is_told_which_layers_are_wanted_and_again_with_each_report() {
    for is_node in [false, true] {
        let mut world = simulcast();
        if is_node {
            world.receiver =
                std::mem::replace(&mut world.receiver, Receiver::new(&receiving(None), "c")).without_arrival_times();
        }
        world.hear(VIDEO_TYPE, 50, 10, (RID, "h"));
        world.receiver.want_layer(1, false);
        world.receiver.want_layer(0, false);
        world.collect();
        world.wait(ms(2200));
        let paused =
            |(_, packet): &(Instant, Vec<u8>)| rtcp::parse(packet).contains(&Report::Pause { ssrc: 50, paused: true });
        assert_eq!(world.feedback.iter().filter(|said| paused(said)).count(), if is_node { 4 } else { 0 });
    }
}
