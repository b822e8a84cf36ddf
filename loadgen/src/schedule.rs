//! When the requests of an open loop are due: computed before the run from the shape, the end and a
//! seed, so that a run can be repeated and nothing is reckoned while it is measured.

use crate::duration::ns;
use crate::plan::{End, Shape};
use crate::random::SplitMix64;

const NS_PER_S: f64 = 1e9;

/// Due times in ns since the start of the phase, in order. The first request of every shape but
/// `Poisson` is due at 0.
///
/// With Λ(t) the requests that the rate has asked for until t, request i is due when Λ(t) = i. A
/// Poisson process has exponential gaps, `-ln(1 - u) / rate` with u from SplitMix64. The plan must
/// have been checked.
pub fn due_times_ns(shape: &Shape, end: End, seed: u64) -> Vec<u64> {
    match shape {
        Shape::Constant { rate_per_s } => steps(&[*rate_per_s], end),
        Shape::Step { rates_per_s } => steps(rates_per_s, end),
        Shape::Line {
            from_per_s,
            to_per_s,
        } => line(*from_per_s, *to_per_s, end),
        Shape::Spike { buyers } => vec![0; *buyers as usize],
        Shape::Poisson { rate_per_s } => poisson(*rate_per_s, end, seed),
    }
}

/// Length of a schedule at a mean rate.
fn length_s(mean_per_s: f64, end: End) -> f64 {
    match end {
        End::Count(count) => count as f64 / mean_per_s,
        End::Time(time) => time.as_secs_f64(),
    }
}

/// Due times from a function that gives that of request i in seconds, until the end.
fn until(end: End, due_s: impl Fn(u64) -> f64) -> Vec<u64> {
    let due_ns = |request| (due_s(request) * NS_PER_S).round() as u64;
    match end {
        End::Count(count) => (0..count).map(due_ns).collect(),
        End::Time(time) => {
            let end_ns = ns(time);
            (0..).map(due_ns).take_while(|due| *due < end_ns).collect()
        }
    }
}

fn steps(rates_per_s: &[f64], end: End) -> Vec<u64> {
    let mean_per_s = rates_per_s.iter().sum::<f64>() / rates_per_s.len() as f64;
    let step_s = length_s(mean_per_s, end) / rates_per_s.len() as f64;
    // Requests that are asked for until the end of each step.
    let asked: Vec<f64> = rates_per_s
        .iter()
        .scan(0.0, |sum, rate| {
            *sum += rate * step_s;
            Some(*sum)
        })
        .collect();
    until(end, |request| {
        let at = request as f64;
        let step = asked
            .partition_point(|asked| *asked <= at)
            .min(rates_per_s.len() - 1);
        let before = if step == 0 { 0.0 } else { asked[step - 1] };
        step as f64 * step_s + (at - before) / rates_per_s[step]
    })
}

/// Λ(t) = from·t + slope·t²/2, solved for t in the form that loses no digits when the slope is
/// small.
fn line(from_per_s: f64, to_per_s: f64, end: End) -> Vec<u64> {
    let slope = (to_per_s - from_per_s) / length_s((from_per_s + to_per_s) / 2.0, end);
    until(end, |request| {
        let root = (from_per_s * from_per_s + 2.0 * slope * request as f64).max(0.0);
        if root == 0.0 && request > 0 {
            // Beyond the point at which a falling rate would reach zero: never within the phase.
            return f64::from(u32::MAX);
        }
        2.0 * request as f64 / (from_per_s + root.sqrt())
    })
}

