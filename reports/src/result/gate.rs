//! The verdict of a comparison between a base and one or several heads.

use super::open_enum::open_enum;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;

open_enum! {
    /// What a gate says of a head, and of each metric.
    Verdict { Pass = "pass", Fail = "fail", Inconclusive = "inconclusive" }
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
    /// Ratios of instruction counts, head by base, by the name of the benchmark.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub instructions: BTreeMap<String, f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GateHead {
    pub subject: String,
    /// Both builds are the same bytes, so nothing was measured.
    pub identical: bool,
    pub verdict: Verdict,
    pub metrics: Vec<GateMetric>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GateMetric {
    pub metric: String,
    pub threshold_ln: f64,
    /// ln(head / base) of each block; infinite when the head missed a rate that the base kept.
    pub d: Vec<LnRatio>,
    /// 1 or 2.
    pub look: u32,
    /// Standard deviation of `d`.
    pub spread: f64,
    /// Hodges–Lehmann estimate.
    pub hl_ln: LnRatio,
    pub adverse_lower_ln: LnRatio,
    pub adverse_upper_ln: LnRatio,
    pub p_one_sided: f64,
    /// Smallest shift that could have been seen at this spread.
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

#[cfg(test)]
mod tests {
    use super::*;

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
