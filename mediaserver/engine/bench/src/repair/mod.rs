//! What a viewer sees when packets are lost, by our own receiver's repair: a table over loss, round trip and rate.
//!
//! The viewer is our own receiver too: a browser asks by rules of its own.

mod path;
mod picture;
#[cfg(test)]
mod tests;
mod world;

use std::time::Duration;

use path::Loss;
use world::{Place, Scene, play};

const LENGTH: Duration = Duration::from_mins(1);

/// Print the table (Markdown).
pub fn run() {
    println!(
        "| lost on | loss | RTT ms | Mbit/s | frames whole % | frames/s | freezes/min | longest ms | repaired | given up | packets sent × |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for place in [Place::Relay, Place::Viewer] {
        for bursts in [false, true] {
            for (round_trip, rate) in [(84, 1), (84, 4), (183, 1), (183, 4)] {
                for percent in [1.0, 3.0, 5.0, 10.0] {
                    row(place, bursts, percent, round_trip, rate);
                }
            }
        }
    }
}

fn row(place: Place, bursts: bool, percent: f64, round_trip: u64, rate: usize) {
    let loss = if bursts { Loss::Bursts(percent / 100.0) } else { Loss::Random(percent / 100.0) };
    let round = Duration::from_millis(round_trip);
    let scene = Scene { place, loss, round_trip: round, rate: rate * 1_000_000, length: LENGTH, seed: 1 };
    let place = if place == Place::Relay { "relay" } else { "viewer" };
    let kind = if bursts { "bursts" } else { "random" };
    let Some(outcome) = play(&scene) else {
        println!("| {place} | {percent} % {kind} | {round_trip} | {rate} | nothing seen |");
        return;
    };
    let (seen, figures) = (outcome.seen, outcome.figures);
    println!(
        "| {place} | {percent} % {kind} | {round_trip} | {rate} | {:.2} | {:.1} | {:.1} | {} | {} | {} | {:.3} |",
        seen.complete * 100.0,
        seen.rate,
        seen.freezes_a_minute,
        seen.longest_freeze.as_millis(),
        figures.repaired,
        figures.given_up,
        outcome.overhead,
    );
}
