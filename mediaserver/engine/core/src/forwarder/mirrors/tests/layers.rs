//! Layers whose viewers are on other threads than their source.

use super::*;
use crate::border::SourceKind;
use crate::forwarder::scenarios::layers::{Simulcast, sane, seen, viewer_spec};

impl Threads {
    /// Frames of the source on thread 0, in real time for all.
    fn live(&mut self, publication: &mut Simulcast, frames: usize) {
        for _ in 0..frames {
            publication.live(&mut self.worlds[0], 1);
            let now = self.worlds[0].now;
            self.worlds.iter_mut().for_each(|world| world.now = now);
            self.turn();
        }
    }

    fn view(&mut self, thread: ThreadNumber, rid: Option<&str>) -> ViewerId {
        let world = &mut self.worlds[thread];
        let viewer = world.join(viewer_spec(), AeadAes128Gcm);
        world.forwarder.choose_layer(viewer, rid, world.now);
        viewer
    }

    /// (track, whether it is wanted) of another node.
    fn requests(&mut self) -> Vec<(usize, bool)> {
        let requests = std::iter::from_fn(|| self.worlds[0].forwarder.poll_layer_request());
        requests.map(|request| (request.track, request.wanted)).collect()
    }
}

#[test]
fn a_layer_is_pulled_from_another_node_for_a_viewer_on_any_thread() {
    for seed in 0..10 {
        let mut threads = Threads::new(seed, 3, DEEP);
        let mut publication = Simulcast::publish(&mut threads.worlds[0], &[0, 1, 2], 9, SourceKind::Relay);
        let first = threads.view(1, Some("h"));
        threads.live(&mut publication, 60);
        assert_eq!(threads.requests(), [(2, false), (3, false)], "nobody watches them");
        (publication.sent[1], publication.sent[2]) = (false, false);
        threads.live(&mut publication, 60);
        let second = threads.view(2, Some("l"));
        threads.live(&mut publication, 10);
        assert_eq!(threads.requests(), [(3, true)], "seed {seed}: it is wanted on thread 2");
        (publication.sent[2], publication.key[2]) = (true, true);
        threads.live(&mut publication, 60);
        assert_eq!(seen(&threads.worlds[1], first).last(), Some(&0));
        assert_eq!(seen(&threads.worlds[2], second).last(), Some(&2));
        sane(&threads.worlds[1], first);
        sane(&threads.worlds[2], second);
        threads.leave(1, first);
        threads.live(&mut publication, 10);
        assert_eq!(threads.requests(), [(1, false)], "nobody watches the best any more");
        threads.leave(2, second);
        threads.turn();
        threads.live(&mut publication, 10);
        assert_eq!(threads.requests(), [], "the next viewer may be near");
        let (id, now) = (publication.id, threads.worlds[0].now);
        threads.worlds[0].forwarder.end_source(id, now);
        threads.assert_forgotten();
    }
}

#[test]
fn viewers_of_other_threads_go_on_with_the_next_layer_when_theirs_stops_and_come_back() {
    let mut threads = Threads::new(3, 2, DEEP);
    let mut publication = Simulcast::publish(&mut threads.worlds[0], &[0, 1, 2], 7, SourceKind::Publisher);
    let viewer = threads.view(1, None);
    threads.live(&mut publication, 200);
    publication.sent[0] = false;
    threads.live(&mut publication, 90);
    assert_eq!(seen(&threads.worlds[1], viewer).last(), Some(&1), "{:?}", seen(&threads.worlds[1], viewer));
    publication.sent[0] = true;
    publication.key[0] = true;
    threads.live(&mut publication, 150);
    assert_eq!(seen(&threads.worlds[1], viewer).last(), Some(&0), "{:?}", seen(&threads.worlds[1], viewer));
    sane(&threads.worlds[1], viewer);
}
