//! Spoilt inputs by the million for every reader of foreign bytes (`rivulet_core::fuzz`): `rivulet-bench fuzz INPUTS SEED [TARGET]`.

mod mutate;
mod seeds;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mutate::{Dice, Mutator};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike};
use rivulet_core::fuzz::{Ground, TARGETS, Target};

/// Of one message so many inputs are shown.
const SHOWN: usize = 1;
/// What no input may take of a processor: none is longer than some kilobytes.
const LONGEST: Duration = Duration::from_millis(500);

/// One target's inputs so far.
#[derive(Default)]
struct Tally {
    inputs: u64,
    time: Duration,
    slowest: Duration,
}

/// What a target panicked with, and by which inputs.
type Findings = BTreeMap<(&'static str, String), Vec<Vec<u8>>>;

/// Check `inputs` inputs of all targets, or of the one of that name, and print what came of it (Markdown).
///
/// # Errors
/// When something did not hold; the inputs are printed as hex.
pub fn run(inputs: u64, seed: u64, only: Option<&str>) -> io::Result<()> {
    let targets: Vec<&Target> = TARGETS.iter().filter(|target| only.is_none_or(|name| target.name == name)).collect();
    if targets.is_empty() {
        return Err(io::Error::other("no such target"));
    }
    let said = listen();
    let mut runner = Runner::new(&targets, seed);
    for _ in 0..inputs {
        runner.one(&said);
    }
    let _ = panic::take_hook();
    runner.print();
    if runner.findings.is_empty() { Ok(()) } else { Err(io::Error::other(runner.told())) }
}

/// Where the last panic's message is found instead of on the screen.
fn listen() -> Arc<Mutex<String>> {
    let said: Arc<Mutex<String>> = Arc::default();
    let here = said.clone();
    panic::set_hook(Box::new(move |panic| {
        *here.lock().unwrap_or_else(PoisonError::into_inner) = panic.to_string();
    }));
    said
}

struct Runner<'a> {
    dice: Dice,
    ground: Ground,
    /// Each target with its mutator and the upper end of its share.
    targets: Vec<(&'a Target, Mutator, u32)>,
    tallies: Vec<Tally>,
    findings: Findings,
}

impl<'a> Runner<'a> {
    fn new(targets: &[&'a Target], seed: u64) -> Self {
        let mut end = 0;
        let with_mutators = targets.iter().map(|target| {
            end += target.share;
            (*target, Mutator::new(seeds::of(target.name), target.is_text), end)
        });
        let targets: Vec<_> = with_mutators.collect();
        let tallies = targets.iter().map(|_| Tally::default()).collect();
        Self { dice: Dice::new(seed), ground: Ground::default(), targets, tallies, findings: BTreeMap::new() }
    }

    fn one(&mut self, said: &Mutex<String>) {
        let all = self.targets.last().map_or(1, |(.., end)| *end);
        let roll = self.dice.below(all as usize);
        let at = self.targets.iter().position(|(.., end)| roll < *end as usize).unwrap_or(0);
        let (target, mutator, _) = &self.targets[at];
        let input = mutator.input(&mut self.dice);
        let ground = &mut self.ground;
        let (began, spent_before) = (Instant::now(), spent());
        let held = panic::catch_unwind(AssertUnwindSafe(|| (target.check)(ground, &input))).is_ok();
        self.tallies[at].note(began.elapsed());
        let name = target.name;
        if !held {
            // What it was kept in may be half done.
            self.ground = Ground::default();
            let words = said.lock().unwrap_or_else(PoisonError::into_inner).clone();
            self.find(name, &words, input);
        } else if spent().saturating_sub(spent_before) > LONGEST {
            self.find(name, "it takes too long", input);
        }
    }

    fn find(&mut self, target: &'static str, words: &str, input: Vec<u8>) {
        let place = words.lines().next().unwrap_or_default().to_owned();
        let inputs = self.findings.entry((target, place)).or_default();
        if inputs.len() < SHOWN {
            eprintln!("{target}: {words}");
            inputs.push(input);
        }
    }

    fn print(&self) {
        println!("| reader | inputs | mean µs | slowest µs |\n|---|---|---|---|");
        for ((target, ..), tally) in self.targets.iter().zip(&self.tallies) {
            let mean = tally.time.as_nanos() / u128::from(tally.inputs.max(1));
            let slowest = tally.slowest.as_micros();
            println!("| {} | {} | {}.{:02} | {slowest} |", target.name, tally.inputs, mean / 1000, mean / 10 % 100);
        }
    }

    fn told(&self) -> String {
        let mut text = format!("{} findings", self.findings.len());
        for ((target, place), inputs) in &self.findings {
            for input in inputs {
                let hex = input.iter().fold(String::new(), |mut hex, byte| {
                    let _ = write!(hex, "{byte:02x}");
                    hex
                });
                let _ = write!(text, "\n{target}: {place}\n  {hex}");
            }
        }
        text
    }
}

/// Of a processor by this thread, to some milliseconds: what else the machine does is nobody's fault here.
fn spent() -> Duration {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_THREAD) else { return Duration::ZERO };
    let of = |time: TimeVal| Duration::from_micros(time.num_microseconds().unsigned_abs());
    of(usage.user_time()) + of(usage.system_time())
}

impl Tally {
    fn note(&mut self, took: Duration) {
        self.inputs += 1;
        self.time += took;
        self.slowest = self.slowest.max(took);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seed_holds_as_it_is() {
        let mut ground = Ground::default();
        for target in &TARGETS {
            let seeds = seeds::of(target.name);
            assert!(!seeds.is_empty(), "{}", target.name);
            for seed in seeds {
                (target.check)(&mut ground, &seed);
            }
        }
    }

    #[test]
    fn what_is_spoilt_a_little_or_much_breaks_nothing() {
        let inputs = if cfg!(debug_assertions) { 20_000 } else { 150_000 };
        run(inputs, 1, None).unwrap();
    }

    #[test]
    fn a_reader_that_panics_is_found_with_its_input() {
        fn panics(_: &mut Ground, _: &[u8]) {
            panic!("a test's own panic");
        }
        let target = Target { name: "stun", share: 1, is_text: false, check: panics };
        let said = Mutex::new("somewhere:\na test's own panic".to_owned());
        let mut runner = Runner::new(&[&target], 1);
        runner.one(&said);
        assert_eq!(runner.findings.len(), 1);
        assert!(runner.told().starts_with("1 findings\nstun: somewhere:\n  "));
    }
}
