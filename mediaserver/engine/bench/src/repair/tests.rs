use super::*;

fn scene(place: Place, loss: Loss, round_trip: u64, rate: usize, seed: u64) -> Scene {
    let round_trip = Duration::from_millis(round_trip);
    Scene { place, loss, round_trip, rate, length: Duration::from_secs(20), seed }
}

#[test]
fn nothing_is_asked_for_where_nothing_is_lost() {
    for place in [Place::Relay, Place::Viewer] {
        let outcome = play(&scene(place, Loss::None, 84, 1_000_000, 1)).unwrap();
        assert_eq!((outcome.figures.nacks, outcome.figures.given_up, outcome.figures.loss), (0, 0, Some(0.0)));
        assert!((outcome.seen.complete - 1.0).abs() < 1e-9 && outcome.seen.freezes_a_minute < 1e-9, "{outcome:?}");
    }
}

#[test]
fn lost_frames_become_whole_on_either_path() {
    for place in [Place::Relay, Place::Viewer] {
        for (loss, round_trip, whole) in [
            (Loss::Random(0.01), 84, 0.999),
            (Loss::Random(0.05), 84, 0.99),
            (Loss::Bursts(0.05), 84, 0.99),
            (Loss::Random(0.05), 183, 0.99),
            (Loss::Random(0.10), 84, 0.98),
        ] {
            for (rate, seed) in [(1_000_000, 1), (4_000_000, 2)] {
                let outcome = play(&scene(place, loss, round_trip, rate, seed)).unwrap();
                let seen = outcome.seen;
                assert!(seen.complete >= whole, "{place:?} {loss:?} {round_trip} ms {rate}: {outcome:?}");
                assert!(seen.rate >= 30.0 * 0.95, "{place:?} {loss:?} {round_trip} ms {rate}: {outcome:?}");
            }
        }
    }
}

#[test]
fn repairs_cost_little_more_than_what_was_lost() {
    for place in [Place::Relay, Place::Viewer] {
        let outcome = play(&scene(place, Loss::Random(0.05), 84, 4_000_000, 3)).unwrap();
        // 1.05 for the repairs, repairs of repairs, reports; the rest is bytes for nothing.
        assert!((1.04..1.08).contains(&outcome.overhead), "{place:?}: {outcome:?}");
        assert!(outcome.figures.given_up <= outcome.figures.repaired / 100, "{place:?}: {outcome:?}");
    }
}
