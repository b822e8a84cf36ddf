//! Statements over many rows in a few fixed sizes, so that every connection keeps them prepared.
//!
//! A statement of its own for each number of rows would cost several times the client's CPU per row
//! and fill the server's statement cache; a few sizes make any number of rows at most a few
//! statements.

use std::borrow::Cow;
use std::sync::OnceLock;

/// For bulk inserts: 1,234 rows are 2×500, 2×100, 1×20 and 14×1.
pub const BULK: Sizes = Sizes(&[500, 100, 20, 1]);
/// For the batches of an engine, where each statement more is a round trip under a lock: 1, 16 or
/// 256 are one.
pub const BATCH: Sizes = Sizes(&[256, 64, 16, 4, 1]);

/// The numbers of rows that have a statement, largest first; the last is 1.
#[derive(Clone, Copy, Debug)]
pub struct Sizes(&'static [usize]);

impl Sizes {
    /// Most rows of one statement.
    #[must_use]
    pub const fn most(self) -> usize {
        self.0[0]
    }

    /// Cuts `items` greedily into slices of these sizes.
    #[must_use]
    pub fn cut<T>(self, mut items: &[T]) -> Vec<&[T]> {
        let mut slices = Vec::new();
        for size in self.0 {
            while let Some((slice, rest)) = items.split_at_checked(*size) {
                slices.push(slice);
                items = rest;
            }
        }
        slices
    }

    /// Ids for an `IN (…)`: few slices, the last of them filled up with its last id, which changes
    /// nothing.
    pub fn padded(self, ids: &[i64]) -> impl Iterator<Item = Cow<'_, [i64]>> {
        ids.chunks(self.most()).map(move |ids| {
            let size = self
                .0
                .iter()
                .rev()
                .copied()
                .find(|size| *size >= ids.len())
                .unwrap_or(self.most());
            match ids.last() {
                Some(last) if ids.len() < size => {
                    let mut filled = ids.to_vec();
                    filled.resize(size, *last);
                    Cow::Owned(filled)
                }
                _ => Cow::Borrowed(ids),
            }
        })
    }
}

/// The texts of one statement in all its sizes, written once.
#[derive(Debug)]
pub struct Statement {
    sizes: Sizes,
    before: &'static str,
    row: &'static str,
    after: &'static str,
    texts: OnceLock<Vec<String>>,
}

impl Statement {
    /// `before`, then `row` once per row with commas between, then `after`.
    #[must_use]
    pub const fn new(
        sizes: Sizes,
        before: &'static str,
        row: &'static str,
        after: &'static str,
    ) -> Self {
        Self {
            sizes,
            before,
            row,
            after,
            texts: OnceLock::new(),
        }
    }

    /// The text for a slice that its sizes have cut or padded.
    ///
    /// # Panics
    /// If there is no statement for so many rows.
    pub fn for_rows(&self, rows: usize) -> &str {
        let index = self.sizes.0.iter().position(|size| *size == rows);
        let index = index.unwrap_or_else(|| {
            panic!(
                "{rows} rows: only slices of {:?} have a statement",
                self.sizes
            )
        });
        let write = |rows| {
            format!(
                "{}{}{}",
                self.before,
                vec![self.row; rows].join(", "),
                self.after
            )
        };
        &self
            .texts
            .get_or_init(|| self.sizes.0.iter().copied().map(write).collect())[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_rows_is_cut_into_the_fixed_sizes() {
        let items: Vec<u32> = (0..1_234).collect();
        let slices = BULK.cut(&items);
        assert_eq!(slices.concat(), items);
        assert!(slices.iter().all(|slice| BULK.0.contains(&slice.len())));
        assert_eq!(slices.len(), 2 + 2 + 1 + 14);
        assert!(BULK.cut::<u32>(&[]).is_empty());
        let lengths: Vec<_> = BATCH
            .cut(&items[..700])
            .into_iter()
            .map(<[u32]>::len)
            .collect();
        assert_eq!(lengths, [256, 256, 64, 64, 16, 16, 16, 4, 4, 4]);
    }

    #[test]
    fn ids_are_filled_up_with_ids_that_are_there_already() {
        for (count, sizes) in [
            (0, vec![]),
            (1, vec![1]),
            (2, vec![4]),
            (257, vec![256, 1]),
            (300, vec![256, 64]),
        ] {
            let ids: Vec<i64> = (0..count).collect();
            let slices: Vec<_> = BATCH.padded(&ids).collect();
            assert_eq!(
                slices.iter().map(|slice| slice.len()).collect::<Vec<_>>(),
                sizes
            );
            let mut all = slices.concat();
            all.dedup();
            assert_eq!(all, ids);
        }
    }

    #[test]
    fn a_statement_has_one_row_per_row() {
        static INSERT: Statement = Statement::new(BULK, "INSERT INTO t VALUES ", "(?, ?)", "");
        assert_eq!(INSERT.for_rows(1), "INSERT INTO t VALUES (?, ?)");
        assert_eq!(INSERT.for_rows(20).matches('?').count(), 40);
    }
}
