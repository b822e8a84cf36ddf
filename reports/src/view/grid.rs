//! Tables of aligned columns without lines between them. Here is what
//! they hold and what they may give up; `layout` draws them.

use super::text::{Tone, fitted, width};

/// Columns between two cells.
pub(super) const GAP: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

#[derive(Clone, Debug)]
pub(super) struct Column {
    /// May have two lines.
    pub title: String,
    pub align: Align,
    /// 0 stays; of the others the highest goes first where there is too little room.
    pub expendable: u8,
}

pub(super) fn left(title: &str) -> Column {
    Column {
        title: title.to_owned(),
        align: Align::Left,
        expendable: 0,
    }
}

pub(super) fn right(title: &str) -> Column {
    Column {
        align: Align::Right,
        ..left(title)
    }
}

impl Column {
    pub(super) fn expendable(self, order: u8) -> Self {
        Self {
            expendable: order,
            ..self
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub tone: Tone,
    pub text: String,
}

impl Cell {
    pub(super) fn of(tone: Tone, text: impl Into<String>) -> Self {
        Self {
            tone,
            text: text.into(),
        }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::of(Tone::Plain, text)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::of(Tone::Plain, text)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Grid {
    pub columns: Vec<Column>,
    pub rows: Vec<Vec<Cell>>,
    /// Columns that are repeated where the others do not fit side by side; 0 where a table is not
    /// to be divided.
    pub repeated: usize,
}

impl Grid {
    pub(super) fn new(columns: Vec<Column>) -> Self {
        Self {
            columns,
            rows: Vec::new(),
            repeated: 0,
        }
    }

    /// One that may be divided into tables that all begin with so many of its columns.
    pub(super) fn repeating(self, repeated: usize) -> Self {
        Self { repeated, ..self }
    }

    /// A row of one cell, which names those below it and makes no column wider.
    pub(super) fn push_heading(&mut self, name: &str) {
        self.rows.push(vec![Cell::of(Tone::Strong, name)]);
    }

    /// Rows with a cell for each column.
    pub(super) fn full_rows(&self) -> impl Iterator<Item = &Vec<Cell>> {
        self.rows
            .iter()
            .filter(|row| row.len() == self.columns.len())
    }

    pub(super) fn push(&mut self, row: Vec<Cell>) {
        debug_assert_eq!(row.len(), self.columns.len(), "a cell for each column");
        self.rows.push(row);
    }

    /// Without its least important columns, as far as that is needed to fit.
    pub(super) fn narrowed(mut self, columns: usize) -> Self {
        while self.width() > columns {
            let expendable = self.columns.iter().enumerate();
            let Some((index, column)) = expendable.max_by_key(|(_, column)| column.expendable)
            else {
                break;
            };
            if column.expendable == 0 {
                break;
            }
            self.remove(index);
        }
        self
    }

    /// Cuts the texts of a column as far as that is needed to fit, though not below `least`.
    pub(super) fn with_cut_column(mut self, index: usize, columns: usize, least: usize) -> Self {
        let over = self.width().saturating_sub(columns);
        let room = self.widths()[index].saturating_sub(over).max(least);
        for row in &mut self.rows {
            if let Some(cell) = row.get_mut(index) {
                cell.text = fitted(&cell.text, room);
            }
        }
        self
    }

    fn remove(&mut self, index: usize) {
        let columns = self.columns.len();
        self.columns.remove(index);
        for row in self.rows.iter_mut().filter(|row| row.len() == columns) {
            row.remove(index);
        }
    }

    pub(super) fn width(&self) -> usize {
        let widths = self.widths();
        widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1)
    }

    pub(super) fn widths(&self) -> Vec<usize> {
        let of = |(index, column): (usize, &Column)| {
            let cells = self.full_rows().map(|row| width(&row[index].text));
            cells
                .chain(column.title.lines().map(width))
                .max()
                .unwrap_or(0)
        };
        self.columns.iter().enumerate().map(of).collect()
    }
}
