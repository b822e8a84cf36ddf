//! Text for a terminal: pieces with a tone, their width in columns, and how they are wrapped. What
//! comes from outside (titles, error messages, settings) is cleaned of control characters first.

use unicode_width::UnicodeWidthStr;

/// Keeps a figure and its unit on one line; shown as an ordinary space.
pub(super) const NO_BREAK: char = '\u{a0}';

/// What a piece of text means, and so how it looks where there is colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tone {
    #[default]
    Plain,
    Strong,
    Faint,
    Good,
    Warn,
    Bad,
}

impl Tone {
    fn style(self) -> console::Style {
        let style = console::Style::new().force_styling(true);
        match self {
            Self::Plain => style,
            Self::Strong => style.bold(),
            Self::Faint => style.dim(),
            Self::Good => style.green(),
            Self::Warn => style.yellow(),
            Self::Bad => style.red().bold(),
        }
    }
}

/// One line of the screen.
#[derive(Clone, Debug, Default)]
pub(super) struct Line(Vec<(Tone, String)>);

impl Line {
    pub(super) fn of(tone: Tone, text: impl Into<String>) -> Self {
        Self(vec![(tone, text.into())])
    }

    pub(super) fn plain(text: impl Into<String>) -> Self {
        Self::of(Tone::Plain, text)
    }

    pub(super) fn and(mut self, tone: Tone, text: impl Into<String>) -> Self {
        self.0.push((tone, text.into()));
        self
    }

    /// As it is written, without spaces at its end.
    pub(super) fn painted(&self, colour: bool) -> String {
        let last = self.0.len().saturating_sub(1);
        let mut painted = String::new();
        for (index, (tone, text)) in self.0.iter().enumerate() {
            let text = text.replace(NO_BREAK, " ");
            let text = if index == last {
                text.trim_end()
            } else {
                &text
            };
            if colour && *tone != Tone::Plain && !text.trim().is_empty() {
                painted.push_str(&tone.style().apply_to(text).to_string());
            } else {
                painted.push_str(text);
            }
        }
        painted.trim_end().to_owned()
    }
}

/// Lines as one text.
pub(super) fn joined(lines: &[Line], colour: bool) -> String {
    let mut text = String::new();
    for line in lines {
        text.push_str(&line.painted(colour));
        text.push('\n');
    }
    text
}

/// Columns that a text takes.
pub(super) fn width(text: &str) -> usize {
    text.width()
}

/// Text from outside on one line: control characters, which could move the cursor or change
/// colours, become spaces, and those that turn the direction of writing, and so can show a text
/// as another, are left out.
pub(super) fn clean(text: &str) -> String {
    let is_break = |letter: char| letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}');
    let spaced = text.replace(turns_direction, "").replace(is_break, " ");
    spaced
        .split(' ')
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Unicode's property Bidi_Control.
fn turns_direction(letter: char) -> bool {
    matches!(
        letter,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

/// Words from outside as one line for a shell, in which none of them is more than a word.
pub(super) fn shell_command<'a>(words: impl IntoIterator<Item = &'a String>) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./=:,@+".contains(letter);
    let quoted = |word: String| match !word.is_empty() && word.chars().all(is_plain) {
        true => word,
        false => format!("'{}'", word.replace('\'', "'\\''")),
    };
    let words = words.into_iter().map(|word| quoted(clean(word)));
    words.collect::<Vec<_>>().join(" ")
}

/// At most `columns` wide; what is cut off shows as an ellipsis.
pub(super) fn fitted(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let (head, _) = split_at_column(text, columns.saturating_sub(1));
    format!("{}…", head.trim_end())
}

/// Breaks a text at its spaces into lines of at most `columns`; a longer word is broken where the
/// line ends. At least one line.
pub(super) fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(1);
    let mut lines = vec![String::new()];
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let used = lines.last().map_or(0, |line| width(line));
        let space = usize::from(used > 0);
        if used + space + width(word) <= columns {
            let line = lines.last_mut().expect("never empty");
            if space > 0 {
                line.push(' ');
            }
            line.push_str(word);
            continue;
        }
        if used > 0 {
            lines.push(String::new());
        }
        let mut rest = word;
        // A path that is cut cannot be copied.
        while width(rest) > columns && !word.contains('/') {
            let (head, tail) = split_at_column(rest, columns);
            *lines.last_mut().expect("never empty") = head.to_owned();
            lines.push(String::new());
            rest = tail;
        }
        lines.last_mut().expect("never empty").push_str(rest);
    }
    lines
}

/// The longest start of a text that fits, at least one character, and what follows it.
fn split_at_column(text: &str, columns: usize) -> (&str, &str) {
    let starts = text.char_indices().map(|(at, _)| at).skip(1);
    let ends = starts.chain([text.len()]);
    let fits = ends.take_while(|&end| width(&text[..end]) <= columns);
    let first = text.chars().next().map_or(0, char::len_utf8);
    text.split_at(fits.last().unwrap_or(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_breaks_at_spaces_and_long_words_where_the_line_ends() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("a abcdefghij k", 4), ["a", "abcd", "efgh", "ij k"]);
        assert_eq!(wrapped("", 4), [""]);
    }

    #[test]
    fn a_figure_stays_with_its_unit() {
        assert_eq!(
            wrapped("at most 16.7\u{a0}ms", 13),
            ["at most", "16.7\u{a0}ms"]
        );
    }

    #[test]
    fn wide_characters_take_two_columns() {
        assert_eq!(width("秒杀"), 4);
        assert_eq!(fitted("秒杀系统", 5), "秒杀…");
        assert_eq!(wrapped("秒杀系统", 4), ["秒杀", "系统"]);
    }

    #[test]
    fn nothing_from_outside_moves_the_cursor() {
        assert_eq!(clean("a\u{1b}[31mred\n  b\t"), "a [31mred b");
        assert_eq!(clean("a\u{2028}b"), "a b");
    }

    #[test]
    fn nothing_from_outside_is_shown_as_another_text() {
        let turned = "\u{202e}SSAP\u{202c} \u{2067}x\u{2069}\u{200f}\u{61c}";
        assert_eq!(clean(turned), "SSAP x");
    }

    #[test]
    fn a_word_from_outside_stays_a_word_in_a_shell() {
        let words = ["lab", "bench", "a b", "$(x)`y`", "it's", ""].map(str::to_owned);
        assert_eq!(
            shell_command(&words),
            r"lab bench 'a b' '$(x)`y`' 'it'\''s' ''"
        );
    }

    #[test]
    fn colour_is_only_there_when_it_is_wanted() {
        let line = Line::of(Tone::Bad, "FAILED").and(Tone::Plain, "  1\u{a0}ms  ");
        assert_eq!(line.painted(false), "FAILED  1 ms");
        assert!(line.painted(true).starts_with("\u{1b}["));
    }
}
