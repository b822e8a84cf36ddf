//! Where in the text of a scenario the value of each key stands.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;

use crate::scenario::BrokenRule;

#[derive(Default)]
pub(super) struct KeySpans(BTreeMap<String, Range<usize>>);

impl KeySpans {
    pub(super) fn take<T>(&mut self, key: &str, value: Spanned<T>) -> T {
        self.0.insert(key.to_owned(), value.span());
        value.into_inner()
    }

    /// A number that must not be negative; its exact range is for `rules` to check.
    pub(super) fn count<T: TryFrom<i64>>(
        &mut self,
        key: &str,
        value: Spanned<i64>,
    ) -> Result<T, BrokenRule> {
        let number = self.take(key, value);
        T::try_from(number).map_err(|_| {
            let name = key.rsplit('.').next().unwrap_or(key);
            let allowed = if number < 0 {
                "no negative number"
            } else {
                "a smaller number"
            };
            BrokenRule {
                key: key.to_owned(),
                message: format!("{name} = {number} is out of range; allowed: {allowed}"),
            }
        })
    }

    pub(super) fn of(&self, key: &str) -> Option<Range<usize>> {
        self.0.get(key).cloned()
    }
}
