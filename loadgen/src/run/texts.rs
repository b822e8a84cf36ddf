//! What services say to buyers, whatever the protocol.

use reports::outcome_log::Refusal;

/// What the service says when it refuses, and what it means. A text that is not here is
/// [`Refusal::Other`].
const REFUSALS: [(&str, Refusal); 4] = [
    ("sold out", Refusal::SoldOut),
    ("the sale has not started", Refusal::NotStarted),
    ("the sale has ended", Refusal::Ended),
    // Nothing is on sale, and it may be again.
    ("the sale is paused", Refusal::NotStarted),
];

/// The refusal that a text is.
pub fn refusal(text: &str) -> Refusal {
    let known = REFUSALS.iter().find(|(known, _)| *known == text);
    known.map_or(Refusal::Other, |(_, refusal)| *refusal)
}

/// What is said of one order, as it is said of any; so that all such are counted together.
pub fn without_numbers(text: &str) -> String {
    let words = text.split(' ').map(|word| {
        let is_number = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
        if is_number { "N" } else { word }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_counted_together_whatever_their_numbers() {
        assert_eq!(
            without_numbers("order 712 is cancelled already"),
            "order N is cancelled already"
        );
    }
}
