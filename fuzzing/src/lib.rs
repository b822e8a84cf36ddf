//! Random bytes for the parsers of what comes from outside, as plain tests: fresh ones, and good
//! inputs that are damaged in a few places, which get further. What a parser panics at is made
//! smaller and shown, with the seed that brings it back.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

/// How long one parser is tried. `BOLERO_RANDOM_TEST_TIME_MS`, where it is set, says otherwise:
/// 30000 at night.
const TIME: Duration = Duration::from_secs(3);
/// Most places that are damaged in one input.
const EDITS_MAX: usize = 8;

/// One place: what is done there, where, and with which byte.
type Edit = (u8, u16, u8);

/// Gives `parse` each of the good `seeds` as it is, then damaged and fresh bytes until the time is
/// over; it panics where a promise is broken.
pub fn check(seeds: &[Vec<u8>], parse: impl Fn(&[u8])) {
    for seed in seeds {
        parse(seed);
    }
    // Nothing is asked of it any more after a panic but to panic again at something smaller.
    let parse = AssertUnwindSafe(parse);
    bolero::check!()
        .with_test_time(TIME)
        .with_type::<(usize, Vec<Edit>, Vec<u8>)>()
        .for_each(|(pick, edits, fresh)| {
            let parse = &parse;
            // One in so many is fresh altogether.
            let pick = pick % (seeds.len() + 1);
            let damaged = seeds.get(pick).map(|seed| damaged(seed, edits, fresh));
            parse.0(damaged.as_deref().unwrap_or(fresh));
        });
}

/// The same for parsers of text; what is no UTF-8 is replaced.
pub fn check_text(seeds: &[&str], parse: impl Fn(&str)) {
    let seeds: Vec<Vec<u8>> = seeds.iter().map(|seed| seed.as_bytes().to_vec()).collect();
    check(&seeds, |bytes| parse(&String::from_utf8_lossy(bytes)));
}

fn damaged(seed: &[u8], edits: &[Edit], fresh: &[u8]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for &(what, place, byte) in edits.iter().take(EDITS_MAX) {
        let at = usize::from(place) % (bytes.len() + 1);
        match what % 5 {
            0 if at < bytes.len() => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 => bytes.truncate(at),
            4 => drop(bytes.splice(at..at, fresh.iter().copied())),
            _ => {}
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::catch_unwind;

    #[test]
    fn a_parser_that_panics_at_a_damaged_input_is_found_out() {
        let found = catch_unwind(|| {
            check(&[b"good input".to_vec()], |bytes| {
                assert!(!bytes.starts_with(b"good") || bytes.len() >= 8, "too short");
            });
        });
        assert!(found.is_err());
    }

    #[test]
    fn the_seeds_are_tried_as_they_are() {
        let found = catch_unwind(|| check_text(&["a", "b"], |text| assert_ne!(text, "b")));
        assert!(found.is_err());
    }
}
