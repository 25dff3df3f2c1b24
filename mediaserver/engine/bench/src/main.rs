//! Load for benchmarks of the engine: a source, viewers, and the bare loop beside which the engine is measured.
//!
//! Each part is a process of its own, led over stdin and stdout (see `pipe`), with its sockets at the address that it is
//! given; `repair` and `fuzz` by themselves, in memory.

mod floor;
mod frames;
mod fuzz;
mod latency;
mod payload;
mod peer;
mod pictures;
mod pipe;
mod repair;
mod schedule;
mod source;
mod stamped;
mod starts;
mod viewers;

use std::io;
use std::process::ExitCode;

const USAGE: &str = "usage: rivulet-bench source ADDRESS | starts ADDRESS | viewers ADDRESS COUNT VERIFYING | visitors ADDRESS COUNT | floor ADDRESS DESTINATIONS THREADS | repair | fuzz INPUTS SEED [READER]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words) {
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(error)) => {
            eprintln!("rivulet-bench: {error}");
            ExitCode::FAILURE
        }
        None => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn run(words: &[&str]) -> Option<io::Result<()>> {
    match words {
        ["source", at] => Some(source::run(at.parse().ok()?)),
        ["starts", at] => Some(starts::run(at.parse().ok()?)),
        ["viewers", at, count, verifying] => {
            Some(viewers::run(at.parse().ok()?, count.parse().ok()?, verifying.parse().ok()?))
        }
        ["visitors", at, count] => Some(viewers::visit(at.parse().ok()?, count.parse().ok()?)),
        ["floor", at, list, threads] => {
            let to: Result<Vec<_>, _> = list.split(',').map(str::parse).collect();
            Some(floor::run(at.parse().ok()?, &to.ok()?, threads.parse().ok()?))
        }
        ["repair"] => {
            repair::run();
            Some(Ok(()))
        }
        ["fuzz", inputs, seed, only @ ..] if only.len() <= 1 => {
            Some(fuzz::run(inputs.parse().ok()?, seed.parse().ok()?, only.first().copied()))
        }
        _ => None,
    }
}
