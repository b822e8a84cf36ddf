//! Labelled sentences below the figures that they are about.

use crate::view::notes::Note;
use maud::{Markup, html};

pub(super) fn warnings(notes: &[Note]) -> Markup {
    html! {
        @if !notes.is_empty() {
            ul.warnings {
                @for note in notes { li { (note.text) } }
            }
        }
    }
}

/// What is neither in the head of the page nor in the rows.
pub(super) fn facts(notes: &[Note]) -> Markup {
    let is_new = |note: &&Note| !["machine", "limited by"].contains(&note.label);
    html! {
        dl.facts {
            @for note in notes.iter().filter(is_new) {
                div { dt { (note.label) } dd { (note.text) } }
            }
        }
    }
}
