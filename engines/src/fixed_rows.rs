//! Multi-row SQL in a few fixed sizes, so that every connection keeps the statements prepared.
//!
//! A statement of its own for each number of rows would cost several times the client's CPU per row and fill the
//! server's statement cache; four sizes make any batch at most a few statements.

use std::sync::OnceLock;

/// Rows per statement, largest first. A batch is cut greedily: 1,234 rows are 2×500, 2×100, 1×20 and 14×1.
pub const SIZES: [usize; 4] = [500, 100, 20, 1];

/// Cuts `items` into slices whose lengths are [`SIZES`].
pub fn cut<T>(mut items: &[T]) -> Vec<&[T]> {
    let mut slices = Vec::new();
    for size in SIZES {
        while items.len() >= size {
            let (slice, rest) = items.split_at(size);
            slices.push(slice);
            items = rest;
        }
    }
    slices
}

/// The texts of one statement in all [`SIZES`], written once.
#[derive(Debug)]
pub struct Statement {
    before: &'static str,
    row: &'static str,
    after: &'static str,
    texts: OnceLock<[String; SIZES.len()]>,
}

impl Statement {
    /// `before`, then `row` once per row with commas between, then `after`.
    pub const fn new(before: &'static str, row: &'static str, after: &'static str) -> Self {
        Self { before, row, after, texts: OnceLock::new() }
    }

    /// The text for a slice of [`cut`].
    ///
    /// # Panics
    /// If `rows` is not one of [`SIZES`].
    pub fn for_rows(&self, rows: usize) -> &str {
        let index = SIZES.iter().position(|size| *size == rows);
        let index = index.unwrap_or_else(|| panic!("{rows} rows: only slices of cut() have a statement"));
        let write = |rows| format!("{}{}{}", self.before, vec![self.row; rows].join(", "), self.after);
        &self.texts.get_or_init(|| SIZES.map(write))[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_rows_is_cut_into_the_fixed_sizes() {
        let items: Vec<u32> = (0..1_234).collect();
        let slices = cut(&items);
        assert_eq!(slices.concat(), items);
        assert!(slices.iter().all(|slice| SIZES.contains(&slice.len())));
        assert_eq!(slices.len(), 2 + 2 + 1 + 14);
        assert!(cut::<u32>(&[]).is_empty());
    }

    #[test]
    fn a_statement_has_one_row_per_row() {
        static INSERT: Statement = Statement::new("INSERT INTO t VALUES ", "(?, ?)", "");
        assert_eq!(INSERT.for_rows(1), "INSERT INTO t VALUES (?, ?)");
        assert_eq!(INSERT.for_rows(20).matches('?').count(), 40);
    }
}
