//! A distribution in the percentile format of HdrHistogram (`outputPercentileDistribution`), which
//! wrk2 prints too and which the HdrHistogram plotter reads.

use crate::result::Latencies;
use std::fmt::Write;

/// Steps in each half of the distance to 100 %, as HdrHistogram's own tools take them.
const TICKS_PER_HALF_DISTANCE: u32 = 5;
const US_PER_MS: f64 = 1e3;

/// Latencies in ms by percentile, each line `value percentile count 1/(1-percentile)`; for an
/// `.hgrm` file.
pub fn hgrm(latencies: &Latencies) -> String {
    let histogram = latencies.histogram_us();
    let mut text = format!(
        "{:>12} {:>14} {:>10} {:>14}\n\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    let mut counted = 0;
    for step in histogram.iter_quantiles(TICKS_PER_HALF_DISTANCE) {
        counted += step.count_since_last_iteration();
        let value = ms(step.value_iterated_to().min(histogram.max()));
        let quantile = step.quantile_iterated_to();
        let _ = write!(text, "{value:12.3} {quantile:2.12} {counted:10}");
        if quantile < 1.0 {
            let _ = write!(text, " {:14.2}", 1.0 / (1.0 - quantile));
        }
        text.push('\n');
    }
    let _ = writeln!(
        text,
        "#[Mean    = {:12.3}, StdDeviation   = {:12.3}]",
        latencies.mean_ns() / 1e6,
        histogram.stdev() / US_PER_MS
    );
    let _ = writeln!(
        text,
        "#[Max     = {:12.3}, Total count    = {:12}]",
        latencies.max_ns() as f64 / 1e6,
        latencies.count()
    );
    let _ = writeln!(
        text,
        "#[Buckets = {:12}, SubBuckets     = {:12}]",
        histogram.buckets(),
        sub_buckets(histogram.sigfig())
    );
    text
}

fn ms(us: u64) -> f64 {
    us as f64 / US_PER_MS
}

/// Cells of a bucket: enough for so many digits, as a power of two.
fn sub_buckets(digits: u8) -> u64 {
    (2 * 10u64.pow(u32::from(digits))).next_power_of_two()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::HistRecorder;

    #[test]
    fn percentiles_counts_and_summary_are_those_of_the_distribution() {
        let mut recorder = HistRecorder::new();
        (1..=1_000u64).for_each(|ms| recorder.record_ns(ms * 1_000_000));
        let text = hgrm(&recorder);
        let rows: Vec<Vec<f64>> = text
            .lines()
            .skip(2)
            .filter(|line| !line.starts_with('#'))
            .map(|line| {
                let numbers = line.split_whitespace().map(str::parse);
                numbers.collect::<Result<_, _>>().expect("numbers")
            })
            .collect();
        let half = rows.iter().find(|row| row[1] == 0.5).expect("the median");
        assert!((half[0] - 500.0).abs() <= 0.5, "{half:?}");
        assert_eq!((half[2], half[3]), (500.0, 2.0));
        let last = rows.last().expect("rows");
        assert_eq!(last[1..], [1.0, 1_000.0]);
        assert!((last[0] - 1_000.0).abs() < 1.0, "{last:?}");
        assert!(
            rows.iter().rev().skip(1).all(|row| row.len() == 4),
            "{text}"
        );
        assert!(text.contains("#[Max     =     1000.000, Total count    =         1000]"));
        assert!(
            text.contains("#[Mean    =      500.500, StdDeviation   ="),
            "{text}"
        );
        assert!(
            text.trim_end().ends_with("SubBuckets     =         2048]"),
            "{text}"
        );
    }

    #[test]
    fn an_empty_distribution_has_a_head_and_a_summary() {
        let text = hgrm(&HistRecorder::new());
        assert!(text.contains("Total count    =            0]"), "{text}");
    }
}
