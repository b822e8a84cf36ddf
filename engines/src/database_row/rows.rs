//! Statements over a batch in a few fixed sizes, so that every connection keeps them prepared.
//!
//! Other sizes than those of the consumer's bulk inserts: batches here are small, and each statement more is a round
//! trip under the lock of the stock row. A batch of 1, 16 or 256 is one.

use std::borrow::Cow;
use std::sync::OnceLock;

/// Most rows of one statement.
pub const MAX: usize = SIZES[0];
/// Rows per statement, largest first.
const SIZES: [usize; 5] = [256, 64, 16, 4, 1];

/// Cuts `items` into slices whose lengths are [`SIZES`].
pub fn cut<T>(mut items: &[T]) -> Vec<&[T]> {
    let mut slices = Vec::new();
    for size in SIZES {
        while let Some((slice, rest)) = items.split_at_checked(size) {
            slices.push(slice);
            items = rest;
        }
    }
    slices
}

/// Ids for an `IN (…)`: few slices, the last of them filled up with its last id, which changes nothing.
pub fn padded(ids: &[i64]) -> impl Iterator<Item = Cow<'_, [i64]>> {
    ids.chunks(MAX).map(|ids| {
        let size = SIZES.into_iter().rev().find(|size| *size >= ids.len()).unwrap_or(MAX);
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

    /// The text for a slice of [`cut`] or [`padded`].
    ///
    /// # Panics
    /// If `rows` is not one of [`SIZES`].
    pub fn for_rows(&self, rows: usize) -> &str {
        let index = SIZES.iter().position(|size| *size == rows);
        let index = index.unwrap_or_else(|| panic!("{rows} rows: only slices of cut() or padded() have a statement"));
        let write = |rows| format!("{}{}{}", self.before, vec![self.row; rows].join(", "), self.after);
        &self.texts.get_or_init(|| SIZES.map(write))[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_rows_is_cut_into_the_fixed_sizes() {
        let items: Vec<u32> = (0..700).collect();
        let slices = cut(&items);
        assert_eq!(slices.concat(), items);
        assert_eq!(slices.iter().map(|slice| slice.len()).collect::<Vec<_>>(), [256, 256, 64, 64, 16, 16, 16, 4, 4, 4]);
        assert!(cut::<u32>(&[]).is_empty());
    }

    #[test]
    fn ids_are_filled_up_with_ids_that_are_there_already() {
        for (count, sizes) in [(0, vec![]), (1, vec![1]), (2, vec![4]), (257, vec![256, 1]), (300, vec![256, 64])] {
            let ids: Vec<i64> = (0..count).collect();
            let slices: Vec<_> = padded(&ids).collect();
            assert_eq!(slices.iter().map(|slice| slice.len()).collect::<Vec<_>>(), sizes);
            let mut all = slices.concat();
            all.dedup();
            assert_eq!(all, ids);
            assert!(slices.iter().all(|slice| SIZES.contains(&slice.len())));
        }
    }
}