fn poisson(rate_per_s: f64, end: End, seed: u64) -> Vec<u64> {
    let mut random = SplitMix64(seed);
    let mut at_s = 0.0;
    let mut next_ns = || {
        at_s += -(1.0 - random.share()).ln() / rate_per_s;
        (at_s * NS_PER_S) as u64
    };
    match end {
        End::Count(count) => (0..count).map(|_| next_ns()).collect(),
        End::Time(time) => {
            let end_ns = ns(time);
            std::iter::repeat_with(next_ns)
                .take_while(|due| *due < end_ns)
                .collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const SECOND: End = End::Time(Duration::from_secs(1));

    fn within(due: &[u64], from_ms: u64, to_ms: u64) -> usize {
        let range = from_ms * 1_000_000..to_ms * 1_000_000;
        due.iter().filter(|at| range.contains(at)).count()
    }

    #[test]
    fn a_constant_rate_is_evenly_spaced() {
        let constant = Shape::Constant { rate_per_s: 4.0 };
        let quarters = [0, 250_000_000, 500_000_000, 750_000_000];
        assert_eq!(due_times_ns(&constant, SECOND, 0), quarters);
        assert_eq!(due_times_ns(&constant, End::Count(4), 9), quarters);
        // No drift: the last of a million is where it belongs.
        let fast = Shape::Constant {
            rate_per_s: 30_000.0,
        };
        let due = due_times_ns(&fast, End::Count(1_000_000), 0);
        assert_eq!(due[999_999], 33_333_300_000);
    }

    #[test]
    fn steps_have_the_same_length_and_each_its_rate() {
        let step = Shape::Step {
            rates_per_s: vec![100.0, 200.0, 600.0],
        };
        for end in [End::Time(Duration::from_secs(3)), End::Count(900)] {
            let due = due_times_ns(&step, end, 0);
            let counts = [(0, 1_000), (1_000, 2_000), (2_000, 3_000)]
                .map(|(from_ms, to_ms)| within(&due, from_ms, to_ms));
            assert_eq!((due.len(), counts), (900, [100, 200, 600]));
        }
    }

    #[test]
    fn a_line_rises_or_falls_evenly() {
        for (from_per_s, to_per_s, halves) in [
            (100.0, 300.0, [150.0, 250.0]),
            (300.0, 100.0, [250.0, 150.0]),
            (200.0, 200.0, [200.0, 200.0]),
        ] {
            let line = Shape::Line {
                from_per_s,
                to_per_s,
            };
            for end in [End::Time(Duration::from_secs(2)), End::Count(400)] {
                let due = due_times_ns(&line, end, 0);
                assert!((399..=401).contains(&due.len()), "{}", due.len());
                assert!(due.is_sorted());
                let counted = [within(&due, 0, 1_000), within(&due, 1_000, 2_000)];
                for (counted, wanted) in counted.into_iter().zip(halves) {
                    assert!(
                        (counted as f64 - wanted).abs() <= 1.0,
                        "{line:?}: {counted} for {wanted}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_spike_is_due_at_once() {
        let spike = Shape::Spike { buyers: 3 };
        assert_eq!(due_times_ns(&spike, End::Count(3), 0), [0, 0, 0]);
    }

    #[test]
    fn a_poisson_process_has_its_rate_and_exponential_gaps_and_repeats_with_its_seed() {
        let poisson = Shape::Poisson {
            rate_per_s: 10_000.0,
        };
        let due = due_times_ns(&poisson, End::Count(100_000), 42);
        assert_eq!(due, due_times_ns(&poisson, End::Count(100_000), 42));
        assert_ne!(due, due_times_ns(&poisson, End::Count(100_000), 43));
        assert!(due.is_sorted());
        let gaps: Vec<f64> = due
            .windows(2)
            .map(|pair| (pair[1] - pair[0]) as f64 / 1e9)
            .collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((mean * 10_000.0 - 1.0).abs() < 0.01, "{mean}");
        // Of an exponential distribution, deviation and mean are equal.
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.02, "{variance}");
        let timed = due_times_ns(&poisson, SECOND, 42);
        assert_eq!(timed, due[..timed.len()]);
        assert!((9_600..10_400).contains(&timed.len()), "{}", timed.len());
    }
}
