//! The file from which the system makes sales.

use crate::scenario::Sale;

/// Opening and end of every sale of the lab, in Unix seconds: always open.
const STARTS_AT: i64 = 0;
const ENDS_AT: i64 = 4_102_444_800;

/// All of these sales, as `seckill migrate --seed` reads them.
pub fn seed_text(sales: &[Sale]) -> String {
    let mut text = String::new();
    for sale in sales {
        text.push_str(&format!(
            "[[sales]]\nproduct_id = {}\nname = \"product {}\"\nprice_cents = {}\ntotal = {}\n\
             starts_at = {STARTS_AT}\nends_at = {ENDS_AT}\n\n",
            sale.product_id, sale.product_id, sale.price_cents, sale.total
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_lists_every_sale_with_its_window() {
        let sales = [
            Sale {
                product_id: 1,
                total: 10,
                price_cents: 9_900,
            },
            Sale {
                product_id: 2,
                total: 4,
                price_cents: 100,
            },
        ];
        let seed: toml::Table = toml::from_str(&seed_text(&sales)).expect("valid TOML");
        let sales = seed["sales"].as_array().expect("a list");
        assert_eq!(sales.len(), 2);
        assert_eq!(sales[1]["total"].as_integer(), Some(4));
        assert_eq!(sales[0]["ends_at"].as_integer(), Some(ENDS_AT));
    }
}
