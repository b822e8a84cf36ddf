//! The verdict of a comparison between a base and one or several heads.

use super::open_enum::open_enum;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;

open_enum! {
    /// What a gate says of a head, and of each metric.
    Verdict { Pass = "pass", Fail = "fail", Inconclusive = "inconclusive" }
}

open_enum! {
    /// What decided a head whatever its metrics say.
    Cause {
        Identical = "identical",
        Audit = "audit",
        /// A leg that broke beside a whole one of the base.
        Leg = "leg",
        Instructions = "instructions",
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Gate {
    /// Id of the base's subject.
    pub base: String,
    pub heads: Vec<GateHead>,
    /// Reason and number of blocks that were void.
    pub voided: BTreeMap<String, u64>,
    /// Rate of the open phase.
    pub rate_per_s: f64,
    /// When the blocks were to be judged, and with which errors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub looks: Vec<GateLook>,
    /// Why there is no verdict, in one sentence: a base that failed, too many void blocks. Whatever
    /// the heads say then says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_measured: Option<String>,
}

/// A moment at which the blocks so far are judged.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GateLook {
    /// Blocks that count.
    pub blocks: u32,
    /// A head fails by a metric whose p value, after Holm's correction, is at most this.
    pub alpha: f64,
    /// One-sided error of each of the two bounds of a metric.
    pub pass_error: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GateHead {
    pub subject: String,
    /// Both builds are the same bytes, so nothing was measured.
    pub identical: bool,
    /// `inconclusive` without a `look` is a head of which nothing was decided yet.
    pub verdict: Verdict,
    /// What decided it, where that is not its metrics, and the same in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The look at which its metrics decided, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub look: Option<u32>,
    /// Blocks behind `d` of each metric, in the same order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<u32>,
    /// Those that could be computed in every block.
    pub metrics: Vec<GateMetric>,
    /// What a reader must know besides, each in one sentence: a metric that was left out, a leg with
    /// a flag.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
    /// Ratios of instruction counts, head by base, by the name of the benchmark.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub instructions: BTreeMap<String, f64>,
}

impl GateHead {
    /// Whether more blocks are needed to tell.
    pub fn is_open(&self) -> bool {
        self.verdict == Verdict::Inconclusive && self.look.is_none()
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GateMetric {
    /// Id of a [`super::MetricDef`].
    pub metric: String,
    /// Below 0 where up is good.
    pub threshold_ln: f64,
    /// ln(head / base) of each block; infinite when the head missed a rate that the base kept, or
    /// finished nothing.
    pub d: Vec<LnRatio>,
    /// The look whose errors count, from 1; 0 before the first one.
    pub look: u32,
    /// Standard deviation of those of `d` that are finite; 0 where they are fewer than two.
    pub spread: f64,
    /// Hodges–Lehmann estimate.
    pub hl_ln: LnRatio,
    /// Bounds of the estimate in the direction of `d`, each with the look's `pass_error`. The upper
    /// one is held against the threshold where down is good, the lower one where up is.
    pub adverse_lower_ln: LnRatio,
    pub adverse_upper_ln: LnRatio,
    /// That the head is no worse: the exact signed-rank test, unadjusted.
    pub p_one_sided: f64,
    /// The same after Holm's correction over all metrics of the head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p_adjusted: Option<f64>,
    /// Smallest true shift for the worse that fails nine times out of ten at this spread by the last
    /// look, in the direction of the threshold.
    #[serde(with = "ln_ratio")]
    #[schemars(with = "LnRatio")]
    pub detectable_ln: f64,
    pub verdict: Verdict,
}

/// A logarithm of a ratio, which may be infinite: JSON then holds the string `inf` or `-inf`.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct LnRatio(pub f64);

impl Serialize for LnRatio {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            f64::INFINITY => serializer.serialize_str("inf"),
            f64::NEG_INFINITY => serializer.serialize_str("-inf"),
            finite => serializer.serialize_f64(finite),
        }
    }
}

impl<'de> Deserialize<'de> for LnRatio {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(f64),
            Word(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Number(number) => Ok(Self(number)),
            Written::Word(word) => match word.as_str() {
                "inf" => Ok(Self(f64::INFINITY)),
                "-inf" => Ok(Self(f64::NEG_INFINITY)),
                other => Err(serde::de::Error::custom(format!(
                    "a logarithm of a ratio is a number, \"inf\" or \"-inf\", got {other:?}"
                ))),
            },
        }
    }
}

impl JsonSchema for LnRatio {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "LnRatio".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "anyOf": [{ "type": "number" }, { "enum": ["inf", "-inf"] }]
        })
    }
}

/// A plain number that is written as a [`LnRatio`].
mod ln_ratio {
    use super::LnRatio;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(ln: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        LnRatio(*ln).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        LnRatio::deserialize(deserializer).map(|ratio| ratio.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_that_sees_nothing_survives_json() {
        let blind = GateMetric {
            metric: "p99_ms".to_owned(),
            threshold_ln: 0.1,
            d: vec![LnRatio(f64::INFINITY)],
            look: 0,
            spread: 0.0,
            hl_ln: LnRatio(f64::INFINITY),
            adverse_lower_ln: LnRatio(f64::NEG_INFINITY),
            adverse_upper_ln: LnRatio(f64::INFINITY),
            p_one_sided: 0.5,
            p_adjusted: None,
            detectable_ln: f64::NEG_INFINITY,
            verdict: Verdict::Inconclusive,
        };
        let written = serde_json::to_string(&blind).expect("written");
        assert_eq!(
            serde_json::from_str::<GateMetric>(&written).expect("read"),
            blind
        );
    }

    #[test]
    fn an_infinite_ratio_survives_json() {
        let written =
            serde_json::to_string(&[LnRatio(f64::INFINITY), LnRatio(-0.5)]).expect("written");
        assert_eq!(written, r#"["inf",-0.5]"#);
        let read: Vec<LnRatio> = serde_json::from_str(&written).expect("read");
        assert_eq!(read, [LnRatio(f64::INFINITY), LnRatio(-0.5)]);
        assert!(serde_json::from_str::<LnRatio>("\"far\"").is_err());
    }
}
