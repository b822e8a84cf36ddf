//! E-divisive against truth: distances by hand, a published series, simulated steps, and the share
//! of false alarms.

use super::*;
use rand::Rng;

const EXACTLY: f64 = 1e-9;

fn search(segment_min: usize) -> EDivisive {
    EDivisive {
        segment_min,
        shuffles: 199,
        level: 0.05,
        seed: 1,
    }
}

fn places(points: &[ChangePoint]) -> Vec<usize> {
    points.iter().map(|point| point.at).collect()
}

/// Sum of twelve uniform numbers less 6: nearly normal, with a deviation of 1.
fn normal(random: &mut SmallRng) -> f64 {
    (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0
}

/// Noise with a step of so many deviations at `at`.
fn step(random: &mut SmallRng, length: usize, at: usize, size: f64) -> Vec<f64> {
    let value = |index: usize| normal(random) + if index >= at { size } else { 0.0 };
    (0..length).map(value).collect()
}

/// As the formula of the paper says, pair by pair.
fn statistic_by_hand(left: &[f64], right: &[f64]) -> f64 {
    let mean = |one: &[f64], other: &[f64], pairs: f64| {
        let distances = one
            .iter()
            .flat_map(|a| other.iter().map(move |b| (a - b).abs()));
        distances.sum::<f64>() / pairs
    };
    let (m, n) = (left.len() as f64, right.len() as f64);
    let energy = 2.0 * mean(left, right, m * n)
        - mean(left, left, m * (m - 1.0))
        - mean(right, right, n * (n - 1.0));
    m * n / (m + n) * energy
}

#[test]
fn the_statistic_is_that_of_the_formula() {
    // 2·2/(2+2) · (2·1 - 0 - 0)
    let split = best_split(&[0.0, 0.0, 1.0, 1.0], 2).expect("one split");
    assert_eq!((split.at, split.statistic), (2, 2.0));
    let values = [0.3, -1.0, 2.5, 0.0, 4.0, 3.0, 3.5, -2.0, 3.1];
    let distances = Distances::of(&values);
    for at in 2..=7 {
        for end in at + 2..=9 {
            let by_hand = statistic_by_hand(&values[..at], &values[at..end]);
            let found = distances.statistic(at, end);
            assert!((found - by_hand).abs() < EXACTLY, "{at}, {end}: {found}");
        }
    }
}

/// Every order of eight values against the 70 ways of dividing them, as the only split there is.
#[test]
fn few_values_are_judged_by_all_their_orders() {
    let mut orders = Vec::new();
    for_each_order(&mut [1.0, 2.0, 3.0, 4.0], &mut |order| {
        orders.push(order.to_vec())
    });
    orders.sort_by(|a, b| a.partial_cmp(b).expect("numbers"));
    orders.dedup();
    assert_eq!(orders.len(), 24);

    // Only the order as it is and its mirror are as far apart: 2 of 70.
    let apart = search(4).change_points(&[1.0, 1.1, 0.9, 1.05, 2.0, 2.1, 1.9, 2.05]);
    assert_eq!(places(&apart), [4]);
    assert!((apart[0].p - 2.0 / 70.0).abs() < EXACTLY, "{apart:?}");
    // With six values it is 2 of 20, which is not enough.
    assert!(
        search(3)
            .change_points(&[1.0, 1.1, 0.9, 2.0, 2.1, 1.9])
            .is_empty()
    );
}

/// Random orders come to what all orders come to.
#[test]
fn shuffles_estimate_what_all_orders_would_say() {
    let values = [0.0, 1.0, 0.4, 1.7, 1.2, 0.9, 2.0, 1.4];
    let statistic = best_split(&values, 2).expect("a split").statistic;
    let exact = search(2).p(&values, &[0, 8], statistic, &mut SmallRng::seed_from_u64(1));
    // A second part that holds no better split makes it too many orders for all of them.
    let mut longer = values.to_vec();
    longer.extend([5.0; 9]);
    let sampled = EDivisive {
        shuffles: 20_000,
        ..search(2)
    };
    let sampled = sampled.p(
        &longer,
        &[0, 8, 17],
        statistic,
        &mut SmallRng::seed_from_u64(1),
    );
    assert!(exact > 0.05 && exact < 0.95, "{exact}");
    // Five standard errors of 20,000 draws are at most 0.018.
    assert!((sampled - exact).abs() < 0.018, "{sampled}, {exact}");
}

/// Flow of the Nile at Aswan, 1871 to 1970, in 10⁸ m³: R's data set `Nile`. It fell in 1899 (G. W.
/// Cobb, "The problem of the Nile: conditional solution to a change-point problem", Biometrika 65
/// (1978)), and never again.
const NILE: [i32; 100] = [
    1120, 1160, 963, 1210, 1160, 1160, 813, 1230, 1370, 1140, 995, 935, 1110, 994, 1020, 960, 1180,
    799, 958, 1140, 1100, 1210, 1150, 1250, 1260, 1220, 1030, 1100, 774, 840, 874, 694, 940, 833,
    701, 916, 692, 1020, 1050, 969, 831, 726, 456, 824, 702, 1120, 1100, 832, 764, 821, 768, 845,
    864, 862, 698, 845, 744, 796, 1040, 759, 781, 865, 845, 944, 984, 897, 822, 1010, 771, 676,
    649, 846, 812, 742, 801, 1040, 860, 874, 848, 890, 744, 749, 838, 1050, 918, 986, 797, 923,
    975, 815, 1020, 906, 901, 1170, 912, 746, 919, 718, 714, 740,
];

#[test]
fn the_nile_fell_in_1899() {
    let nile = NILE.map(f64::from);
    assert_eq!(nile.iter().sum::<f64>(), 91_935.0);
    let points = search(10).change_points(&nile);
    assert_eq!(places(&points), [28], "{points:?}");
    assert_eq!(points[0].p, 1.0 / 200.0);
}

#[test]
fn steps_of_three_deviations_are_found_where_they_are() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    let (runs, mut found, mut near) = (100, 0, 0);
    for _ in 0..runs {
        let at = random.random_range(8..=22);
        let points = search(5).change_points(&step(&mut random, 30, at, 3.0));
        found += u32::from(!points.is_empty());
        near += u32::from(points.iter().any(|point| point.at.abs_diff(at) <= 1));
    }
    println!("found {found}, within one of the place {near}, of {runs}");
    assert!(found >= 95 && near >= 85, "found {found}, near {near}");
}

