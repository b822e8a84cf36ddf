//! A latency distribution as text that plotters of HdrHistogram read (`.hgrm`), as wrk2 prints it.

use reports::result::Latencies;
use std::fmt::Write;

/// Steps per halving of the distance to 100 %, as HdrHistogram's own tools print them.
const TICKS_PER_HALF: u32 = 5;

/// Values in ms.
pub fn hgrm(latencies: &Latencies) -> String {
    let mut out = "       Value     Percentile TotalCount 1/(1-Percentile)\n\n".to_owned();
    let histogram = latencies.histogram_us();
    let mut total = 0;
    for step in histogram.iter_quantiles(TICKS_PER_HALF) {
        total += step.count_since_last_iteration();
        let value_ms = step.value_iterated_to() as f64 / 1e3;
        let quantile = step.quantile_iterated_to();
        // Writing to a string cannot fail.
        let _ = match quantile < 1.0 {
            true => {
                let distance = 1.0 / (1.0 - quantile);
                writeln!(
                    out,
                    "{value_ms:12.3} {quantile:14.12} {total:10} {distance:14.2}"
                )
            }
            false => writeln!(
                out,
                "{value_ms:12.3} {quantile:14.12} {total:10}            inf"
            ),
        };
    }
    let (mean_ms, max_ms) = (latencies.mean_ns() / 1e6, latencies.max_ns() as f64 / 1e6);
    let deviation_ms = histogram.stdev() / 1e3;
    let count = latencies.count();
    let _ = writeln!(
        out,
        "#[Mean    = {mean_ms:12.3}, StdDeviation   = {deviation_ms:12.3}]\n\
         #[Max     = {max_ms:12.3}, Total count    = {count:12}]\n\
         #[Buckets = {:12}, SubBuckets     = {:12}]",
        histogram.buckets(),
        1u64 << (f64::from(histogram.sigfig()) * f64::log2(10.0) + 1.0).ceil() as u32,
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use reports::result::HistRecorder;

    #[test]
    fn it_is_read_column_by_column() {
        let mut latencies = HistRecorder::new();
        for us in 1..=1_000 {
            latencies.record_ns(us * 1_000);
        }
        let text = hgrm(&latencies);
        let rows: Vec<Vec<&str>> = text
            .lines()
            .skip(2)
            .take_while(|line| !line.starts_with('#'))
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(rows[0], ["0.001", "0.000000000000", "1", "1.00"]);
        assert_eq!(rows[5], ["0.500", "0.500000000000", "500", "2.00"]);
        assert_eq!(
            rows.last().expect("rows"),
            &["1.000", "1.000000000000", "1000", "inf"]
        );
        for footer in [
            "#[Mean    =        0.500, StdDeviation   =        0.289]",
            "#[Max     =        1.000, Total count    =         1000]",
            "SubBuckets     =         2048]",
        ] {
            assert!(text.contains(footer), "{footer} is missing in\n{text}");
        }
    }
}
