//! A link's keys seal no two byte strings alike.

use super::*;

#[test]
fn an_ssrc_that_was_ever_used_on_the_link_is_refused() {
    let mut scene = Scene::new(1);
    scene.publish("a");
    let wish = scene.ask(11, "a");
    scene.serve(11, "a", &wish).unwrap();
    let wishes = |change: &dyn Fn(&mut LegWish)| {
        let mut other = LegWish { feedback: 900_000, tracks: wish.tracks.clone() };
        (other.tracks[0].ssrc, other.tracks[0].rtx_ssrc) = (900_001, Some(900_002));
        change(&mut other);
        other
    };
    let used = wish.tracks[0].ssrc;
    for (name, other) in [
        ("all", wish.clone()),
        ("media", wishes(&|other| other.tracks[0].ssrc = used)),
        ("repairs", wishes(&|other| other.tracks[0].rtx_ssrc = Some(used))),
        ("feedback", wishes(&|other| other.feedback = wish.feedback)),
        ("zero", wishes(&|other| other.feedback = 0)),
    ] {
        assert_eq!(scene.serve(12, "a", &other), Err(LegError::UsedSsrc), "{name}");
    }
    scene.parent.close(11, scene.now);
    assert_eq!(scene.serve(12, "a", &wish), Err(LegError::UsedSsrc), "its leg is closed");
    assert_eq!(scene.serve(12, "a", &wishes(&|_| {})), Ok(()));
    assert_eq!(scene.parent.directory.thread_of(12), Some(0));
}

/// Legs come and go, streams begin anew, datagrams are lost and asked for again.
fn live_through(seed: u64) -> usize {
    let mut scene = Scene::new(seed);
    scene.loss = 60;
    let streams = ["a", "b", "c", "d"];
    let mut legs: Vec<SessionId> = vec![];
    for step in 0..60 {
        match scene.random.word() % 10 {
            0..=4 => {
                let leg = 100 + step;
                let stream = streams[scene.random.word() as usize % 4];
                let wish = scene.ask(leg, stream);
                scene.serve(leg, stream, &wish).unwrap();
                scene.child.answer_leg(leg);
                legs.push(leg);
            }
            5 if !legs.is_empty() => {
                let leg = legs.swap_remove(scene.random.word() as usize % legs.len());
                scene.child.close(leg, scene.now);
                scene.parent.close(leg, scene.now);
            }
            6..=8 => {
                let stream = streams[scene.random.word() as usize % 4];
                scene.publish(stream);
            }
            _ => {
                let stream = streams[scene.random.word() as usize % 4];
                scene.child.request_key_frame(stream, scene.now);
            }
        }
        let time = Duration::from_millis(u64::from(scene.random.word() % 300));
        scene.run(time);
    }
    scene.sealed.len()
}

#[test]
fn under_a_links_keys_no_index_of_an_ssrc_seals_two_byte_strings() {
    let sealed: usize = (0..12).map(live_through).sum();
    assert!(sealed > 10_000, "{sealed} datagrams");
}
