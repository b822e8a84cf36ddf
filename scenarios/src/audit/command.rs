//! `lab audit`: audits a database against outcome logs that are named on the command line.

use super::{AuditInput, ExpectedSale, audit, text};
use anyhow::Context;
use clap::Args;
use reports::result::AuditReport;
use std::{path::PathBuf, str::FromStr};

/// Check what the buyers were told against what the database says
#[derive(Args, Clone, Debug)]
pub struct AuditArgs {
    /// Database of the run: mysql://user[:password]@host:port/database, or sqlite:///path/of.db of
    /// the embedded stack
    #[arg(long, value_name = "URL")]
    pub database_url: String,
    /// Outcome logs of the drivers; all of them must be given
    #[arg(long = "log", value_name = "FILE", required = true, num_args = 1..)]
    pub logs: Vec<PathBuf>,
    /// A sale as it was set up, for example 1:1000000:9900; may be repeated. With a time to pay in
    /// ms, as in 1:1000000:9900:900000, orders that were not paid by then may be cancelled
    #[arg(
        long = "sale",
        value_name = "PRODUCT:TOTAL:PRICE_CENTS[:TIME_TO_PAY_MS]",
        required = true
    )]
    pub sales: Vec<ExpectedSale>,
    /// Also write the report as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Prints the report. It is up to the caller to turn a failed report into an exit code.
///
/// # Errors
/// As [`audit`], or when the JSON file cannot be written.
pub async fn command(args: AuditArgs) -> anyhow::Result<AuditReport> {
    let input = AuditInput {
        database_url: args.database_url,
        logs: args.logs,
        sales: args.sales,
        engine_stock: Vec::new(),
    };
    let report = audit(&input).await?;
    print!("{}", text(&report));
    if let Some(path) = args.json {
        let json = serde_json::to_string_pretty(&report)?;
        std::fs::write(&path, json + "\n")
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(report)
}

impl FromStr for ExpectedSale {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is not PRODUCT:TOTAL:PRICE_CENTS[:TIME_TO_PAY_MS], whole numbers such as 1:1000000:9900"
            )
        };
        let numbers: Vec<i64> = text
            .split(':')
            .map(str::parse)
            .collect::<Result<_, _>>()
            .map_err(|_| wrong())?;
        let (&[product_id, total, price_cents], rest) =
            numbers.split_first_chunk().ok_or_else(wrong)?;
        let time_to_pay_ms = match *rest {
            [] => None,
            [time_to_pay_ms] => Some(time_to_pay_ms),
            _ => return Err(wrong()),
        };
        if total < 0 || price_cents < 0 || time_to_pay_ms.is_some_and(|ms| ms < 0) {
            return Err(wrong());
        }
        Ok(Self {
            product_id,
            total,
            price_cents,
            time_to_pay_ms,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sale_is_three_whole_numbers_and_perhaps_a_time_to_pay() {
        let sale = ExpectedSale {
            product_id: 1,
            total: 1_000_000,
            price_cents: 9_900,
            time_to_pay_ms: None,
        };
        assert_eq!("1:1000000:9900".parse(), Ok(sale));
        let limited = ExpectedSale {
            time_to_pay_ms: Some(900_000),
            ..sale
        };
        assert_eq!("1:1000000:9900:900000".parse(), Ok(limited));
        for wrong in [
            "",
            "1",
            "1:2",
            "1:2:3:4:5",
            "1:-2:3",
            "1:2:3:-4",
            "1:2:9.90",
            "a:b:c",
        ] {
            let error = wrong.parse::<ExpectedSale>().expect_err(wrong);
            assert!(error.contains("PRODUCT:TOTAL:PRICE_CENTS"), "{error}");
        }
    }
}
