//! What fuzzing has found stays found.

use super::*;

/// Of the checks' own: seeds and spoilt ones are in `rivulet-bench fuzz`.
#[test]
fn shares_are_of_a_thousand_and_names_differ() {
    assert_eq!(TARGETS.iter().map(|target| target.share).sum::<u32>(), 1000);
    let mut names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), TARGETS.len());
}