#[test]
fn a_rise_that_is_taken_back_is_two_change_points() {
    let mut random = SmallRng::seed_from_u64(7);
    let value = |index: usize| 0.2 * normal(&mut random) + f64::from((15..30).contains(&index));
    let series: Vec<f64> = (0..45).map(value).collect();
    assert_eq!(places(&search(5).change_points(&series)), [15, 30]);
}

/// The test is at its level whatever the noise: here symmetric, skewed and coarse.
#[test]
fn noise_raises_an_alarm_as_often_as_the_level_says() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    let (runs, mut alarms) = (600, 0);
    for run in 0..runs {
        let noise = |_| match run % 3 {
            0 => normal(&mut random),
            1 => normal(&mut random).exp(),
            _ => normal(&mut random).round(),
        };
        let series: Vec<f64> = (0..20).map(noise).collect();
        let quick = EDivisive {
            shuffles: 99,
            seed: run,
            ..search(5)
        };
        alarms += u32::from(!quick.change_points(&series).is_empty());
    }
    let share = f64::from(alarms) / runs as f64;
    println!("{alarms} alarms in {runs} series without a change: {share:.3}");
    // Five standard errors of 600 runs at 0.05 are 0.045; ties only lower the share.
    assert!((0.01..0.095).contains(&share), "{share}");
}

#[test]
fn moving_mirroring_and_stretching_a_series_moves_no_change_point() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    for _ in 0..20 {
        let series = step(&mut random, 24, 12, 2.0);
        let change = |of: &dyn Fn(f64) -> f64| {
            let series: Vec<f64> = series.iter().map(|value| of(*value)).collect();
            search(5).change_points(&series)
        };
        let original = change(&|value| value);
        for (scale, changed) in [
            (1.0, change(&|value| value + 1_000.0)),
            (1.0, change(&|value| -value)),
            (0.001, change(&|value| value * 0.001)),
        ] {
            assert_eq!(places(&changed), places(&original));
            for (one, other) in changed.iter().zip(&original) {
                assert_eq!(one.p, other.p);
                let expected = scale * other.statistic;
                assert!(
                    (one.statistic / expected - 1.0).abs() < 1e-6,
                    "{one:?}, {other:?}"
                );
            }
        }
    }
}

#[test]
fn nothing_changes_in_a_series_that_is_short_or_constant() {
    for series in [vec![], vec![1.0; 9], vec![1.0; 40]] {
        assert_eq!(search(5).change_points(&series), []);
    }
    // Twice, so that the seed is seen to decide.
    let series = step(&mut SmallRng::seed_from_u64(3), 40, 20, 1.0);
    let points = search(5).change_points(&series);
    assert_eq!(points, search(5).change_points(&series));
}
