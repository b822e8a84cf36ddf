//! A rate as a scenario writes it: a number, or a share of a throughput that is measured first.

use std::str::FromStr;

/// What stands in place of a phase: the lowest calibrated throughput of all subjects.
pub const SLOWEST: &str = "slowest";
/// What stands in place of a phase in a comparison of builds: the saturated throughput of the base.
pub const BASE: &str = "base";

/// Requests per second.
#[derive(Clone, Debug, PartialEq)]
pub enum Rate {
    PerS(f64),
    /// `60% of calibrate`: 0.6 of the throughput of this leg's phase of that name, of [`SLOWEST`] or
    /// of [`BASE`].
    Share {
        share: f64,
        of: String,
    },
}

impl Rate {
    pub fn is_of(&self, name: &str) -> bool {
        matches!(self, Self::Share { of, .. } if of == name)
    }

    /// The rate in requests per second; `measured` gives the throughput of a name.
    ///
    /// # Errors
    /// The name whose throughput was not measured.
    pub fn resolve(&self, measured: impl Fn(&str) -> Option<f64>) -> Result<f64, String> {
        match self {
            Self::PerS(per_s) => Ok(*per_s),
            Self::Share { share, of } => {
                let throughput = measured(of).filter(|throughput| *throughput > 0.0);
                Ok(throughput.ok_or_else(|| of.clone())? * share)
            }
        }
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let allowed = || {
            format!(
                "\"{text}\" is no rate; allowed: a number of requests per second, or a share such as \"60% of \
                 calibrate\" or \"60% of {SLOWEST}\""
            )
        };
        let plain = text.trim();
        if let Ok(per_s) = plain.replace('_', "").parse::<f64>() {
            return Ok(Self::PerS(per_s));
        }
        let (percent, of) = plain.split_once('%').ok_or_else(allowed)?;
        let of = of.trim().strip_prefix("of ").ok_or_else(allowed)?.trim();
        let percent: f64 = percent.trim().parse().map_err(|_| allowed())?;
        if of.is_empty() {
            return Err(allowed());
        }
        Ok(Self::Share {
            share: percent / 100.0,
            of: of.to_owned(),
        })
    }
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::PerS(per_s) => write!(f, "{per_s}/s"),
            Self::Share { share, of } => write!(f, "{} % of {of}", share * 100.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_or_a_share() {
        assert_eq!("5_000".parse(), Ok(Rate::PerS(5_000.0)));
        let share: Rate = "60% of calibrate".parse().expect("a share");
        assert!(share.is_of("calibrate"));
        assert_eq!(share.resolve(|_| Some(1_000.0)), Ok(600.0));
        assert_eq!(share.resolve(|_| None), Err("calibrate".to_owned()));
        for wrong in [
            "",
            "fast",
            "60%",
            "60% of ",
            "x% of calibrate",
            "60 of calibrate",
        ] {
            let refused = wrong.parse::<Rate>().expect_err(wrong);
            assert!(refused.contains("allowed: a number"), "{refused}");
        }
    }
}
